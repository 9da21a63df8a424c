"""The lake's tables and views: those of `sql/`, as far as DuckLake knows such things.

It has no keys and no comments on columns of views. Bulky tables are tables there, not views on
files: whoever attaches the lake by DuckDB's own means reads them without us.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import duckdb

from warehouse.database import quoted, table_files, view_files
from warehouse.errors import RefusedError
from warehouse.lake.attached import LAKE
from warehouse.stored import comment_columns

SCHEMAS = ("raw", "core", "mart")
NEWER = "Install the version that the others use"
_READ = re.compile(r"\b(FROM|JOIN)\s+(raw|core|mart)\.(\w+)\b(?:\s+AS\s+(\w+))?")


@dataclass(frozen=True)
class Column:
    """Of a table: its type, and what is said of it."""

    kind: str
    needed: bool
    comment: str | None


Columns = Mapping[str, Column]


@cache
def wanted() -> dict[str, Columns]:
    """Columns of every table that this code knows, by its name with its schema."""
    with _defined() as connection:
        rows = connection.execute(
            "SELECT schema_name || '.' || table_name, column_name, data_type, NOT is_nullable, "
            "comment FROM duckdb_columns() WHERE NOT internal "
            "ORDER BY schema_name, table_name, column_index"
        ).fetchall()
    found: dict[str, dict[str, Column]] = {}
    for table, name, kind, needed, comment in rows:
        found.setdefault(table, {})[name] = Column(kind, needed, comment)
    return dict(found)


@cache
def _comments() -> dict[str, str | None]:
    with _defined() as connection:
        rows = connection.execute(
            "SELECT schema_name || '.' || table_name, comment FROM duckdb_tables()"
        ).fetchall()
    return dict(rows)


def _defined() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for path in table_files():
        connection.execute(path.read_text(encoding="utf-8"))
    comment_columns(connection)
    return connection


def there(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Columns and types of the lake's tables in our schemas; whatever else is there is not ours."""
    rows = connection.execute(
        "SELECT schema_name || '.' || table_name, column_name, data_type FROM duckdb_columns() "
        "SEMI JOIN (FROM duckdb_tables() WHERE database_name = $lake) AS t "
        "USING (database_name, schema_name, table_name) WHERE list_contains($ours, schema_name) "
        "ORDER BY ALL",
        {"lake": LAKE, "ours": list(SCHEMAS)},
    ).fetchall()
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        found.setdefault(table, {})[column] = kind
    return found


def refuse_newer(found: Mapping[str, Mapping[str, str]]) -> None:
    """What this code does not know, it would lose.

    Raises:
        RefusedError: there is a table or column that it does not know, or one of another type.
    """
    for table, columns in found.items():
        known = wanted().get(table, {})
        for name, kind in columns.items():
            if name not in known or known[name].kind != kind:
                expected = f"{known[name].kind}" if name in known else "no such column"
                raise RefusedError(
                    "A newer version made this lake",
                    got=f"{table}.{name} {kind}",
                    expected=expected,
                    to_do=NEWER,
                )


def bring_up_to_date(connection: duckdb.DuckDBPyConnection) -> None:
    """Make what tables and columns are missing, and all views anew, in the caller's transaction."""
    found = there(connection)
    refuse_newer(found)
    for schema in SCHEMAS:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for table in wanted():
        for statement in _made(table, found.get(table)):
            connection.execute(statement)
    for statement in _views(connection):
        connection.execute(statement)


def _made(table: str, found: Mapping[str, str] | None) -> Iterator[str]:
    """The statements that make a table, or bring one with these columns up to date."""
    columns = wanted()[table]
    lacking = {name: one for name, one in columns.items() if name not in (found or {})}
    if found is None:
        defined = (f'"{n}" {c.kind}{" NOT NULL" * c.needed}' for n, c in columns.items())
        yield f"CREATE TABLE {table} ({', '.join(defined)})"
        if comment := _comments()[table]:
            yield f"COMMENT ON TABLE {table} IS {quoted(comment)}"
    else:  # its rows have no value there
        yield from (f'ALTER TABLE {table} ADD COLUMN "{n}" {c.kind}' for n, c in lacking.items())
    for name, one in lacking.items():
        if one.comment:
            yield f'COMMENT ON COLUMN {table}."{name}" IS {quoted(one.comment)}'


def _views(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """The statements of `sql/views`, but for comments on columns."""
    for path in view_files():
        for statement in connection.extract_statements(path.read_text(encoding="utf-8")):
            if "COMMENT ON COLUMN" not in statement.query:
                yield without_hidden_columns(statement.query)


def without_hidden_columns(query: str) -> str:
    """A query that reads of each table what its definition names.

    Each of DuckLake's tables has more, among them a `snapshot_id`: it would be joined by ours.

    >>> without_hidden_columns("SELECT a FROM mart.files JOIN mart.epochs AS e USING (b)")
    'SELECT a FROM (FROM mart.files) AS files JOIN (FROM mart.epochs) AS e USING (b)'
    >>> without_hidden_columns("FROM mart.leaderboard")
    'FROM mart.leaderboard'
    """

    def inside(found: re.Match[str]) -> str:
        word, schema, name, alias = found.groups()
        if f"{schema}.{name}" not in wanted():
            return found[0]
        return f"{word} (FROM {schema}.{name}) AS {alias or name}"

    return _READ.sub(inside, query)
