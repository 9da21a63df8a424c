"""The file that is handed to training (docs/architecture.md), written in parts."""

from pathlib import Path
from typing import Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.faults import point
from warehouse.identity import sha256_of
from warehouse.placing import put_in_place
from warehouse.staging import Regrouped
from warehouse.transforms.core import CoreTables
from warehouse.transforms.genres import genres
from warehouse.transforms.rules import Rules
from warehouse.transforms.sequences import sequences
from warehouse.values import KEY, Digest

_LISTS = {
    "item_ids": pa.int32(),
    "timestamps": pa.int64(),
    "weeks": pa.int8(),
    "ratings": pa.int8(),
}
SEQUENCES_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.int32()),
        *(pa.field(name, pa.list_(kind)) for name, kind in _LISTS.items()),
        pa.field("n_train", pa.int32()),
        pa.field("time_scale", pa.int64()),
        pa.field("valid_candidates", pa.list_(pa.int32())),
        pa.field("test_candidates", pa.list_(pa.int32())),
    ]
)
USERS_A_GROUP = 2048  # groups are read side by side, or one after the other


class SequencesFile:
    """A sequences file in the making, whole or not at all, with the hash of its values in it.

    Args:
        path: where it will be.
        items: as `core.items`, ordered by `item_id`; `n_train` is not asked for.
        rules: by which the tables were made.
        identity: the snapshot's.

    Attributes:
        sha256: of its bytes, once it is there.
    """

    sha256 = ""

    def __init__(self, path: Path, items: pl.DataFrame, rules: Rules, identity: str) -> None:
        self.path, self._partial = path, path.with_suffix(".partial")
        self.schema = SEQUENCES_SCHEMA.with_metadata(_metadata(items, rules, identity))
        self._digest = Digest(self.schema)
        self._rows = Regrouped(USERS_A_GROUP, self._write)
        self._writer = pq.ParquetWriter(
            self._partial, self.schema, compression="zstd", use_dictionary=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._writer.close()
            return
        self._rows.end()
        self._writer.add_key_value_metadata({KEY: self._digest.hexdigest()})
        self._writer.close()
        self.sha256 = sha256_of(self._partial)
        point("sequences are written")
        put_in_place(self._partial, self.path)
        Path(f"{self.path}.sha256").unlink(missing_ok=True)  # an older version's, of what was there

    def add(self, tables: CoreTables, drawn: pl.DataFrame) -> None:
        """The sequences of the next users, from their tables and candidates."""
        rows = sequences(tables, drawn.lazy()).collect().select(self.schema.names)
        for group in rows.iter_slices(USERS_A_GROUP):
            self._rows.add(group.to_arrow().cast(self.schema))

    def _write(self, rows: pa.Table) -> None:
        self._digest.add(rows)
        self._writer.write_table(rows, row_group_size=USERS_A_GROUP)


def write_sequences(path: Path, tables: CoreTables, drawn: pl.DataFrame, identity: str) -> str:
    """Write those of all users. Returns the file's checksum."""
    with SequencesFile(path, tables.items, tables.rules, identity) as file:
        file.add(tables, drawn)
    return file.sha256


def _metadata(items: pl.DataFrame, rules: Rules, identity: str) -> dict[str, str]:
    metadata = {"snapshot_id": identity, "n_items": str(items.height)}
    if rules.comes_again:
        metadata["repeats"] = rules.repeats
    if known := genres(items):
        metadata["genres"] = known
    return metadata
