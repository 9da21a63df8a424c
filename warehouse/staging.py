"""Folders for what has not passed its audit: one a run and content, held while its owner lives."""

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse import locks
from warehouse.database import connected, locked, quoted, table_files
from warehouse.faults import point
from warehouse.home import Home
from warehouse.store import staged_file, staged_files
from warehouse.stored import KEYS, drop_definitions, show_files, stored_tables

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
ARROW: Mapping[str, pa.DataType] = {
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "TINYINT": pa.int8(),
    "FLOAT": pa.float32(),
    "VARCHAR": pa.string(),
    "INTEGER[]": pa.list_(pa.int32()),
    "TIMESTAMP": pa.timestamp("us"),
}
WORDS = pa.dictionary(pa.int32(), pa.string())  # in a file text like any other
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
    with locked(home, f"{locks.STAGING}{own}", wait_seconds=0):
        try:
            folder.mkdir(mode=0o750)
            point("a staging folder is made")
            yield folder
        finally:
            point("before a staging folder goes")
            shutil.rmtree(folder, ignore_errors=True)
            point("after a staging folder went")
            locks.remove(home.locks / f"{locks.STAGING}{own}.lock")


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
    _staged()


def _staged() -> None:
    """Whole, or in parts: to whoever dies here it is the same place."""
    point("a frame is staged")


class StagedTable:
    """A staged file that is written in parts; where they are cut does not matter.

    Args:
        folder: a staging folder.
        table: a stored table.
        identity: the load, snapshot or training whose rows they are.
    """

    def __init__(self, folder: Path, table: str, identity: str) -> None:
        self._path = staged_file(folder, table, identity)
        stored = stored_tables()[table]
        self._types = {name: stored.types[name] for name in stored.columns}
        self._rows = Regrouped(ROWS_A_GROUP, self._write)
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._rows.end()
            if self._writer is None:
                types = [(name, ARROW[of]) for name, of in self._types.items()]
                self._write(pa.schema(types).empty_table())
        if self._writer:
            self._writer.close()
        _staged()

    def add(self, frame: pl.DataFrame) -> None:
        """The next rows; of every part columns are words of a list, or none is."""
        columns, fields = [], []
        for name, kind in self._types.items():
            listed = isinstance(frame.schema[name], pl.Enum)  # as numbers: quicker by far
            columns.append(pl.col(name) if listed else pl.col(name).cast(POLARS[kind]))
            fields.append((name, WORDS if listed else ARROW[kind]))
        self._rows.add(frame.select(columns).to_arrow().cast(pa.schema(fields)))

    def _write(self, rows: pa.Table) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path,
                rows.schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=[name for name, kind in self._types.items() if kind == "VARCHAR"],
                store_schema=False,
            )
        self._writer.write_table(rows, row_group_size=ROWS_A_GROUP)


class Regrouped:
    """Rows that come in parts of any length and go on in groups of one length, but for the last.

    Args:
        length: of a group.
        write: takes some whole groups, at the end what remains.
    """

    def __init__(self, length: int, write: Callable[[pa.Table], None]) -> None:
        self.length, self.write = length, write
        self._waiting: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        """The next rows."""
        self._waiting.append(rows)
        whole = sum(map(len, self._waiting)) // self.length * self.length
        if whole:
            rows = pa.concat_tables(
                self._waiting
            ).combine_chunks()  # else bytes tell where it was cut
            self.write(rows[:whole])
            self._waiting = [rows[whole:]]

    def end(self) -> None:
        """What remains."""
        if sum(map(len, self._waiting)):
            self.write(pa.concat_tables(self._waiting).combine_chunks())


def _without_comments(script: str) -> str:
    """Nobody reads an audit's database but the audit; comments take most of the script's time."""
    return "\n".join(line for line in script.splitlines() if not line.startswith("COMMENT ON"))


def _there(folder: Path) -> dict[str, list[Path]]:
    return {table: paths for table, paths in staged_files(folder).items() if paths}
