"""Small archives of all three layouts, changed at random: the n-th of a seed is always the same."""

import random
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO

T = 960_000_000
FILES = {
    "ml-1m": ("ratings.dat", "movies.dat", "users.dat"),
    "ml-100k": ("u.data", "u.item", "u.user"),
    "ml-latest-small": ("ratings.csv", "movies.csv"),
}
SEPARATORS = {"ratings.dat": "::", "movies.dat": "::", "users.dat": "::", "u.data": "\t"}
SEPARATORS |= {"u.item": "|", "u.user": "|", "ratings.csv": ",", "movies.csv": ","}
TITLES = ["Seven (1995)", "Café, Le (1999)", 'The "Big" One', "A: B; C", "=1+1 (2000)", "Ñandú"]
FAR_TITLES = ["千と千尋 (2001)", "Ελλάδα", "🎬 (2010)"]
BYTES = [
    *(b"\0", b"\x1b", b"\x1b[31m", b"\x7f", b"\x85", b"\x92", b"\xa0", b"\xff", b"\xc3", b"\xe9"),
    *(b"\r", b"\n", b"\r\n", b"\r\r\n", b"\t", b"\x0b", b"\x0c", b" ", b'"', b"'", b"\\", b"|"),
    *(b":", b"::", b",", b";", b"-", b"+", b".", b"0", b"7", b"%", b"?", b"=", b"NULL", b"nan"),
    *("é".encode(), "٣".encode(), "\u2028".encode(), "\u202e".encode(), "\ufeff".encode()),
    *("\ufffd".encode(), "🎬".encode(), b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\x00\x00"),
]
VALUES = [
    *("", " ", "0", "1", "-1", "+1", "01", "1.0", "1e3", "0x10", "1_0", "٣", "²", "NULL", "nan"),
    *("2147483647", "2147483648", "1500000000", "9999999999", "9223372036854775808", "9" * 40),
    *("4.5", "0.5", "5.5", "5.0", "05", "788918399", "788918400", "960000000000", "4102444800"),
    *("-960000000", "960000000.0", "(no genres listed)", "Drama|War", '"', '"a"', '""', "M", "F"),
]


@dataclass
class Mutant:
    """An archive to be, with what was done to it.

    Attributes:
        dataset: whose layout it has.
        files: its texts by name, changed.
        done: names of the changes.
        packed: the archive's bytes.
        refusal: words of the refusal that the container must get; None when it has to be taken.
        is_damaged: whether bytes of the container were damaged, so that any refusal is right.
    """

    dataset: str
    files: dict[str, bytes]
    done: list[str] = field(default_factory=list)
    packed: bytes = b""
    refusal: str | None = None
    is_damaged: bool = False


def make_mutant(seed: int, number: int) -> Mutant:
    """The mutant of that number."""
    rng = random.Random(f"{seed}-{number}")
    dataset = rng.choice(list(FILES))
    mutant = Mutant(dataset, _texts(rng, dataset))
    kind = rng.random()
    if kind < 0.9:  # the others have their container changed alone
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
            _change_text(rng, mutant)
    containers = _HARMLESS if kind < 0.75 else [*_HARMLESS, *_HARMFUL, *_DAMAGES]
    if kind >= 0.6:
        change = rng.choice(containers)
        mutant.done.append(change.__name__.strip("_"))
        change(rng, mutant)
    mutant.packed = mutant.packed or _zipped(rng, mutant)
    return mutant


def _texts(rng: random.Random, dataset: str) -> dict[str, bytes]:
    items, users = range(1, rng.randrange(3, 8)), range(1, rng.randrange(2, 6))
    names = FILES[dataset]
    ratings = _rating_lines(rng, SEPARATORS[names[0]], items, users)
    if dataset == "ml-latest-small":
        header, movies = "userId,movieId,rating,timestamp\n", "movieId,title,genres\n"
        movies += "".join(_csv_line(rng, item) for item in items)
        return {names[0]: (header + ratings).encode(), names[1]: movies.encode()}
    double = dataset == "ml-1m"
    movies = "".join((_double_colon_line if double else _pipe_line)(rng, item) for item in items)
    order = "{0}::{1}::{2}::{3}::{4:05}\n" if double else "{0}|{2}|{1}|{3}|{4:05}\n"
    people = "".join(
        order.format(user, rng.choice("FM"), rng.randrange(7, 73), user, rng.randrange(10**5))
        for user in users
    )
    texts = (ratings, movies, people)
    return {name: text.encode("latin-1") for name, text in zip(names, texts, strict=True)}


def _rating_lines(rng: random.Random, separator: str, items: range, users: range) -> str:
    rows = [
        (rng.choice(users), rng.choice(items), rng.randrange(1, 6), T + rng.randrange(10**8))
        for _ in range(rng.randrange(2, 12))
    ]
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


def _double_colon_line(rng: random.Random, item: int) -> str:
    return f"{item}::{rng.choice(TITLES)}::{rng.choice(('Drama', 'War|Crime', ''))}\n"


def _pipe_line(rng: random.Random, item: int) -> str:
    flags = "|".join(rng.choice("0001") for _ in range(19))
    return f"{item}|{rng.choice(TITLES)}|01-Jan-1995||http://x/{item}|{flags}\n"


def _csv_line(rng: random.Random, item: int) -> str:
    title = rng.choice(TITLES + FAR_TITLES)
    if "," in title or '"' in title or rng.random() < 0.3:
        title = '"' + title.replace('"', '""') + '"'
    return f"{item},{title},{rng.choice(('Drama', 'War|Crime', '(no genres listed)'))}\n"


# changes of a text: rng, the text's bytes and its separator to the changed bytes


def _change_text(rng: random.Random, mutant: Mutant) -> None:
    name = rng.choice(FILES[mutant.dataset])
    change = rng.choice(_CHANGES)
    mutant.done.append(f"{change.__name__.strip('_')} in {name}")
    mutant.files[name] = change(rng, mutant.files[name], SEPARATORS[name].encode())


def _flip(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _insert(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    at = rng.choice((0, len(data), rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return data[:at] + rng.choice([*BYTES, separator]) + data[at:]


def _replace(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(BYTES) + data[at + 1 :]


def _remove(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 1, 2, 5, 30)) :]


def _cut(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _cut_the_last_line(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    return data[: max(0, len(data) - rng.randrange(1, 8))]


def _empty(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    return rng.choice((b"", b"\n", b"\r", b"\n\n", data.partition(b"\n")[0] + b"\n"))


def _lines(data: bytes) -> list[bytes]:
    return data.split(b"\n")


def _double_a_line(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    lines = _lines(data)
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return b"\n".join(lines)


def _drop_a_line(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    lines = _lines(data)
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines)


def _shuffle(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    lines = _lines(data)[:-1]
    rng.shuffle(lines)
    return b"".join(line + b"\n" for line in lines)


def _break_a_line(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + b"\n" + data[at:]


def _change_a_field(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    lines = _lines(data)
    at = rng.randrange(len(lines))
    fields = lines[at].split(separator)
    fields[rng.randrange(len(fields))] = rng.choice(VALUES).encode()
    lines[at] = separator.join(fields)
    return b"\n".join(lines)


def _drop_a_field(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    lines = _lines(data)
    at = rng.randrange(len(lines))
    fields = lines[at].split(separator)
    del fields[rng.randrange(len(fields))]
    lines[at] = separator.join(fields)
    return b"\n".join(lines)


def _swap_fields(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    lines = _lines(data)
    at = rng.randrange(len(lines))
    fields = lines[at].split(separator)
    rng.shuffle(fields)
    lines[at] = separator.join(fields)
    return b"\n".join(lines)


def _long_line(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    lines = _lines(data)
    at = rng.randrange(len(lines))
    lines[at] += rng.choice((b"x", b" ", b"0")) * (rng.choice((4094, 4095, 4096, 4097, 5000)))
    wanted = rng.choice((4095, 4096, 5000))
    lines[at] = lines[at][:wanted]
    return b"\n".join(lines)


def _other_separator(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    return data.replace(separator, rng.choice((b",", b"::", b"\t", b"|", b";", b":::", b"")))


def _windows_ends(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


def _old_mac_ends(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    return data.replace(b"\n", b"\r")


def _mixed_ends(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    lines = _lines(data)
    ends = [rng.choice((b"\n", b"\r\n", b"\n\n", b"\r")) for _ in lines[1:]]
    return b"".join(line + end for line, end in zip(lines, [*ends, b""], strict=True))


def _recode(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    """In another encoding; or the same bytes with a mark before them."""
    text = data.decode("latin-1") if not _is_utf8(data) else data.decode()
    encoding = rng.choice(
        ("utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-8-sig", "utf-8", "latin-1", "cp1252")
    )
    mark = "\ufeff" if encoding in ("utf-16-be", "utf-16-le") and rng.random() < 0.5 else ""
    coded = (mark + text).encode(encoding, "replace")
    return coded[:-1] if rng.random() < 0.1 else coded


def _mark(rng: random.Random, data: bytes, separator: bytes) -> bytes:
    mark = rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\xef\xbb"))
    return mark * rng.choice((1, 1, 2)) + data


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


_CHANGES: list[Callable[[random.Random, bytes, bytes], bytes]] = [
    *(_flip, _insert, _insert, _insert, _replace, _replace, _remove, _remove, _cut),
    *(_cut_the_last_line, _empty, _double_a_line, _drop_a_line, _shuffle, _break_a_line),
    *(_change_a_field, _change_a_field, _change_a_field, _drop_a_field, _swap_fields, _long_line),
    *(_other_separator, _windows_ends, _old_mac_ends, _mixed_ends, _recode, _recode, _mark),
]


# changes of the container

Members = list[tuple[str | zipfile.ZipInfo, bytes]]


def _members(mutant: Mutant) -> Members:
    return [(f"{mutant.dataset}/{name}", data) for name, data in mutant.files.items()]


def _zipped(rng: random.Random, mutant: Mutant, members: Members | None = None) -> bytes:
    file = BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that stand there twice
        for name, data in _members(mutant) if members is None else members:
            archive.writestr(_undated(name, method), data)
    return file.getvalue()


def _undated(name: str | zipfile.ZipInfo, method: int) -> zipfile.ZipInfo:
    """A member that does not tell when it was made, or the mutant would not be the same again."""
    if isinstance(name, zipfile.ZipInfo):
        return name
    member = zipfile.ZipInfo(name)
    member.compress_type = method
    return member


def _backslashes(rng: random.Random, mutant: Mutant) -> None:
    members = [(name.replace("/", "\\"), data) for name, data in _members(mutant)]
    mutant.packed = _zipped(rng, mutant, [(f"{mutant.dataset}\\", b""), *members])


def _dots_and_slashes(rng: random.Random, mutant: Mutant) -> None:
    members = [(f"./{name.replace('/', '//')}", data) for name, data in _members(mutant)]
    mutant.packed = _zipped(rng, mutant, members)


def _folders_twice(rng: random.Random, mutant: Mutant) -> None:
    folder, name = f"{mutant.dataset}/", rng.choice(FILES[mutant.dataset])
    extra = [(folder, b""), (folder, b""), (f"{folder}{name}/", b""), (f"{mutant.dataset}\\", b"")]
    mutant.packed = _zipped(rng, mutant, [*extra, *_members(mutant)])


def _more_files(rng: random.Random, mutant: Mutant) -> None:
    lzma = zipfile.ZipInfo(f"{mutant.dataset}/notes")
    lzma.compress_type = zipfile.ZIP_LZMA
    readme, first = f"{mutant.dataset}/README", FILES[mutant.dataset][0]
    extra: Members = [(readme, b"1"), (readme, b"2"), (lzma, b"x" * 100), ("__MACOSX/._x", b"\0")]
    extra += [(f"copy/{mutant.dataset}/{first}", b"1"), (f"{mutant.dataset}/{first}.bak", b"1")]
    extra += [(first, b"1"), (f"{mutant.dataset.upper()}/{first}", b"1"), ("ö🎬.txt", b"")]
    members = [*extra, *_members(mutant)]
    rng.shuffle(members)
    mutant.packed = _zipped(rng, mutant, members)


def _bytes_around(rng: random.Random, mutant: Mutant) -> None:
    """Before the archive, as self-extracting ones have."""
    mutant.packed = rng.randbytes(rng.randrange(1, 100)) + _zipped(rng, mutant)


def _same_name_twice(rng: random.Random, mutant: Mutant) -> None:
    name = f"{mutant.dataset}/{rng.choice(FILES[mutant.dataset])}"
    name = rng.choice((name, name.replace("/", "\\"), f"./{name}", name.replace("/", "//")))
    mutant.packed = _zipped(rng, mutant, [*_members(mutant), (name, b"x")])
    mutant.refusal = "stands there twice"


def _out_of_the_folder(rng: random.Random, mutant: Mutant) -> None:
    names = ["../x", "/etc/x", "a/../../x", "..\\x", "C:\\x", "c:/x", "\\\\host\\x", "\\x"]
    mutant.packed = _zipped(rng, mutant, [*_members(mutant), (rng.choice(names), b"x")])
    mutant.refusal = "points out of its folder"


def _link(rng: random.Random, mutant: Mutant) -> None:
    link = zipfile.ZipInfo("x")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    mutant.packed = _zipped(rng, mutant, [*_members(mutant), (link, b"/etc/passwd")])
    mutant.refusal = "is a link"


def _encrypted(rng: random.Random, mutant: Mutant) -> None:
    data = bytearray(_zipped(rng, mutant))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    mutant.packed, mutant.refusal = bytes(data), "is encrypted"


def _other_method(rng: random.Random, mutant: Mutant) -> None:
    members: Members = _members(mutant)
    at = rng.randrange(len(members))
    packed = zipfile.ZipInfo(str(members[at][0]))
    packed.compress_type = rng.choice((zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
    members[at] = (packed, members[at][1])
    mutant.packed, mutant.refusal = _zipped(rng, mutant, members), "is packed by method"


def _missing(rng: random.Random, mutant: Mutant) -> None:
    members = _members(mutant)
    del members[rng.randrange(len(members))]
    mutant.packed = _zipped(rng, mutant, members)
    mutant.refusal = f"is not an archive of {mutant.dataset}"


def _other_folder(rng: random.Random, mutant: Mutant) -> None:
    folder = rng.choice(("ml-10m/", "", f"data/{mutant.dataset}/", mutant.dataset.upper() + "/"))
    members = [(folder + name, data) for name, data in mutant.files.items()]
    mutant.packed = _zipped(rng, mutant, members)
    mutant.refusal = f"is not an archive of {mutant.dataset}"


def _false_size(rng: random.Random, mutant: Mutant) -> None:
    """The directory states another size, to which nothing may be unpacked."""
    data = bytearray(_zipped(rng, mutant))
    at = data.rindex(b"PK\x01\x02") + 24
    size = struct.unpack_from("<L", data, at)[0]
    struct.pack_into("<L", data, at, rng.choice((0, size // 2, size + 1, size + 1000)))
    mutant.packed, mutant.is_damaged = bytes(data), True


def _flipped_bytes(rng: random.Random, mutant: Mutant) -> None:
    data = bytearray(_zipped(rng, mutant))
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    mutant.packed, mutant.is_damaged = bytes(data), True


def _cut_archive(rng: random.Random, mutant: Mutant) -> None:
    data = _zipped(rng, mutant)
    mutant.packed, mutant.is_damaged = data[: rng.randrange(len(data))] or b"PK", True


def _lost_bytes(rng: random.Random, mutant: Mutant) -> None:
    data = _zipped(rng, mutant)
    at = rng.randrange(len(data))
    between = rng.choice((b"", bytes(30), rng.randbytes(10)))
    mutant.packed, mutant.is_damaged = data[:at] + between + data[at + 30 :], True


Change = Callable[[random.Random, Mutant], None]
_HARMLESS: list[Change] = [
    _backslashes, _dots_and_slashes, _folders_twice, _more_files, _bytes_around
]  # fmt: skip
_HARMFUL: list[Change] = [
    _same_name_twice, _out_of_the_folder, _link, _encrypted, _other_method, _missing, _other_folder
]  # fmt: skip
_DAMAGES: list[Change] = [_false_size, _flipped_bytes, _cut_archive, _lost_bytes]
