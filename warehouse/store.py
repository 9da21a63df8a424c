"""The immutable files behind the tables, named by their content.

`store/<table>/<key>=<id>/<hash>.parquet`. A file is written once, in a staging folder, and moved
here by a rename when its content has passed its audit. The catalogue lists the files that count
(`mart.files`); what it does not list is seen by nobody, and goes a day later.
"""

import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb

from warehouse.faults import point
from warehouse.home import Home
from warehouse.identity import sha256_of
from warehouse.lake import objects
from warehouse.lake.folders import share
from warehouse.placing import put_in_place, sync
from warehouse.stored import KEYS, show_files
from warehouse.stored_files import StoredFile, fault_of

NAME_DIGITS = 32
READ_ONLY = 0o440


def staged_file(folder: Path, table: str, identity: str) -> Path:
    """Where a staging folder keeps the rows of one load, snapshot or training."""
    path = folder / table / f"{KEYS[table]}={identity}" / "rows.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def staged_files(folder: Path) -> dict[str, list[Path]]:
    """What is staged, by table."""
    return {name: sorted((folder / name).glob("*/*.parquet")) for name in KEYS}


def stage_copy(source: Path, target: Path) -> None:
    """Stage a file that stays where it is: by a second name of its bytes, else by copying them."""
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without such names
        shutil.copyfile(source, target)


def place_all(home: Home, folder: Path) -> list[StoredFile]:
    """Move all that is staged into the store; the catalogue does not list it yet."""
    placed = [
        _place(home, table, path.parent.name.partition("=")[2], path)
        for table, paths in staged_files(folder).items()
        for path in paths
    ]
    point("all that is staged is in the store")
    return placed


def _place(home: Home, table: str, identity: str, staged: Path) -> StoredFile:
    # DuckLake deletes a file when the snapshots that had it expire, also if it has come back since
    more = "" if home.lake is None else f"-{secrets.token_hex(4)}"
    file = _described(home, table, identity, staged, more)
    path = home.files / file.path
    if path.exists() and sha256_of(path) == file.sha256:
        os.utime(path)  # it counts again: it must not go as one that nobody lists
        point("before a staged file goes that the store has")
        staged.unlink()
    else:
        put_stored(home, staged, path)
    return file


def put_stored(home: Home, staged: Path, path: Path) -> None:
    """Bring a whole file to its place in the store, where nobody changes it any more."""
    if home.owns_files:
        path.parent.mkdir(parents=True, exist_ok=True)
    else:
        staged = _copied(home.files, staged, path)
    staged.chmod(READ_ONLY)
    os.utime(staged)
    put_in_place(staged, path)
    sync(path.parent.parent)
    objects.put(home, path)


def _copied(lake: Path, staged: Path, path: Path) -> Path:
    """A copy beside the place in a lake's folder, which may be on another file system."""
    share(lake, path.parent)
    partial = path.with_suffix(".partial")
    shutil.copyfile(staged, partial)
    return partial


def _described(home: Home, table: str, identity: str, staged: Path, more: str) -> StoredFile:
    sha256 = sha256_of(staged)
    name = f"{sha256[:NAME_DIGITS]}{more}.parquet"
    path = home.store / table / staged.parent.name / name
    import pyarrow.parquet as pq  # not for those who only read

    rows = pq.read_metadata(staged).num_rows
    relative = str(path.relative_to(home.files))
    return StoredFile(table, identity, relative, sha256, staged.stat().st_size, rows)


def list_files(
    connection: duckdb.DuckDBPyConnection, home: Home, files: Sequence[StoredFile]
) -> None:
    """Enter placed files into the catalogue; those that were listed for the same ids go.

    Their grace begins now, not when they were written: who reads meanwhile may still open them.
    """
    if not files:
        return
    if home.lake is not None:
        files = [_as_listed(home, file, listed(connection)) for file in files]
    entered = {(file.table, file.identity): file.path for file in files}
    for old in listed(connection):
        if entered.get((old.table, old.identity), old.path) != old.path:
            begin_grace(home, old)
    enter_files(connection, home, files)


def enter_files(
    connection: duckdb.DuckDBPyConnection, home: Home, files: Sequence[StoredFile]
) -> None:
    """What `list_files` does to a catalogue, and nothing in the store."""
    if not files:
        return
    for file in files:
        unlist(connection, file.table, file.identity)
    connection.executemany(
        "INSERT INTO mart.files VALUES (?, ?, ?, ?, ?, ?)",
        [(one.table, one.identity, one.path, one.sha256, one.size, one.rows) for one in files],
    )
    show_listed(connection, home, {file.table for file in files})


def begin_grace(home: Home, file: StoredFile) -> None:
    """A file is listed no more from now on: it stays for a day, for readers who may still open it.

    In a lake it may be another user's, whose times are not ours to set; there it stays as long as
    the lake can go back to it.
    """
    if home.owns_files:
        with suppress(FileNotFoundError):
            os.utime(home.files / file.path)


def _as_listed(home: Home, file: StoredFile, known: Sequence[StoredFile]) -> StoredFile:
    """The listed file of the same bytes, if there is one, instead of a second one."""
    for one in known:
        same = (one.table, one.identity, one.sha256) == (file.table, file.identity, file.sha256)
        if same and one.path != file.path and not fault_of(home.files / one.path, one, whole=False):
            (home.files / file.path).unlink(missing_ok=True)
            return one
    return file


def unlist(connection: duckdb.DuckDBPyConnection, table: str, identity: str) -> None:
    """Take a file out of the catalogue; `show_listed` must follow."""
    connection.execute("DELETE FROM mart.files WHERE table_name = ? AND id = ?", [table, identity])


def show_listed(connection: duckdb.DuckDBPyConnection, home: Home, tables: Iterable[str]) -> None:
    """Make the views of these tables anew, on the files that are listed now."""
    names = list(tables)
    files: dict[str, list[Path]] = {}
    for one in listed(connection):
        if one.table in names:
            files.setdefault(one.table, []).append(home.files / one.path)
    show_files(connection, files, names)


def listed(connection: duckdb.DuckDBPyConnection) -> list[StoredFile]:
    """All files of a catalogue, in the order in which they were entered."""
    rows = connection.execute(
        "SELECT table_name, id, path, sha256, bytes, rows FROM mart.files ORDER BY table_name, id"
    ).fetchall()
    return [StoredFile(*row) for row in rows]


def stored_files(
    connection: duckdb.DuckDBPyConnection, home: Home, identity: str
) -> dict[str, Path]:
    """The files of one load, snapshot or training, by table."""
    return {
        one.table: home.files / one.path for one in listed(connection) if one.identity == identity
    }


def has_files(connection: duckdb.DuckDBPyConnection, tables: Sequence[str], identity: str) -> bool:
    """Whether a file of each of these tables is listed for a load, snapshot or training."""
    query = "SELECT table_name FROM mart.files WHERE id = ?"
    found = {table for (table,) in connection.execute(query, [identity]).fetchall()}
    return found.issuperset(tables)


def unlisted(
    home: Home, files: Iterable[StoredFile], *, older_than: float, held: Collection[Path] = ()
) -> list[Path]:
    """Files of the store that no catalogue lists and nobody touched for so many seconds.

    `held`: files that stay in any case.

    The caller holds the warehouse's lock, so that nobody enters one meanwhile.
    """
    known = {home.files / file.path for file in files}.union(held)
    before = time.time() - older_than
    return [
        path
        for path in sorted(home.store.glob("*/*/*"))
        if path not in known and path.stat().st_mtime < before
    ]
