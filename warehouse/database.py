"""Opening the writers' database: one process at a time, with a bounded wait."""

import atexit
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock, Timeout

from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.identity import code_version
from warehouse.locks import holder, signed

SQL = Path(__file__).parent / "sql"
WAIT_SECONDS = 120.0
# of new files: shells and BI tools, which open the readers' copy, are often a version behind
STORAGE_VERSION = "v1.4.0"
MEMORY_LIMIT = os.environ.get("FPT_MEMORY_LIMIT", "4GB")


def statements(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


def literal_glob(path: Path) -> str:
    """A pattern that matches this file alone: DuckDB takes every path as a glob.

    >>> literal_glob(Path("/data/[x].parquet"))
    '/data/[[]x].parquet'
    """
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def quoted(text: str) -> str:
    """An SQL string, for the statements that take no parameters.

    >>> quoted("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def locked(home: Home, name: str, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the lock `name` of a home; the kernel frees it when its process dies.

    Raises:
        RefusedError: another process holds it for longer than `wait_seconds`.
    """
    path = home.locks / f"{name}.lock"
    try:
        with FileLock(path, timeout=wait_seconds, mode=0o640), signed(path):
            yield
    except Timeout:
        raise RefusedError(
            f"{name} is in use by {holder(path)}",
            got=f"no turn within {wait_seconds:.0f} s",
            to_do="Wait for the other run to end, or give this one a --home of its own",
        ) from None


def is_held(home: Home, name: str) -> bool:
    """Whether a living process holds the lock `name` now."""
    try:
        with FileLock(home.locks / f"{name}.lock", timeout=0, mode=0o640):
            return False
    except Timeout:
        return True


@contextmanager
def connected(path: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that spills to disk past its memory limit and is closed at the end.

    Raises:
        RefusedError: the file is damaged, of another version or in use.
    """
    config: dict[str, Any] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(path.with_suffix(".spill")),
        "preserve_insertion_order": True,
        "storage_compatibility_version": STORAGE_VERSION,
    }
    try:
        connection = duckdb.connect(str(path), read_only=read_only, config=config)
    except duckdb.Error as error:
        raise RefusedError(
            f"{path.name} does not open",
            got=str(error).splitlines()[0],
            to_do="If it is damaged, copy published.duckdb over it: that is the last good state",
        ) from error
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def writing(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """The writers' database inside one transaction: all of the block is kept, or nothing.

    Raises:
        RefusedError: see `locked` and `connected`.
    """
    with locked(home, "warehouse"), connected(home.warehouse) as connection:
        create_schema(connection)
        connection.begin()
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()


@contextmanager
def reading(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """The writers' database for reading, brought up to date if an older version made it.

    Readers outside the pipeline use the published copy.
    """
    with locked(home, "warehouse"):
        if home.warehouse.exists():
            with connected(home.warehouse, read_only=True) as connection:
                if _is_current(connection):
                    yield connection
                    return
        with connected(home.warehouse) as connection:
            create_schema(connection)
        with connected(home.warehouse, read_only=True) as connection:
            yield connection


def create_schema(connection: duckdb.DuckDBPyConnection) -> None:
    """Create what is missing of the tables, views and their comments."""
    if _is_current(connection):
        return
    connection.begin()
    for path in schema_files():
        connection.execute(path.read_text(encoding="utf-8"))
    connection.execute("DELETE FROM mart.schema_version")
    connection.execute("INSERT INTO mart.schema_version VALUES (?)", [_wanted_version()])
    connection.commit()


def _is_current(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the tables and views are those of now."""
    try:
        rows = connection.execute("SELECT version FROM mart.schema_version").fetchall()
    except duckdb.CatalogException:  # no such table yet; the list of tables takes 8 ms to ask
        return False
    return rows == [(_wanted_version(),)]


def _wanted_version() -> str:
    return code_version(schema_files())


def schema_files() -> list[Path]:
    """The files that make tables and views, in the order in which they must run."""
    tables = [SQL / "schema" / f"{name}.sql" for name in ("raw", "core", "mart")]
    return tables + sorted((SQL / "views").glob("*.sql"))


@atexit.register
def _let_go_of_duckdb() -> None:
    """Empty the modules through which the caches of others keep DuckDB's objects past the end.

    DuckDB would then print pages of "leaked instance" on stderr, though nothing is wrong.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("duckdb", "_duckdb", "duckdb_engine"):
            vars(module).clear()
