"""What should land of an archive's texts, read in plain Python by the rules of docs/input.md.

It shares no code with the pipeline, on purpose: `fuzz.py` compares the two.
"""

import time
from dataclasses import dataclass, field

EARLIEST = 788_918_400  # 1995-01-01 00:00 UTC
MAX_ID = 2_147_483_647
MAX_LINE = 4096
DAY = 86_400
WHOLE_STARS = {"1", "2", "3", "4", "5", "1.0", "2.0", "3.0", "4.0", "5.0"}
HALF_STARS = WHOLE_STARS | {"0.5", "1.5", "2.5", "3.5", "4.5"}
GENRES = [
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
]
CUT = "the file ends before this line does: no line feed"


class RefusalError(Exception):
    """The archive should be refused, with these words in the message."""


class RejectError(Exception):
    """A line should be rejected for this reason."""


@dataclass
class Reading:
    """What should stand in the raw tables."""

    ratings: list[tuple] = field(default_factory=list)
    items: list[tuple] = field(default_factory=list)
    users: list[tuple] = field(default_factory=list)
    rejects: list[tuple] = field(default_factory=list)


def read_archive(name: str, files: dict[str, bytes]) -> Reading:
    """Read the files of the data set `name`, by their names without the folder."""
    reading = Reading()
    if name == "ml-1m":
        _ratings(reading, name, "ratings.dat", files, "::", None, WHOLE_STARS)
        _small(reading, reading.items, name, "movies.dat", files, _double_colon_item)
        _small(reading, reading.users, name, "users.dat", files, _double_colon_user)
    elif name == "ml-100k":
        _ratings(reading, name, "u.data", files, "\t", None, WHOLE_STARS)
        _small(reading, reading.items, name, "u.item", files, _pipe_item)
        _small(reading, reading.users, name, "u.user", files, _pipe_user)
    else:
        header = "userId,movieId,rating,timestamp"
        _ratings(reading, name, "ratings.csv", files, ",", header, HALF_STARS)
        _small(reading, reading.items, name, "movies.csv", files, _csv_item)
        users = sorted({row[1] for row in reading.ratings})
        reading.users = [(user, None, None, None) for user in users]
    return reading


def _ratings(reading, name, file, files, separator, header, stars) -> None:
    text = _numbers_text(f"{name}/{file}", files[file])
    if text == "":
        raise RefusalError(f"{file} is empty")
    if "\n" not in text and "\r" in text:
        raise RefusalError(f"{file} ends its lines with CR alone")
    if not text.endswith("\n"):
        raise RefusalError(f"{file} is cut")
    for number, raw in enumerate(text[:-1].split("\n"), start=1):
        line = "".join(char if " " <= char <= "~" or char == "\t" else "?" for char in raw) or "?"
        if header is not None and number == 1:
            if line != header:
                raise RefusalError(f"{file} has another header")
            continue
        try:
            reading.ratings.append((number, *_rating(line, separator, stars)))
        except RejectError as why:
            reading.rejects.append((f"{name}/{file}", number, line[:200], str(why)))
    if not reading.ratings:
        raise RefusalError(f"{file} holds no rating that can be read")


def _numbers_text(member: str, data: bytes) -> str:
    mark = _mark(member, data)
    if mark == "UTF-16":
        text = data.decode("utf-16", "replace")
    else:
        text = data[3 if mark else 0 :].decode("latin-1")
    return text.replace("\r\n", "\n")


def _rating(line: str, separator: str, stars: set[str]) -> tuple:
    if len(line) >= MAX_LINE:
        raise RejectError("line is over 4095 characters")
    fields = line.split(separator)
    if len(fields) != 4:
        raise RejectError(f"{len(fields)} fields instead of 4")
    user, item = _id(fields[0], "user"), _id(fields[1], "movie")
    if fields[2] not in stars:
        raise RejectError("rating is not on the scale")
    return user, item, float(fields[2]), _moment(fields[3])


def _moment(text: str) -> int:
    digits = text.removeprefix("-")
    if text != "0" and not _is_natural(digits):
        raise RejectError("timestamp is not a whole number of seconds")
    if len(digits) > 16 or abs(int(text)) > 9_000_000_000_000_000:
        raise RejectError("timestamp is not a whole number of seconds")
    if not EARLIEST <= int(text) <= time.time() + DAY:
        raise RejectError("timestamp is before 1995 or in the future")
    return int(text)


def _is_natural(text: str) -> bool:
    return text != "" and text[0] != "0" and all(char in "0123456789" for char in text)


def _id(text: str, what: str) -> int:
    if not _is_natural(text):
        raise RejectError(f"{what} is not a whole number from 1")
    if len(text) > 10 or int(text) > MAX_ID:
        raise RejectError(f"{what} is above the limit of ids, 2147483647")
    return int(text)


