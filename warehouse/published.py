"""What is published, opened for people's questions: it can be read, and nothing else can."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from warehouse.catalogue import catalogues, publication, reading
from warehouse.database import IN_MEMORY, connected, not_opened, quoted
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.store import listed

MEMORY_LIMIT = "2GB"


@contextmanager
def guarded(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads the catalogue and the files that it lists, by their paths.

    It can't reach other files, change the catalogue or be talked out of it. The listed files it
    could write as well as read: what it is asked must have passed `refuse_writing`. It has a DuckDB
    of its own, so that nobody else in this process is bound by its settings.

    Raises:
        RefusedError: nothing is published yet, or the catalogue does not open.
    """
    refuse_unpublished(home)
    with reading(home):
        pass  # brings a catalogue of older code up to date
    with connected(IN_MEMORY) as connection:
        _attach_newest(connection, home)
        files = ", ".join(quoted(str(home.root / file.path)) for file in listed(connection))
        connection.execute(f"SET allowed_paths = [{files}]")
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def _attach_newest(connection: duckdb.DuckDBPyConnection, home: Home) -> None:
    path = catalogues(home)[0]
    try:
        connection.execute(f"ATTACH {quoted(str(path))} AS published (READ_ONLY)")
    except duckdb.Error as error:
        if path.exists():
            raise not_opened(path, error) from error
        # three were published between the look and the opening, and it went
        _attach_newest(connection, home)
        return
    connection.execute("USE published")
    connection.execute("DETACH memory")
    connection.execute(f"SET temp_directory = {quoted(str(path.with_suffix('.spill')))}")


def refuse_unpublished(home: Home) -> None:
    """Refuse to ask where nothing is published.

    Raises:
        RefusedError: so.
    """
    if not publication(home):
        raise RefusedError(
            "Nothing is published yet",
            got=f"nothing in {home.catalogue}",
            to_do="Run `fpt run` first",
        )
