"""Tables that are kept as immutable Parquet files, and the views through which they are read.

A file holds the rows of one load, snapshot or training. Its id is not in the file: it is the name
of the file's folder (`run_id=3f2a…`), so a question about one training opens that file alone.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb

from warehouse.database import literal_glob, quoted, statements, table_files, view_files

KEYS: Mapping[str, str] = {
    "raw.ratings": "load_id",
    "raw.items": "load_id",
    "raw.users": "load_id",
    "raw.rejects": "load_id",
    "raw.user_keys": "load_id",
    "raw.item_keys": "load_id",
    "core.interactions": "snapshot_id",
    "core.items": "snapshot_id",
    "core.users": "snapshot_id",
    "core.candidates": "snapshot_id",
    "mart.user_ranks": "run_id",
    "mart.top_lists": "run_id",
    "mart.next_targets": "snapshot_id",
    "mart.next_ranks": "run_id",
    "mart.recommendations": "run_id",
}
OWN = ("raw.user_keys", "raw.item_keys")  # a file of each for a load of own data
RAW = tuple(name for name in KEYS if name.startswith("raw.") and name not in OWN)  # for any load
CORE = tuple(name for name in KEYS if name.startswith("core."))  # of each for a snapshot


@dataclass(frozen=True)
class StoredTable:
    """A table of `sql/schema`, kept as files.

    Attributes:
        name: with its schema.
        key: the column that a file has one value of.
        types: DuckDB's type of each column, the key's too, in their order.
        comment: of the table.
        comments: of each column.
    """

    name: str
    key: str
    types: Mapping[str, str]
    comment: str
    comments: Mapping[str, str]

    @property
    def columns(self) -> list[str]:
        """What a file holds: all but the key."""
        return [name for name in self.types if name != self.key]

    def view(self, files: Sequence[Path]) -> str:
        """The statement that makes its view on files, each in a folder `<key>=<id>`."""
        shown = ", ".join(f'"{name}"' for name in self.types)
        if not files:
            empty = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in self.types.items())
            return f"CREATE OR REPLACE VIEW {self.name} AS SELECT {empty} WHERE false"
        listed = ", ".join(quoted(literal_glob(path)) for path in files)
        return (
            f"CREATE OR REPLACE VIEW {self.name} AS SELECT {shown} FROM read_parquet([{listed}], "
            f"hive_partitioning = true, hive_types = {{'{self.key}': VARCHAR}})"
        )

    def said(self) -> list[str]:
        """The statements that put its comments on its view."""
        columns = (
            f'COMMENT ON COLUMN {self.name}."{name}" IS {quoted(text)}'
            for name, text in self.comments.items()
        )
        return [f"COMMENT ON VIEW {self.name} IS {quoted(self.comment)}", *columns]


def show_files(
    connection: duckdb.DuckDBPyConnection,
    files: Mapping[str, Sequence[Path]],
    names: Iterable[str],
    *,
    said: bool = True,
) -> None:
    """Make the views of the named tables anew, on these files of each; `said`: with comments."""
    for name in names:
        table = stored_tables()[name]
        connection.execute(table.view(files.get(name, ())))
        for statement in table.said() if said else ():
            connection.execute(statement)


def drop_definitions(connection: duckdb.DuckDBPyConnection, names: Iterable[str]) -> None:
    """Remove the empty tables that `sql/schema` made, to make room for their views."""
    for name in names:
        connection.execute(f"DROP TABLE {name}")


@cache
def kept_tables() -> dict[str, dict[str, str]]:
    """Columns and types of the tables that stay tables, as `sql/schema` defines them."""
    return {name: of for name, of in _defined().types.items() if name not in KEYS}


def columns_of(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Columns and types of every table of a database, in their order; views left out."""
    found: dict[str, dict[str, str]] = {}
    rows = connection.execute(
        "SELECT schema_name || '.' || table_name, column_name, data_type FROM duckdb_columns() "
        "SEMI JOIN duckdb_tables() USING (table_oid) WHERE NOT internal "
        "ORDER BY schema_name, table_name, column_index"
    ).fetchall()
    for table, column, kind in rows:
        found.setdefault(table, {})[column] = kind
    return found


def comment_columns(connection: duckdb.DuckDBPyConnection, without: Iterable[str] = ()) -> None:
    """Say of columns what `sql/columns.sql` says of their names, where nothing more is said.

    Args:
        connection: has the tables, and perhaps the views.
        without: names of tables that are left alone.
    """
    left = {*_commented(), *without}
    for name, column, says in connection.execute(statements("columns")).fetchall():
        if not {name, f"{name}.{column}"} & left:
            connection.execute(f'COMMENT ON COLUMN {name}."{column}" IS {quoted(says)}')


@cache
def _commented() -> set[str]:
    """Columns of which a table's or view's own file says something."""
    files = [path.read_text(encoding="utf-8") for path in (*table_files(), *view_files())]
    return {name for text in files for name in re.findall(r"(?m)^COMMENT ON COLUMN (\S+) IS", text)}


@dataclass(frozen=True)
class _Defined:
    """All tables of `sql/schema`: types and comments of their columns, and their own comments."""

    types: dict[str, dict[str, str]]
    said: dict[str, dict[str, str]]
    comments: dict[str, str]


@cache
def _defined() -> _Defined:
    with duckdb.connect() as connection:
        for path in table_files():
            connection.execute(path.read_text(encoding="utf-8"))
        comment_columns(connection)
        name = "schema_name || '.' || table_name"
        comments = connection.execute(f"SELECT {name}, comment FROM duckdb_tables()").fetchall()
        said = connection.execute(
            f"SELECT {name}, column_name, comment FROM duckdb_columns() WHERE NOT internal "
            "ORDER BY schema_name, table_name, column_index"
        ).fetchall()
        found = _Defined(columns_of(connection), {}, dict(comments))
    for table, column, text in said:
        found.said.setdefault(table, {})[column] = text
    return found


@cache
def stored_tables() -> dict[str, StoredTable]:
    """All of them by name, as `sql/schema` defines them."""
    all_of = _defined()
    return {
        name: StoredTable(name, key, all_of.types[name], all_of.comments[name], all_of.said[name])
        for name, key in KEYS.items()
    }