def _small(reading, rows, name, file, files, read) -> None:
    member = f"{name}/{file}"
    text = _letters_text(member, files[file], "utf-8" if file.endswith(".csv") else "latin-1")
    if text == "":
        raise RefusalError(f"{file} is empty")
    if "\n" not in text and "\r" in text:
        raise RefusalError(f"{file} ends its lines with CR alone")
    lines = text.split("\n")
    cut = len(lines) if lines[-1] else 0  # the number of the line that does not end
    if not cut:
        lines.pop()
    first: dict[int, int] = {}
    for number, line in enumerate(lines, start=1):
        if file == "movies.csv" and number == 1:
            if line != "movieId,title,genres":
                raise RefusalError(f"{file} has another header")
            continue
        try:
            row = _small_row(line, read, number == cut and file != "u.item")
            if row[0] in first:
                of = "user" if "user" in file else "movie"
                raise RejectError(f"{of} {row[0]} is in line {first[row[0]]} already")
        except RejectError as why:
            shown = "".join(char if char.isprintable() else "?" for char in line[:200])
            reading.rejects.append((member, number, shown, CUT if number == cut else str(why)))
        else:
            first[row[0]] = number
            rows.append(row)
    if not rows:
        of = "user" if "user" in file else "movie"
        raise RefusalError(f"{file} holds no {of} that can be read")


def _letters_text(member: str, data: bytes, encoding: str) -> str:
    mark = _mark(member, data)
    if mark is None and encoding == "latin-1" and _is_utf_8_letters(data):
        raise RefusalError(f"{member} is in another encoding: got UTF-8")
    known = {"UTF-16": "utf-16", "UTF-8": "utf-8-sig", None: encoding}
    try:
        return data.decode(known[mark]).replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise RefusalError(f"{member} is in another encoding: got byte") from None


def _is_utf_8_letters(data: bytes) -> bool:
    try:
        return any(ord(char) > 127 for char in data.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _mark(member: str, data: bytes) -> str | None:
    if data[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        raise RefusalError(f"{member} is in another encoding: got UTF-32")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    if data[:3] == b"\xef\xbb\xbf":
        return "UTF-8"
    pairs = [data[at : at + 2] for at in range(0, min(len(data), 64) - 1, 2)]
    for nul in (0, 1):
        if len(pairs) >= 4 and all(two[nul] == 0 and two[1 - nul] != 0 for two in pairs):
            raise RefusalError(f"{member} is in another encoding: got UTF-16 without")
    return None


def _small_row(line: str, read, is_cut: bool) -> tuple:
    if is_cut:
        raise RejectError(CUT)
    if len(line) >= MAX_LINE:
        raise RejectError("line is over 4095 characters")
    for char in line:
        if ord(char) < 32 or 127 <= ord(char) < 160:
            hint = " (Windows-1252 text?)" if ord(char) > 127 else ""
            raise RejectError(f"control character U+{ord(char):04X}{hint}")
    return read(line)


def _fields(line: str, separator: str, count: int) -> list[str]:
    if ":::" in line and separator == "::":
        raise RejectError("':::' can be read in two ways")
    fields = line.split(separator)
    if len(fields) != count:
        raise RejectError(f"{len(fields)} fields instead of {count}")
    return fields


def _item(item: str, title: str, genres: str) -> tuple:
    number = _id(item, "movie")
    if title.strip() == "":
        raise RejectError("title is missing")
    return number, title, genres


def _user(user: str, gender: str, age: str, occupation: str) -> tuple:
    number = _id(user, "user")
    if gender.strip() == "":
        raise RejectError("gender is missing")
    if not (0 < len(age) <= 3 and all(char in "0123456789" for char in age)):
        raise RejectError("age is not a whole number of years")
    if occupation.strip() == "":
        raise RejectError("occupation is missing")
    return number, gender, age, occupation


def _double_colon_item(line: str) -> tuple:
    return _item(*_fields(line, "::", 3))


def _double_colon_user(line: str) -> tuple:
    return _user(*_fields(line, "::", 5)[:4])


def _pipe_item(line: str) -> tuple:
    fields = _fields(line, "|", 24)
    flags = fields[5:]
    if any(flag not in ("0", "1") for flag in flags):
        raise RejectError("a genre's flag is neither 0 nor 1")
    genres = [GENRES[place] for place in range(19) if flags[place] == "1"]
    return _item(fields[0], fields[1], "|".join(genres))


def _pipe_user(line: str) -> tuple:
    user, age, gender, occupation, _ = _fields(line, "|", 5)
    return _user(user, gender, age, occupation)


def _csv_item(line: str) -> tuple:
    fields = _csv_fields(line)
    if len(fields) != 3:
        raise RejectError(f"{len(fields)} fields instead of 3")
    item, title, genres = fields
    return _item(item, title, "" if genres == "(no genres listed)" else genres)


def _csv_fields(line: str) -> list[str]:
    """A quote opens a field only at its beginning; within, two of them are one."""
    if line == "":
        return []
    fields, rest = [], line + ","
    while rest:
        if not rest.startswith('"'):
            value, _, rest = rest.partition(",")
        else:
            value, rest = _quoted(rest[1:])
        fields.append(value)
    return fields


def _quoted(rest: str) -> tuple[str, str]:
    """The value of a field whose first quote is gone, and what follows its comma."""
    value = ""
    while True:
        part, quote, rest = rest.partition('"')
        value += part
        if not quote:
            raise RejectError("unexpected end of data")
        if rest.startswith('"'):
            value, rest = value + '"', rest[1:]
        elif rest.startswith(","):
            return value, rest[1:]
        else:
            raise RejectError("',' expected after '\"'")
