"""Tables, views and comments of a catalogue: made, or brought up to date with this code."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import duckdb

from warehouse import stored
from warehouse.database import SQL, connected, statements, table_files, view_files
from warehouse.home import Home
from warehouse.identity import code_version
from warehouse.kept_figures import KEPT as KEPT_FIGURES
from warehouse.kept_figures import figure_files
from warehouse.renamed import rename
from warehouse.store import show_listed
from warehouse.stored import KEYS, columns_of, comment_columns, drop_definitions, kept_tables
from warehouse.template import write_new

FIGURES = {f"mart.{name}" for name in KEPT_FIGURES}
NO_HOME = Home(Path())  # of a catalogue without files


@contextmanager
def connected_to_new(path: Path, home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """The catalogue of a home in which nothing is published, as a new file."""
    write_new(path, create_schema, _wanted_version())
    with connected(path) as connection:
        connection.execute("UPDATE mart.catalogue SET root = ?", [str(home.files)])
        yield connection


def is_current(connection: duckdb.DuckDBPyConnection, home: Home) -> bool:
    """Whether tables and views are those of this code, and name files of this home."""
    return _made_for(connection) == (_wanted_version(), str(home.files))


def _made_for(connection: duckdb.DuckDBPyConnection) -> tuple[str, str] | None:
    """The version of the code that made tables and views, and the folder whose files they name."""
    try:
        rows = connection.execute("SELECT version, root FROM mart.catalogue").fetchall()
    except duckdb.CatalogException:  # no such table yet; the list of tables takes 8 ms to ask
        return None
    return rows[0] if len(rows) == 1 else None


def make_current(connection: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Bring tables and views up to date with this code, and with where the home lies."""
    made_for = _made_for(connection)
    if made_for is None or made_for[0] != _wanted_version():
        create_schema(connection, home)
    elif made_for[1] != str(home.files):  # the home was moved, or copied
        connection.begin()
        show_listed(connection, home, KEYS)
        connection.execute("UPDATE mart.catalogue SET root = ?", [str(home.files)])
        connection.commit()


def create_schema(connection: duckdb.DuckDBPyConnection, home: Home = NO_HOME) -> None:
    """Make tables, views and comments, or bring those of older code or another home up to date."""
    from warehouse.run_figures import bring_up_to_date  # and Arrow, not for those who only read

    connection.begin()
    views = set(_views(connection))
    for name in KEYS:
        if name in views:
            connection.execute(f"DROP VIEW {name}")
    with _carried_over(connection):
        for path in table_files():
            connection.execute(path.read_text(encoding="utf-8"))
    drop_definitions(connection, KEYS)
    show_listed(connection, home, KEYS)
    connection.execute(statements("publish/import_splits"))
    rename(connection)
    for path in view_files():
        connection.execute(path.read_text(encoding="utf-8"))
    comment_columns(connection, without=KEYS)
    connection.execute(
        "INSERT INTO mart.catalogue SELECT 0, '', '' WHERE NOT EXISTS (FROM mart.catalogue)"
    )
    connection.execute(
        "UPDATE mart.catalogue SET version = ?, root = ?", [_wanted_version(), str(home.files)]
    )
    bring_up_to_date(connection)
    connection.commit()


@contextmanager
def _carried_over(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Tables that older code defined otherwise are made anew in the block; their rows stay.

    Columns that are no more are left out. Figures are none of these: they are computed again.
    """
    there = columns_of(connection)
    changed = [name for name, of in kept_tables().items() if there.get(name, of) != of]
    for place, name in enumerate(changed):
        connection.execute(f"CREATE TEMP TABLE carried_{place} AS FROM {name}")
        connection.execute(f"DROP TABLE {name}")
    yield
    for place, name in enumerate(changed):
        if name not in FIGURES:
            both = [column for column in kept_tables()[name] if column in there[name]]
            shared = ", ".join(both)
            connection.execute(f"INSERT INTO {name} BY NAME SELECT {shared} FROM carried_{place}")
        connection.execute(f"DROP TABLE carried_{place}")


def _views(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute(
        "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"
    ).fetchall()
    return [name for (name,) in rows]


@cache
def _wanted_version() -> str:
    ours = [SQL / "columns.sql", Path(stored.__file__)]
    return code_version([*table_files(), *view_files(), *figure_files(), *ours])
