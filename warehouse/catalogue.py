"""The catalogue: one small DuckDB file with the small tables, and views on the files of the bulky.

It is never changed where it lies. A writer copies the newest one, changes the copy, and puts it
beside the others under the next number; that rename is the publication. Whoever reads has a whole
catalogue, whatever happens to writers, and readers hold no writer up. `published.duckdb` is a copy
of the newest for people and their tools, who may do with it what they like: no program of ours
rests on it, and it is known by its content.
"""

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from warehouse import stored
from warehouse.database import (
    BLOCK_BYTES,
    IN_MEMORY,
    SQL,
    STORAGE_VERSION,
    WAIT_SECONDS,
    connected,
    locked,
    quoted,
    statements,
    table_files,
    view_files,
)
from warehouse.errors import RefusedError
from warehouse.faults import point
from warehouse.home import Home
from warehouse.identity import code_version, sha256_of
from warehouse.lake import upstream
from warehouse.placing import put_in_place, put_link_in_place
from warehouse.records import Published
from warehouse.renamed import rename
from warehouse.run_figures import KEPT as KEPT_FIGURES
from warehouse.run_figures import bring_up_to_date, figure_files
from warehouse.store import listed, refuse_unreadable, show_listed
from warehouse.stored import KEYS, columns_of, comment_columns, drop_definitions, kept_tables
from warehouse.template import write_new

KEPT = 3  # catalogues: the newest, and two to go back to
NUMBER_DIGITS = 10
HASH_DIGITS = 32
# DuckDB makes the file beside a database that takes its changes; through a link to nowhere it
# can't. So nobody can change the readers' copy, and nobody's changes meet the next one.
NOWHERE = "nobody/writes-here"
READ_ONLY = 0o440
FIGURES = {f"mart.{name}" for name in KEPT_FIGURES}
NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)  # of a file system without links
NO_HOME = Home(Path())  # of a catalogue without files
_in_turn: set[tuple[Home, int]] = set()  # who publishes, by threads: it need not ask the lake


def catalogues(home: Home) -> list[Path]:
    """All that are kept, the newest first."""
    return sorted(home.catalogue.glob(f"{'[0-9]' * NUMBER_DIGITS}-*.duckdb"), reverse=True)


def number_of(path: Path) -> int:
    """The number of its publication."""
    return int(path.name[:NUMBER_DIGITS])


def is_whole(path: Path) -> bool:
    """Whether a catalogue's bytes are those that were written: its name tells."""
    return sha256_of(path).startswith(path.stem[NUMBER_DIGITS + 1 :])


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


def publication(home: Home) -> int:
    """The number of the newest publication; 0 before the first."""
    path = newest(home)
    return number_of(path) if path else 0


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


