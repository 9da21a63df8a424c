"""A table of a SQLite file, through Python's sqlite3: DuckDB would have to fetch an extension.

SQLite has types of values, not of columns: all become texts, and are read as those of a CSV.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from warehouse.errors import RefusedError
from warehouse.own_data.rows import Column, chosen_table, identifier, nothing_broken

BATCH_ROWS = 100_000


class SqliteTable:
    """A table or view of a SQLite file; its columns are texts to DuckDB."""

    kind = "SQLite"

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, table: str | None
    ) -> None:
        self._connection, self._path = connection, path
        with self._open() as file:
            found = file.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') "
                "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
            ).fetchall()
            self._table = chosen_table(path, [str(row[0]) for row in found], table)
            rows = file.execute("SELECT name FROM pragma_table_info(?)", [self._table]).fetchall()
            self._order = _order(file, self._table)
        self.columns: Sequence[Column] = [Column(str(name), "VARCHAR") for (name,) in rows]
        self.notes: Sequence[str] = (
            [] if self._order else ["its rows are in the order in which SQLite gives them"]
        )

    def load(self, into: str, wanted: Mapping[str, str], limit: int | None = None) -> None:
        """See `Source`."""
        with self._open() as file:
            self._refuse_binary(file, wanted)
            chosen = ", ".join(_as_text(identifier(name)) for name in wanted.values())
            few = "" if limit is None else f" LIMIT {limit}"
            query = f"SELECT {chosen} FROM {identifier(self._table)}{self._order}{few}"
            names = list(wanted)
            empty = ", ".join(f"{identifier(name)} VARCHAR" for name in names)
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {into} ({empty})")
            rows = file.execute(query)
            while batch := rows.fetchmany(BATCH_ROWS):
                columns = [pa.array(values, pa.string()) for values in zip(*batch, strict=True)]
                self._connection.register("own_batch", pa.table(columns, names))
                self._connection.execute(f"INSERT INTO {into} FROM own_batch")
                self._connection.unregister("own_batch")
        self._connection.execute(nothing_broken(into))

    def _refuse_binary(self, file: sqlite3.Connection, wanted: Mapping[str, str]) -> None:
        for name in wanted.values():
            column = identifier(name)
            query = (
                f"SELECT count(*) FROM {identifier(self._table)} WHERE typeof({column}) = 'blob'"
            )
            if found := file.execute(query).fetchone()[0]:
                raise RefusedError(
                    f"{self._path}: {name} holds binary values",
                    got=f"{found:,} of them",
                    expected="texts and numbers",
                    to_do=f"Give a view that writes them as text, such as hex({name})",
                )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            file = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)
            try:
                yield file
            finally:
                file.close()
        except sqlite3.Error as error:
            raise RefusedError(f"{self._path} can't be read as SQLite", got=str(error)) from error


def _as_text(column: str) -> str:
    """A float with all its digits: SQLite's own cast keeps 15 of them."""
    return (
        f"CASE typeof({column}) WHEN 'real' THEN printf('%!.17g', {column}) "
        f"ELSE CAST({column} AS TEXT) END"
    )


def _order(file: sqlite3.Connection, table: str) -> str:
    """By rowid, as an index could give another order; views and tables without it have none."""
    try:
        file.execute(f"SELECT rowid FROM {identifier(table)} LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        return ""
    return " ORDER BY rowid"
