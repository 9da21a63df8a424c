"""From a file of scores to staged ranks by our rule: the same that our own models are ranked by."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from warehouse.catalogue import reading
from warehouse.database import SQL, connected, statements
from warehouse.errors import RefusedError
from warehouse.forgetting import forgotten_users
from warehouse.home import Home
from warehouse.identity import code_version, identify, sha256_of
from warehouse.importing import given, kinds
from warehouse.importing.kinds import Kind
from warehouse.records import Snapshot
from warehouse.staging import stage_frame
from warehouse.store import stored_files
from warehouse.stored import show_files

OWN = Path(__file__).parent
RANKING = "ranking.duckdb"
MEMORY_LIMIT = "1GB"  # as fast as more of it, for 20 million rows


@dataclass(frozen=True)
class Asked:
    """What the owner of a file says of it.

    Attributes:
        path: the file.
        name: of the model.
        split: of its rows, where they don't say.
        kind: which of the three; None: the file tells.
        trained_on: `train`, or `train+valid`; None: not said.
        promise: what else is promised of its training, in words.
    """

    path: Path
    name: str
    split: str = "test"
    kind: str | None = None
    trained_on: str | None = None
    promise: str | None = None


@dataclass(frozen=True)
class Imported:
    """A file's ranks, staged, and what is kept of it; see `mart.imports`."""

    run_id: str
    snapshot_id: str
    name: str
    kind: Kind
    known_to: int | None
    trained_on: str | None
    promise: str | None
    file: str
    file_sha256: str
    splits: tuple[str, ...]
    n_rows: int
    n_users: int
    n_without: int
    n_seen: int
    n_left_out: int

    @property
    def protocols(self) -> tuple[str, ...]:
        """Among what it is ranked."""
        return kinds.PROTOCOLS[self.kind]


def import_id(asked: Asked, snapshot: Snapshot, file_sha256: str) -> str:
    """Hash of all that determines what is published of a file."""
    said = (asked.name, asked.split, asked.kind, asked.trained_on, asked.promise)
    return identify("import", snapshot.snapshot_id, said, file_sha256, code_version(_sources()))


def _sources() -> Iterable[Path]:
    return [*OWN.glob("*.py"), *(SQL / "importing").glob("*.sql")]


def rank_file(
    home: Home, snapshot: Snapshot, asked: Asked, file_sha256: str, folder: Path
) -> Imported:
    """Check a file, rank each held-out item by its scores, and stage the ranks in a folder.

    Rows are read as a stream; what does not fit into memory goes to the folder's disk.

    Raises:
        RefusedError: it is no such file, it lacks scores, or it changed while it was read.
    """
    with _ranking(home, snapshot, folder) as connection:
        forgotten = forgotten_users(home, _dataset(home, snapshot))
        rows = given.take_rows(connection, asked.path, snapshot, asked.split, forgotten)
        connection.execute(statements("importing/places"), {"snapshot_id": snapshot.snapshot_id})
        found = kinds.summary(connection)
        kind = kinds.kind_of(connection, found, asked.kind, asked.path.name)
        imported = Imported(
            run_id=import_id(asked, snapshot, file_sha256),
            snapshot_id=snapshot.snapshot_id,
            name=asked.name,
            kind=kind,
            known_to=kinds.known_to(kind, found),
            trained_on=asked.trained_on,
            promise=asked.promise,
            file=asked.path.name,
            file_sha256=file_sha256,
            splits=_splits(connection),
            n_rows=rows.all,
            n_users=found.n_users,
            n_without=found.n_without,
            n_seen=found.n_seen,
            n_left_out=rows.of_others + rows.of_other_items,
        )
        ranks = connection.sql(
            statements("importing/ranks"),
            params={"protocols": list(imported.protocols), "listed": kind == "top"},
        ).pl()
    if sha256_of(asked.path) != file_sha256:
        raise RefusedError(f"{asked.path.name} changed while it was read", to_do="Try again")
    stage_frame(folder, "mart.user_ranks", imported.run_id, ranks)
    return imported


@contextmanager
def _ranking(home: Home, snapshot: Snapshot, folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new database in a folder, with views of the snapshot's tables and its load's."""
    with reading(home) as catalogue:
        files = {
            table: [path]
            for identity in (snapshot.load_id, snapshot.snapshot_id)
            for table, path in stored_files(catalogue, home, identity).items()
        }
    with connected(folder / RANKING) as connection:
        connection.execute("SET preserve_insertion_order = false")
        if "FPT_MEMORY_LIMIT" not in os.environ:
            connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("CREATE SCHEMA raw; CREATE SCHEMA core")
        names = [name for name in files if name.partition(".")[0] in ("raw", "core")]
        show_files(connection, files, names, said=False)
        for kind in ("user", "item"):
            if f"raw.{kind}_keys" not in files:  # of an archive
                columns = f"load_id VARCHAR, raw_{kind}_id BIGINT, {kind}_key VARCHAR"
                connection.execute(f"CREATE TABLE raw.{kind}_keys ({columns})")
        yield connection


def _dataset(home: Home, snapshot: Snapshot) -> str:
    query = "SELECT dataset FROM raw.loads WHERE load_id = ?"
    with reading(home) as connection:
        return str(connection.execute(query, [snapshot.load_id]).fetchall()[0][0])


def _splits(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    query = "SELECT DISTINCT split FROM places ORDER BY split DESC"
    return tuple(split for (split,) in connection.execute(query).fetchall())
