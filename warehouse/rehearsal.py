"""A publication tried on a copy of the catalogue: what takes long is known before anybody waits."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from warehouse.catalogue_tables import make_current
from warehouse.database import connected
from warehouse.following import newest
from warehouse.home import Home
from warehouse.kept_catalogues import refuse_damaged
from warehouse.run_figures import Made, add_figures, made_figures
from warehouse.store import enter_files
from warehouse.stored_files import StoredFile


def figures_of(
    home: Home,
    folder: Path,
    files: Sequence[StoredFile],
    write: Callable[[duckdb.DuckDBPyConnection], None],
    run_ids: Sequence[str],
) -> Made:
    """The figures that trainings or imports will have.

    Args:
        home: of the pipeline.
        folder: a staging folder of the caller's.
        files: of theirs, placed in the store.
        write: writes their rows into a catalogue.
        run_ids: of theirs.

    Raises:
        RefusedError: they don't rank the same users as others of their snapshot.
    """
    with _copied(home, folder) as connection:
        write(connection)
        enter_files(connection, home, files)
        add_figures(connection, run_ids)
        return made_figures(connection, run_ids)


@contextmanager
def _copied(home: Home, folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The newest catalogue, to be changed and thrown away."""
    copy = folder / "rehearsal.duckdb"
    while path := newest(home):
        try:
            refuse_damaged(path)
            shutil.copyfile(path, copy)
            break
        except FileNotFoundError:
            if path.exists():
                raise
            # three were published meanwhile
    try:
        with connected(copy) as connection:
            make_current(connection, home)
            connection.begin()
            connection.execute("UPDATE mart.catalogue SET publication = publication + 1")
            yield connection
            connection.rollback()
    finally:
        copy.unlink(missing_ok=True)
