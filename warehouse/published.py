"""What is published, opened for people's questions: it can be read, and nothing else can."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from warehouse.catalogue import opened, publication, reading
from warehouse.database import quoted
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.store import listed

MEMORY_LIMIT = "2GB"


@contextmanager
def guarded(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads the catalogue and the files that it lists, by their paths.

    It can't write, reach other files or be talked out of it. Its settings are those of every
    connection to the catalogue in this process.

    Raises:
        RefusedError: nothing is published yet, or the catalogue does not open.
    """
    refuse_unpublished(home)
    with reading(home):
        pass  # brings a catalogue of older code up to date
    with opened(home) as connection:
        files = ", ".join(quoted(str(home.root / file.path)) for file in listed(connection))
        connection.execute(f"SET allowed_paths = [{files}]")
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


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
