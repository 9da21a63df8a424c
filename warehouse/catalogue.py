"""The catalogue: one small DuckDB file with the small tables, and views on the files of the bulky.

It is never changed where it lies. A writer copies the newest one, changes the copy, and puts it
beside the others under the next number; that rename is the publication. Whoever reads has a whole
catalogue, whatever happens to writers, and readers hold no writer up.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from warehouse.catalogue_tables import connected_to_new, is_current, make_current
from warehouse.database import BLOCK_BYTES, IN_MEMORY, STORAGE_VERSION, connected, quoted
from warehouse.errors import RefusedError
from warehouse.faults import point
from warehouse.following import newest, number_in, publication, turn
from warehouse.home import Home
from warehouse.kept_catalogues import (
    READ_ONLY,
    forget_draft,
    give_to_readers,
    number_here,
    number_of,
    put_newest,
    refuse_damaged,
)
from warehouse.lake import upstream
from warehouse.lake.meanwhile import refuse_withdrawn
from warehouse.placing import put_in_place
from warehouse.records import Published

Found = TypeVar("Found")


def is_old(home: Home) -> bool:
    """Whether a home has the one database of earlier versions, and no catalogue yet."""
    return home.old_warehouse.exists() and newest(home) is None


def _refuse_old(home: Home) -> None:
    """Beside a database of before, an empty catalogue would look as if all of it were lost."""
    if is_old(home):
        raise RefusedError(
            "This home is of an earlier version",
            got=f"{home.old_warehouse.name} in {home.root}",
            to_do="`fpt upgrade` brings it up to date; nothing in it is lost",
        )


@contextmanager
def reading(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """The newest catalogue for reading, brought up to date if older code or another home made it.

    Before the first publication: the same tables, empty.

    Raises:
        RefusedError: it is damaged.
    """
    with opened(home) as connection:
        if is_current(connection, home):
            yield connection
            return
    with writing(home):
        pass  # a writer brings it up to date
    with opened(home) as connection:
        yield connection


def found(home: Home, look: Callable[[duckdb.DuckDBPyConnection], Found]) -> Found:
    """What a look into the newest catalogue and its files finds.

    Whoever forgets or prunes deletes files at once, in this home or another of its lake. If such a
    publication came after the catalogue was opened, `look` is called again with the one after it.

    Raises:
        duckdb.IOException: a file is missing that the newest catalogue lists.
    """
    while True:
        before = number_here(home)
        try:
            with reading(home) as connection:
                return look(connection)
        except duckdb.IOException:
            if publication(home) == before:
                raise


def fetch_all(home: Home, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """The rows of a query to the newest catalogue."""
    return found(home, lambda connection: connection.execute(query, parameters).fetchall())


@contextmanager
def opened(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """The newest catalogue as it is, read-only."""
    path = newest(home)
    if path is None:
        _refuse_old(home)
        with tempfile.TemporaryDirectory(prefix="fpt-") as folder:
            path = Path(folder, "empty.duckdb")
            with connected_to_new(path, home) as connection:
                yield connection
        return
    with ExitStack() as held:
        try:
            connection = held.enter_context(connected(path, read_only=True))
        except RefusedError:
            if path.exists():
                raise
            # three were published between the look and the opening, and it went
            connection = held.enter_context(opened(home))
        yield connection


@contextmanager
def writing(
    home: Home, *, beside_old: bool = False, anew: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of the newest catalogue to change: all of the block is published, or nothing.

    What is bulky was written and placed in the store before; here it is only listed.

    Args:
        home: of the pipeline.
        beside_old: the block takes in the database of an earlier version.
        anew: write the file anew, so that not even its free places hold what was deleted.

    Raises:
        RefusedError: the lock is held for too long; the newest catalogue is damaged; the home is
            of an earlier version; another home of its lake withdrew what this rests on.
    """
    if not beside_old:
        _refuse_old(home)
    with turn(home) as sure:
        before = newest(home)
        draft = home.catalogue / f"draft-{os.getpid()}.partial"
        forget_draft(draft)  # of a dead process with our number: its changes would come into ours
        try:
            if before is not None:
                refuse_damaged(before)
                shutil.copyfile(before, draft)
                point("a catalogue is copied to a draft")
            with connected(draft) if before else connected_to_new(draft, home) as connection:
                make_current(connection, home)
                connection.begin()
                connection.execute("UPDATE mart.catalogue SET publication = publication + 1")
                yield connection
                refuse_withdrawn(connection, home)
                point("before the commit to a draft")
                connection.commit()
                point("after the commit to a draft")
                number = number_in(connection)
                connection.execute("CHECKPOINT")
            if anew:
                _write_anew(draft)
            point("a draft is whole")
            snapshot = upstream.publish(home, draft, before, sure)
            point("before a draft counts in its home")
            put_newest(home, draft, number)
            upstream.follow_from(home, snapshot, number)
        finally:
            forget_draft(draft)


def _write_anew(draft: Path) -> None:
    """Deleted rows stay in a database file until something else is written over them."""
    clean = draft.with_name(f"clean-{draft.name}")
    about = f"STORAGE_VERSION '{STORAGE_VERSION}', BLOCK_SIZE {BLOCK_BYTES}"
    with connected(IN_MEMORY) as connection:
        connection.execute(f"ATTACH {quoted(str(draft))} AS draft (READ_ONLY)")
        connection.execute(f"ATTACH {quoted(str(clean))} AS clean ({about})")
        connection.execute("COPY FROM DATABASE draft TO clean")
        connection.execute("DETACH clean")
    put_in_place(clean, draft)


def make_newest(home: Home, other: Path, sure: Callable[[], None]) -> None:
    """Make a catalogue of another home the first of this one, and of its lake.

    Args:
        home: has no catalogue, but for this very one that the lake may have by now.
        other: is changed where it lies.
        sure: see `turn`, which the caller has.
    """
    with connected(other, read_only=True) as connection:
        is_ours = is_current(connection, home)
    if not is_ours:
        other.chmod(READ_ONLY | 0o200)
        with connected(other) as connection:
            make_current(connection, home)
            connection.execute("CHECKPOINT")
    number = number_of(other)
    snapshot = upstream.publish(home, other, None, sure)
    point("before a restored catalogue counts in its home")
    put_newest(home, other, number)
    upstream.follow_from(home, snapshot, number)


def replace_readers_copy(home: Home) -> Published:
    """As `give_to_readers`, after bringing the catalogue up to date."""
    with reading(home):
        pass
    with turn(home):
        return give_to_readers(home)
