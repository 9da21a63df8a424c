"""An archive's movies and users: small files of text, read whole, their bad lines aside."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from warehouse.archive import Archive
from warehouse.datasets.dataset import Row
from warehouse.encodings import decoded
from warehouse.errors import RefusedError
from warehouse.lines import MAX_LINE_BYTES, only_returns
from warehouse.shown import visible

MAX_SMALL_FILE_BYTES = 64 << 20
MAX_SMALL_FILE_LINES = 1_000_000  # of rejected lines too; MovieLens has some 90,000 movies
CUT = "the file ends before this line does: no line feed"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

Reject = tuple[str, int, str, str]  # member, line number, line, reason


@dataclass(frozen=True)
class TextFile:
    """What a small file should be.

    Attributes:
        name: within the archive.
        of: what its lines are: "movie" or "user".
        read: the row of a line, its id first; ValueError with the reason when the line is none.
        encoding: without a byte-order mark.
        header: its first line, None when it has none.
        ends_whole: whether the last line needs no line feed, for a cut one is never read as a row.
    """

    name: str
    of: str
    read: Callable[[str], Row]
    encoding: str
    header: str | None = None
    ends_whole: bool = False


@dataclass(frozen=True)
class SmallFile:
    """What was read: rows in the order of the file, and the lines that are none."""

    rows: list[Row]
    rejects: list[Reject]


def read_small_file(archive: Archive, file: TextFile) -> SmallFile:
    """Read one of an archive's small files.

    A line is rejected that is cut by the end of the file, too long, or holds a control character;
    that has not its layout's fields; and one with an id that an earlier line of the file has: the
    first one counts, for nobody knows which is right.

    Args:
        archive: where it is.
        file: what it should be.

    Raises:
        RefusedError: it is too large, empty, in another encoding, uses CR alone, has another
            header, or no line that can be read.
    """
    text = _text(file.name, _bytes(archive, file.name), file.encoding)
    rows, rejects, seen = [], [], dict[object, int]()
    for number, line, is_cut in _lines(file.name, text, file.header):
        try:
            row = _row(line, file.read, is_cut=is_cut and not file.ends_whole)
            if row[0] in seen:
                raise ValueError(f"{file.of} {row[0]} is in line {seen[row[0]]} already")
        except (ValueError, csv.Error) as error:
            rejects.append((file.name, number, visible(line), CUT if is_cut else str(error)))
        else:
            seen[row[0]] = number
            rows.append(row)
    if not rows:
        raise _no_rows(file.name, file.of, rejects)
    return SmallFile(rows, rejects)


def wrong_header(name: str, got: str, expected: str) -> RefusedError:
    """The error for a file whose first line is not that of its layout."""
    return RefusedError(
        f"{name} has another header", got=repr(visible(got)), expected=repr(expected)
    )


def _bytes(archive: Archive, name: str) -> bytes:
    with archive.member(name) as packed:
        data = packed.read(MAX_SMALL_FILE_BYTES + 1)
    if len(data) > MAX_SMALL_FILE_BYTES:
        raise RefusedError(f"{name} is too large", expected=f"{MAX_SMALL_FILE_BYTES:,} bytes")
    return data


def _text(name: str, data: bytes, encoding: str) -> str:
    text = decoded(name, data, encoding).replace("\r\n", "\n")
    if not text:
        raise RefusedError(f"{name} is empty", got="0 rows")
    if "\n" not in text and "\r" in text:
        raise only_returns(name)
    n_lines = text.count("\n")
    if n_lines > MAX_SMALL_FILE_LINES:
        raise RefusedError(
            f"{name} has too many lines", got=f"{n_lines:,}", expected=f"{MAX_SMALL_FILE_LINES:,}"
        )
    return text


def _lines(name: str, text: str, header: str | None) -> Iterator[tuple[int, str, bool]]:
    """Number, text, and whether the file ends within the line; the header is left out."""
    lines = text.split("\n")
    rest = lines.pop()
    if header is not None and header != (lines[0] if lines else rest):
        raise wrong_header(name, lines[0] if lines else rest, header)
    for number, line in enumerate(lines, start=1):
        if header is None or number > 1:
            yield number, line, False
    if rest and (header is None or lines):
        yield len(lines) + 1, rest, True


def _row(line: str, read: Callable[[str], Row], *, is_cut: bool) -> Row:
    if is_cut:
        raise ValueError(CUT)
    if len(line) >= MAX_LINE_BYTES:
        raise ValueError(f"line is over {MAX_LINE_BYTES - 1} characters")
    control = _CONTROL.search(line)
    if control:
        raise ValueError(f"control character {_named(control[0])}")
    return read(line)


def _named(control: str) -> str:
    """Windows writes letters and quotation marks where Latin-1 has the upper control characters."""
    number = f"U+{ord(control):04X}"
    return f"{number} (Windows-1252 text?)" if ord(control) >= 0x80 else number


def _no_rows(name: str, of: str, rejects: list[Reject]) -> RefusedError:
    _, number, line, reason = rejects[0] if rejects else ("", 0, "", "")
    seen = f"0 rows; line {number} is {line!r}: {reason}" if rejects else "0 rows"
    return RefusedError(
        f"{name} holds no {of} that can be read", got=seen, to_do="Check --dataset and --source"
    )
