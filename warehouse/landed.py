"""Where a source is landed, whatever its kind, and what is recorded of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from warehouse.lines import Advance
from warehouse.raw_ids import User
from warehouse.staging import stage_rows
from warehouse.transforms.rules import MOVIELENS, Rules


@dataclass(frozen=True)
class Into:
    """Where the rows of a source go.

    Attributes:
        connection: has the tables `raw.*`, empty.
        folder: a staging folder.
        load_id: of the load.
        forgotten: users whose rows are left out, wherever they stand.
        progress: is told what is done and how much there is in all.
    """

    connection: duckdb.DuckDBPyConnection
    folder: Path
    load_id: str
    forgotten: Collection[User] = ()
    progress: Advance | None = None

    def tell(self, done: int, size: int) -> None:
        """Tell whoever wants to know how many bytes are done, and how many there are."""
        if self.progress:
            self.progress(done, size)

    def stage(self, tables: Sequence[str]) -> None:
        """Stage what was written into small tables."""
        for table in tables:
            rows = f"SELECT * FROM {table}"
            stage_rows(self.connection, self.folder, table, self.load_id, rows)


@dataclass(frozen=True)
class Origin:
    """What is recorded of a source.

    Attributes:
        source: name of its file or folder.
        sha256: of its bytes, as parsed.
        verified: whether it is what its name says; see `raw.loads`.
        rules: what it says of itself; MovieLens says nothing.
        description: as JSON; empty for MovieLens.
    """

    source: str
    sha256: str
    verified: bool
    rules: Rules = MOVIELENS
    description: str = ""
