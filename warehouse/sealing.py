"""A Parquet file that holds the checksum of its own bytes, so that it comes into being at once.

A checksum in a file beside it would be a second rename, and a crash between the two leaves files
that disagree. The footer has a place of fixed length for it, which counts as zeros when the bytes
are hashed. One flipped bit can change a value for one reader and break the file for another one,
so it is the bytes that are checked, before anybody reads them.

fpt_model and warehouse each hold this file, the same to the byte, as neither may import the other.
"""

import hashlib
import re
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

KEY = "file_sha256"
NOTHING = "0" * 64
# key and value in Thrift's compact form, in which the footer is: a string's type, then its length
_SEAL = re.compile(re.escape(KEY.encode()) + rb"\x18\x40(.{64})", re.DOTALL)
FOOTER = 1 << 20  # bytes at the end in which the seal is looked for


def sealed(table: pa.Table) -> bytes:
    """The table as a Parquet file that is sealed."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({KEY: NOTHING})
    data = bytearray(sink.getvalue())
    start, end = _place(data) or (0, 0)
    data[start:end] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def is_whole(path: Path) -> bool | None:
    """Whether a file's bytes are those that were sealed; None where there is no seal."""
    before = max(0, path.stat().st_size - FOOTER)
    with path.open("rb") as file:
        file.seek(before)
        end = bytearray(file.read())
        place = _place(end)
        if place is None:
            return None
        said = bytes(end[slice(*place)])
        end[slice(*place)] = NOTHING.encode()
        return _sha256(file, before, end) == said


def _sha256(file: IO[bytes], before: int, end: bytearray) -> bytes:
    """In hex, of a file's first bytes and of an end that follows: files may be large."""
    digest = hashlib.sha256()
    file.seek(0)
    while before:
        chunk = file.read(min(before, FOOTER))
        digest.update(chunk)
        before -= len(chunk) or before  # what became shorter meanwhile has another hash
    digest.update(end)
    return digest.hexdigest().encode()


def _place(data: bytearray) -> tuple[int, int] | None:
    """Where the checksum stands, if it stands anywhere."""
    found = list(_SEAL.finditer(data, max(0, len(data) - FOOTER)))
    return found[-1].span(1) if found else None
