"""Which encoding the bytes of an untrusted text file are in."""

import codecs
from collections.abc import Iterator
from itertools import chain

from warehouse.errors import RefusedError

# UTF-32's begins with UTF-16's, so it is looked for first
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    codecs.BOM_UTF8: "UTF-8",
}
_HEAD = 64


def decoded(name: str, data: bytes, encoding: str) -> str:
    """The text of a whole file.

    A byte-order mark names its encoding; without one it is the declared one. Latin-1 takes any
    bytes, so UTF-8 is looked for.

    Raises:
        RefusedError: it is in another encoding.
    """
    marked = marked_encoding(name, data)
    if marked is None and encoding == "latin-1" and not data.isascii() and _is_utf8(data):
        raise wrong_encoding(name, "UTF-8", encoding)
    try:
        text = data.decode(marked or encoding)
    except UnicodeDecodeError as error:
        seen = f"byte {data[error.start]:#04x} at {error.start:,}"
        raise wrong_encoding(name, seen, marked or encoding) from error
    return text.removeprefix("\ufeff") if marked == "UTF-8" else text  # UTF-16 has lost its mark


def plain_chunks(name: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks of a file of numbers without its byte-order mark, UTF-16 as ASCII.

    What is no ASCII in UTF-16 becomes `?`: it can't be part of a number.

    Raises:
        RefusedError: it is in another encoding.
    """
    head = next(chunks, b"")
    if marked_encoding(name, head) != "UTF-16":
        yield head.removeprefix(codecs.BOM_UTF8)
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    for chunk in chain([head], chunks):
        yield decoder.decode(chunk).encode("ascii", "replace")
    yield decoder.decode(b"", final=True).encode("ascii", "replace")


def marked_encoding(name: str, head: bytes) -> str | None:
    """The encoding that a byte-order mark names; None without one.

    Raises:
        RefusedError: it is one that no archive is written in.
    """
    marked = next((known for mark, known in _MARKS.items() if head.startswith(mark)), None)
    if marked == "UTF-32":
        raise wrong_encoding(name, "UTF-32", "UTF-8 or UTF-16 after a byte-order mark")
    if marked is None and _is_bare_utf16(head[:_HEAD]):
        raise wrong_encoding(name, "UTF-16 without its byte-order mark", "the mark before it")
    return marked


def _is_bare_utf16(head: bytes) -> bool:
    """Whether it begins with ASCII in two bytes each, one of them NUL."""
    first, second = head[0 : len(head) & ~1 : 2], head[1::2]
    if len(second) < 4:
        return False
    return (not any(second) and all(first)) or (not any(first) and all(second))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def wrong_encoding(name: str, got: str, expected: str) -> RefusedError:
    """The error for a file in another encoding."""
    return RefusedError(f"{name} is in another encoding", got=got, expected=expected)
