"""The bytes of an untrusted text file, made safe for a reader of whole lines."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

import numpy as np

from warehouse.encodings import plain_chunks
from warehouse.errors import RefusedError

MAX_LINE_BYTES = 4096
_CHUNK = 1 << 20
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

    A byte-order mark is dropped, UTF-16 after one is decoded, and CRLF becomes LF; other bytes that
    can't stand in a line of numbers become `?`; an empty line too, and a line over 4 KiB is cut, so
    that both are rejected where they stand.

    Args:
        packed: the file's bytes.
        target: gets the lines.
        name: of the file, for errors.
        size: of the file in bytes, as its archive states it; reading stops there.
        progress: is told the bytes done and in all.

    Raises:
        RefusedError: the file is empty, uses CR alone, is in another encoding, or its last line is
            cut.
    """
    count, first, ended, returns = 0, b"", False, False
    with ThreadPoolExecutor(1) as pool:
        chunks = _bounded(_chunks(packed, pool), name, size, progress)
        for block in _blocks(plain_chunks(name, chunks)):
            clean, n_lines = _clean(block)
            first = first or clean.split(b"\n", 1)[0]
            count += n_lines
            ended = clean.endswith(b"\n")
            returns = returns or b"\r" in block
            target.write(clean)
    if count == 0 and returns:
        raise only_returns(name)
    if count == 0 or not ended:
        raise _incomplete(name, count, first)
    return Lines(count, first.decode("ascii"))


def _chunks(packed: IO[bytes], pool: Executor) -> Iterator[bytes]:
    """A chunk at a time; the next one is unpacked meanwhile."""
    coming = pool.submit(packed.read, _CHUNK)
    while chunk := coming.result():
        coming = pool.submit(packed.read, _CHUNK)
        yield chunk


def _bounded(
    chunks: Iterator[bytes], name: str, size: int, progress: Advance | None
) -> Iterator[bytes]:
    """The chunks, as long as there are no more bytes than the archive says."""
    done = 0
    for chunk in chunks:
        done += len(chunk)
        if done > size:
            raise RefusedError(
                f"{name} is larger than its archive says",
                got=f"over {done:,} bytes",
                expected=f"{size:,}",
            )
        yield chunk
        if progress:
            progress(done, size)


def _blocks(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines at a time; of a line that is too long, its beginning; last what remains."""
    rest = b""
    for chunk in chunks:
        lines, newline, tail = (rest + chunk).rpartition(b"\n")
        if newline:
            yield lines + newline
        rest = tail if len(tail) <= 2 * MAX_LINE_BYTES else tail[: MAX_LINE_BYTES + 1]
    if rest:
        yield rest


def _clean(block: bytes) -> tuple[bytes, int]:
    """The lines as they may be read, and how many.

    A block is searched for what is wrong before it is rewritten: mostly nothing is.
    """
    text = block.replace(b"\r\n", b"\n") if b"\r" in block else block
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    lengths = np.diff(ends, prepend=-1)  # with the line feed
    if lengths.max(initial=0) > MAX_LINE_BYTES:
        text = b"\n".join(line[:MAX_LINE_BYTES] for line in text.split(b"\n"))
    if 1 in lengths:
        text = b"\n".join(line or b"?" for line in text.removesuffix(b"\n").split(b"\n")) + b"\n"
    return text.translate(_PLAIN), len(ends)


def _incomplete(name: str, count: int, first: bytes) -> RefusedError:
    if count == 0 and not first:
        return RefusedError(f"{name} is empty", got="0 rows")
    return RefusedError(
        f"{name} is cut: its last line does not end",
        got=f"{count:,} whole lines",
        expected="a line feed after every line",
        to_do="Fetch the archive again",
    )


def only_returns(name: str) -> RefusedError:
    """The error for a text whose lines end as those of old Macs did."""
    return RefusedError(
        f"{name} ends its lines with CR alone",
        got="no line feed",
        expected="a line feed after every line (CR alone is not one)",
    )
