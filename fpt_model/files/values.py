"""What a table says, whatever bytes a library keeps it as.

Another version of a library packs the same values in other bytes, and one flipped bit can make
other values of them without an error: so a table is known, and checked, by the hash of its values.
fpt_model and warehouse each hold this file, the same to the byte, as neither may import the other.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

KEY = "values_sha256"  # in the Parquet file's key-value metadata
FACTS = ("n_items", "snapshot_id", "genres")  # what else that metadata says of the values


class Digest:
    """The hash of a table that comes in parts; where it is cut does not matter, nor does padding.

    Args:
        schema: of all parts. The order of its columns does not matter, their types do.

    Raises:
        ValueError: a column is of a type that no table of ours has.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._columns = {field.name: _Column(field.type) for field in schema}
        metadata = schema.metadata or {}
        self._facts = [
            (name, metadata[name.encode()]) for name in FACTS if name.encode() in metadata
        ]

    def add(self, part: pa.Table) -> None:
        """Take the next rows."""
        for name, column in self._columns.items():
            for chunk in part[name].chunks:
                column.add(chunk)

    def hexdigest(self) -> str:
        """SHA-256 of all that was added."""
        lines = [f"{name} {value.decode()!r}" for name, value in self._facts]
        lines += [f"{name!r} {column}" for name, column in sorted(self._columns.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class _Column:
    """The hash of an array that comes in chunks: values, lengths where it has any, and nulls."""

    def __init__(self, kind: pa.DataType) -> None:
        self.kind = _plain(kind)
        self._values, self._lengths, self._nulls = (hashlib.sha256() for _ in range(3))
        nested = pa.types.is_large_list(self.kind)
        self._inner = _Column(self.kind.value_type) if nested else None
        self._rows = 0

    def __str__(self) -> str:
        parts = [part.hexdigest() for part in (self._values, self._lengths, self._nulls)]
        return f"{self.kind} {self._rows} {' '.join(parts)} [{self._inner or ''}]"

    def add(self, chunk: pa.Array) -> None:
        import pyarrow.compute as pc  # a tenth of a second, which a question does without

        values = chunk if chunk.type == self.kind else chunk.cast(self.kind)
        if values.null_count:
            places = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))
            self._nulls.update(_bytes(places + self._rows, "<i8"))
            values = values.drop_null()
        self._rows += len(chunk)
        if self._inner is not None:
            self._lengths.update(_bytes(pc.list_value_length(values), "<i8"))
            self._inner.add(values.flatten())
        elif pa.types.is_large_string(self.kind):
            self._lengths.update(_bytes(pc.binary_length(values), "<i8"))
            self._values.update(_text(values))
        else:
            self._values.update(_bytes(values, f"<{self.kind.to_pandas_dtype()().dtype.str[1:]}"))


def _plain(kind: pa.DataType) -> pa.DataType:
    """One type for all in which libraries keep the same values."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.large_list(pa.field("item", _plain(kind.value_type)))
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        return pa.large_string()
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ValueError(f"no hash of {kind}")
    return kind


def _bytes(values: "np.ndarray | pa.Array", kind: str) -> bytes | memoryview:
    array = values if isinstance(values, np.ndarray) else values.to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(array, np.dtype(kind)).view(np.uint8).data


def _text(values: pa.Array) -> bytes | memoryview:
    """The bytes of strings one after the other."""
    if not len(values):
        return b""
    _, places, data = values.buffers()
    ends = np.frombuffer(places, np.int64)[values.offset : values.offset + len(values) + 1]
    return memoryview(data or b"")[ends[0] : ends[-1]]


def values_sha256(source: pa.Table | Path) -> str:
    """The hash of a table's values, or of those in a Parquet file.

    Raises:
        ValueError: it is no table of ours.
        pyarrow.ArrowException, OSError: the file can't be read.
    """
    if isinstance(source, pa.Table):
        return _hash(source.schema, [source])
    with pq.ParquetFile(source) as file:
        groups = (file.read_row_group(number) for number in range(file.num_row_groups))
        return _hash(file.schema_arrow, groups)


def _hash(schema: pa.Schema, parts: Iterable[pa.Table]) -> str:
    digest = Digest(schema)
    for part in parts:
        digest.add(part)
    return digest.hexdigest()


def stated(path: Path) -> str | None:
    """The hash that a Parquet file itself says its values have; None where it says none.

    Raises:
        pyarrow.ArrowException, OSError: the file can't be read.
    """
    found = (pq.read_metadata(path).metadata or {}).get(KEY.encode())
    return found.decode("ascii", "replace") if found else None


def stating(table: pa.Table) -> pa.Table:
    """The same table, its metadata with the hash of its values: as a file, it checks itself."""
    return table.replace_schema_metadata(
        {**(table.schema.metadata or {}), KEY.encode(): values_sha256(table)}
    )
