"""Folders for what has not passed its audit: one a run and content, held while its owner lives."""

import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from warehouse import locks
from warehouse.database import connected, locked, quoted, table_files
from warehouse.faults import point
from warehouse.home import Home
from warehouse.store import staged_file, staged_files
from warehouse.stored import KEYS, drop_definitions, show_files, stored_tables

LOCK = "staging-"  # and the folder's name: the lock that its owner holds
AUDITED = "audited.duckdb"
ROWS_A_GROUP = 122_880  # DuckDB's own
POLARS: Mapping[str, Any] = {
    "BIGINT": pl.Int64,
    "INTEGER": pl.Int32,
    "TINYINT": pl.Int8,
    "FLOAT": pl.Float32,
    "VARCHAR": pl.String,
    "INTEGER[]": pl.List(pl.Int32),
    "TIMESTAMP": pl.Datetime("us"),
}
# quick to write and to read; rows in the order of the query, in DuckDB's own groups
PARQUET = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {ROWS_A_GROUP}"


@contextmanager
def staging_folder(home: Home, name: str) -> Iterator[Path]:
    """A new folder in `staging/` that nobody else has, gone at the end, whatever happens.

    Two runs at once that stage the same content do not meet. The lock is held before the folder is
    there, and the kernel frees it when its owner dies: a folder without a holder is garbage (see
    `warehouse/garbage.py`).

    Args:
        home: of the pipeline.
        name: what is staged, such as a load.
    """
    own = f"{name}-{secrets.token_hex(4)}"
    folder = home.staging / own
    with locked(home, f"{LOCK}{own}", wait_seconds=0):
        try:
            folder.mkdir(mode=0o750)
            point("a staging folder is made")
            yield folder
        finally:
            point("before a staging folder goes")
            shutil.rmtree(folder, ignore_errors=True)
            point("after a staging folder went")
            locks.remove(home.locks / f"{LOCK}{own}.lock")


def audited(folder: Path) -> Path:
    """The database that an audit of a staging folder reads."""
    return folder / AUDITED


@contextmanager
def auditable(
    folder: Path, others: Mapping[str, Sequence[Path]] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new database of all tables: views on what is staged in a folder, the small ones empty.

    Args:
        folder: of staged files.
        others: files of the store that belong beside them, by table.
    """
    with connected(audited(folder)) as connection:
        connection.begin()  # one wait for the disk instead of one a statement
        for path in table_files():
            connection.execute(_without_comments(path.read_text(encoding="utf-8")))
        drop_definitions(connection, KEYS)
        show_files(connection, {**(others or {}), **_there(folder)}, KEYS, said=False)
        connection.commit()
        yield connection


def stage_rows(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    table: str,
    identity: str,
    rows: str,
    parameters: Mapping[str, object] | None = None,
) -> int:
    """Write the rows of a query as a staged file; the connection's own table becomes its view.

    Args:
        connection: has the tables of `sql/schema`.
        folder: a staging folder.
        table: a stored table.
        identity: the load, snapshot or training whose rows they are.
        rows: a query that gives the table's columns by name.
        parameters: of the query.

    Returns:
        How many there are.
    """
    path = staged_file(folder, table, identity)
    types = stored_tables()[table].types
    columns = ", ".join(
        f'"{name}"::{types[name]} AS "{name}"' for name in stored_tables()[table].columns
    )
    done = connection.execute(
        f"COPY (SELECT {columns} FROM ({rows})) TO {quoted(str(path))} ({PARQUET})", parameters
    ).fetchall()
    point("a table's rows are staged")
    drop_definitions(connection, [table])
    show_files(connection, {table: [path]}, [table])
    return int(done[0][0])


def stage_frame(folder: Path, table: str, identity: str, frame: pl.DataFrame) -> None:
    """Write a frame as a staged file, with the columns and types of the table."""
    stored = stored_tables()[table]
    columns = [pl.col(name).cast(POLARS[stored.types[name]]) for name in stored.columns]
    frame.select(columns).write_parquet(
        staged_file(folder, table, identity),
        compression="zstd",
        compression_level=1,
        row_group_size=ROWS_A_GROUP,
    )
    point("a frame is staged")


def _without_comments(script: str) -> str:
    """Nobody reads an audit's database but the audit; comments take most of the script's time."""
    return "\n".join(line for line in script.splitlines() if not line.startswith("COMMENT ON"))


def _there(folder: Path) -> dict[str, list[Path]]:
    return {table: paths for table, paths in staged_files(folder).items() if paths}
