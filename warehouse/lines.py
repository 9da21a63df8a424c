"""The bytes of an untrusted text file, made safe for a reader of whole lines."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from warehouse.errors import RefusedError

MAX_LINE_BYTES = 4096
_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"
# Digits, signs and separators are ASCII. What is not can't be part of a rating: it becomes `?`,
# so its line is rejected and shown, and no reader ever meets a NUL or half a character.
_PLAIN = bytes(byte if 32 <= byte < 127 or byte in b"\t\n" else ord("?") for byte in range(256))

Advance = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Lines:
    """What was copied: how many lines, and the first of them."""

    count: int
    first: str


def copy_lines(
    packed: IO[bytes], target: IO[bytes], *, name: str, size: int, progress: Advance | None = None
) -> Lines:
    """Copy a text of ASCII lines, one `\\n` each, in bounded memory.

    A byte-order mark is dropped and CRLF becomes LF; other bytes that can't stand in a line of
    numbers become `?`; an empty line too, and a line over 4 KiB is cut, so that both are rejected
    where they stand.

    Args:
        packed: the file's bytes.
        target: gets the lines.
        name: of the file, for errors.
        size: of the file in bytes, as its archive states it; reading stops there.
        progress: is told the bytes done and in all.

    Raises:
        RefusedError: the file is empty, uses CR alone, or its last line is cut.
    """
    count, first, ended = 0, b"", False
    for block in _blocks(packed, name, size, progress):
        clean = _cut(block.replace(b"\r\n", b"\n")).translate(_PLAIN)
        while b"\n\n" in clean or clean.startswith(b"\n"):
            clean = clean.replace(b"\n\n", b"\n?\n")
            clean = b"?" + clean if clean.startswith(b"\n") else clean
        first = first or clean.split(b"\n", 1)[0]
        count += clean.count(b"\n")
        ended = clean.endswith(b"\n")
        target.write(clean)
    if count == 0 or not ended:
        raise _incomplete(name, count, first)
    return Lines(count, first.decode("ascii"))


def _blocks(packed: IO[bytes], name: str, size: int, progress: Advance | None) -> Iterator[bytes]:
    """Whole lines at a time; of a line that is too long, its beginning; last what remains."""
    rest, done = b"", 0
    while chunk := packed.read(_CHUNK):
        if done == 0:
            chunk = chunk.removeprefix(_BOM)
        done += len(chunk)
        if done > size:
            raise RefusedError(
                f"{name} is larger than its archive says",
                got=f"over {done:,} bytes",
                expected=f"{size:,}",
            )
        lines, newline, tail = (rest + chunk).rpartition(b"\n")
        if newline:
            yield lines + newline
        rest = tail if len(tail) <= 2 * MAX_LINE_BYTES else tail[: MAX_LINE_BYTES + 1]
        if progress:
            progress(done, size)
    if rest:
        yield rest


def _cut(block: bytes) -> bytes:
    """Shorten the lines that are too long."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
    if len(ends) == 0 or np.diff(ends, prepend=-1).max() <= MAX_LINE_BYTES:
        return block
    return b"\n".join(line[:MAX_LINE_BYTES] for line in block.split(b"\n"))


def _incomplete(name: str, count: int, first: bytes) -> RefusedError:
    if count == 0 and not first:
        return RefusedError(f"{name} is empty", got="0 rows")
    return RefusedError(
        f"{name} is cut: its last line does not end",
        got=f"{count:,} whole lines",
        expected="a line feed after every line (CR alone is not one)",
        to_do="Fetch the archive again",
    )