def fetch_all(home: Home, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """The rows of a query to the newest catalogue."""
    with reading(home) as connection:
        return connection.execute(query, parameters).fetchall()


@contextmanager
def opened(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """The newest catalogue as it is, read-only."""
    path = newest(home)
    if path is None:
        _refuse_old(home)
        with tempfile.TemporaryDirectory(prefix="fpt-") as folder:
            path = Path(folder, "empty.duckdb")
            with _connected_to_new(path, home) as connection:
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


def newest(home: Home) -> Path | None:
    """The newest catalogue; None before the first publication.

    Raises:
        RefusedError: of a home with a lake: the lake can't be asked whether there is a newer one.
    """
    _follow(home)
    return _here(home)


def _here(home: Home) -> Path | None:
    return next(iter(catalogues(home)), None)


def _number_here(home: Home) -> int:
    path = _here(home)
    return number_of(path) if path else 0


@contextmanager
def turn(home: Home, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[Callable[[], None]]:
    """Be the only one who publishes; yields what raises when that has come to an end.

    Raises:
        InUseError: somebody else publishes for longer than `wait_seconds`.
    """
    with locked(home, "warehouse", wait_seconds=wait_seconds):
        if home.lake is None:
            yield lambda: None
            return
        with upstream.turn(home.lake, wait_seconds) as sure, as_it_is(home):
            _catch_up(home)
            yield sure


@contextmanager
def as_it_is(home: Home) -> Iterator[None]:
    """In the block the home's newest catalogue is what it has now: no lake is asked.

    For whoever has just looked, and whoever must not reach PostgreSQL.
    """
    this = _turn_of(home)
    _in_turn.add(this)
    try:
        yield
    finally:
        _in_turn.discard(this)


def _turn_of(home: Home) -> tuple[Home, int]:
    return home, threading.get_ident()


def _follow(home: Home) -> None:
    """Bring what other homes have published into a lake; whose turn it is knows it already."""
    if home.lake is None or _turn_of(home) in _in_turn:
        return
    if upstream.is_news(home, _number_here(home)):
        Home.at(home.root)  # who only asks has made nothing of it yet
        with locked(home, "warehouse"), as_it_is(home):
            _catch_up(home)


def _catch_up(home: Home) -> None:
    """The caller holds the home's lock."""
    here = _number_here(home)
    if home.lake is None or (news := upstream.news(home, here)) is None:
        return
    snapshot, number = news
    if number > here:
        draft = home.catalogue / f"draft-{os.getpid()}.partial"
        _forget(draft)
        try:
            with _connected_to_new(draft, home):
                pass
            upstream.fetch(home.lake, draft)
            with connected(draft) as connection:
                refuse_unreadable(home, listed(connection))
                show_listed(connection, home, KEYS)
                root = str(home.files)
                connection.execute("UPDATE mart.catalogue SET root = ?", [root])
                number = _number(connection)
                connection.execute("CHECKPOINT")
            _publish(home, draft, number)
        finally:
            _forget(draft)
    elif number < here:
        expected = f"{here} or later, which this home has seen"
        raise upstream.gone_back(f"publication {number}", expected)
    upstream.follow_from(home, snapshot, number)


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
            of an earlier version.
    """
    if not beside_old:
        _refuse_old(home)
    with turn(home) as sure:
        before = newest(home)
        draft = home.catalogue / f"draft-{os.getpid()}.partial"
        _forget(draft)  # of a dead process with our number: its changes would come into ours
        try:
            if before is not None:
                _refuse_damaged(before)
                shutil.copyfile(before, draft)
                point("a catalogue is copied to a draft")
            with connected(draft) if before else _connected_to_new(draft, home) as connection:
                _bring_up_to_date(connection, home)
                connection.begin()
                connection.execute("UPDATE mart.catalogue SET publication = publication + 1")
                yield connection
                point("before the commit to a draft")
                connection.commit()
                point("after the commit to a draft")
                number = _number(connection)
                connection.execute("CHECKPOINT")
            if anew:
                _write_anew(draft)
            point("a draft is whole")
            snapshot = upstream.publish(home, draft, before, sure)
            point("before a draft counts in its home")
            _publish(home, draft, number)
            upstream.follow_from(home, snapshot, number)
        finally:
            _forget(draft)


def _refuse_damaged(path: Path) -> None:
    """A copy of damaged bytes would be published under their own hash, as if they were whole."""
    if not is_whole(path):
        raise RefusedError(
            f"{path.name} is damaged",
            got="other bytes than were written",
            to_do="`fpt doctor --mend` goes back to the last good one",
        )


def _forget(draft: Path) -> None:
    for left in (draft, Path(f"{draft}.wal"), draft.with_name(f"clean-{draft.name}")):
        left.unlink(missing_ok=True)


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


def _number(connection: duckdb.DuckDBPyConnection) -> int:
    return int(connection.execute("SELECT publication FROM mart.catalogue").fetchall()[0][0])


def _publish(home: Home, draft: Path, number: int) -> None:
    draft.chmod(READ_ONLY)
    put_in_place(draft, home.catalogue / _name(draft, number))
    give_to_readers(home)
    for old in catalogues(home)[KEPT:]:
        point("before an old catalogue goes")
        old.unlink()  # who has it open keeps it


def _name(path: Path, number: int) -> str:
    return f"{number:0{NUMBER_DIGITS}}-{sha256_of(path)[:HASH_DIGITS]}.duckdb"


def made_for(home: Home, path: Path) -> str:
    """Make a catalogue of another home, which is not in place yet, one of this home.

    Returns:
        The name that it has in its place: the same number, the hash of its bytes now.
    """
    with connected(path, read_only=True) as connection:
        if is_current(connection, home):
            return path.name
    path.chmod(READ_ONLY | 0o200)
    with connected(path) as connection:
        _bring_up_to_date(connection, home)
        connection.execute("CHECKPOINT")
    path.chmod(READ_ONLY)
    return _name(path, number_of(path))


def give_to_readers(home: Home) -> Published:
    """Make the readers' copy the newest catalogue, if it is not; what readers left beside it goes.

    Raises:
        RefusedError: nothing is published yet.
    """
    path = newest(home)
    if path is None:
        raise RefusedError("Nothing is published yet", to_do="Run `fpt run` first")
    _guard_copy(home)
    size = path.stat().st_size
    if home.published.is_file() and _same(path, home.published):
        return Published(changed=False, size=size)
    partial = home.catalogue / f"readers-{os.getpid()}.partial"
    try:
        shutil.copyfile(path, partial)
        point("a catalogue is copied for readers")
        partial.chmod(READ_ONLY)
        put_in_place(partial, home.published)
    finally:
        partial.unlink(missing_ok=True)
    return Published(changed=True, size=size)


def replace_readers_copy(home: Home) -> Published:
    """As `give_to_readers`, after bringing the catalogue up to date."""
    with reading(home):
        pass
    with turn(home):
        return give_to_readers(home)


def copy_fault(home: Home) -> str:
    """What is wrong with the readers' copy; empty when nothing is."""
    path = newest(home)
    if path is None:
        return ""
    if not home.published.is_file():
        return "missing"
    if not _same(path, home.published):
        return "changed by somebody, or damaged"
    return "" if _is_guarded(home) else "a reader left changes beside it, or its guard is gone"


def _same(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and sha256_of(one) == sha256_of(other)


def _guard_path(home: Home) -> Path:
    return Path(f"{home.published}.wal")


def _is_guarded(home: Home) -> bool:
    guard = _guard_path(home)
    return guard.is_symlink() and str(guard.readlink()) == NOWHERE


def _guard_copy(home: Home) -> None:
    """Put the link to nowhere beside the readers' copy, in place of what a reader left there."""
    if _is_guarded(home):
        return
    link = home.catalogue / f"guard-{os.getpid()}.partial"
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(NOWHERE)
        put_link_in_place(link, _guard_path(home))
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # its mode alone protects the copy
        with suppress(FileNotFoundError):
            _guard_path(home).unlink()


@contextmanager
def _connected_to_new(path: Path, home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
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


def _bring_up_to_date(connection: duckdb.DuckDBPyConnection, home: Home) -> None:
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
