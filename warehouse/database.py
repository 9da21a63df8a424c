"""Opening DuckDB files, and locks that one process at a time holds, with a bounded wait."""

import atexit
import errno
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock, Timeout

from warehouse.errors import InUseError, RefusedError
from warehouse.home import Home
from warehouse.locks import holder, signed, waiting

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
SQL = Path(__file__).parent / "sql"
WAIT_SECONDS = 120.0
FIRST_PULSE_SECONDS, PULSE_SECONDS = 1.0, 10.0  # between two words on whom one waits for
# of new files: shells and BI tools, which open the readers' copy, are often a version behind
STORAGE_VERSION = "v1.4.0"
BLOCK_BYTES = 16_384  # small tables in a small file
IN_MEMORY = Path(":memory:")
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


def rows_of(path: Path) -> str:
    """What one Parquet file holds, in SQL: by itself DuckDB adds columns of its folders' names.

    >>> rows_of(Path("/data/day=7/ranks.parquet"))
    "read_parquet('/data/day=7/ranks.parquet', hive_partitioning = false)"
    """
    return f"read_parquet({quoted(literal_glob(path))}, hive_partitioning = false)"


@contextmanager
def locked(home: Home, name: str, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the lock `name` of a home; the kernel frees it when its process dies.

    Where a person waits (`warehouse.locks.waiting`) and `wait_seconds` is not 0, without end; where
    a scheduled run does, much longer.

    Raises:
        InUseError: another process holds it for longer than `wait_seconds`.
        RefusedError: the file system keeps no locks.
    """
    path = home.locks / f"{name}.lock"
    if waiting.most is not None:
        wait_seconds = min(wait_seconds, waiting.most)
    if waiting.tell is not None and wait_seconds:
        wait_seconds = waiting.longest
    lock = _lock(path, wait_seconds)
    try:
        _acquire(lock, path, wait_seconds)
    except Timeout:
        raise InUseError(
            f"{name} is in use by {holder(path)}",
            got=f"no turn within {wait_seconds:.0f} s" if wait_seconds else None,
            to_do="Wait for the other run to end, or give this one a --home of its own",
        ) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise RefusedError(
            f"The file system of {home.root} keeps no locks",
            got=str(error),
            expected="a local one, or NFS with its lock service",
            to_do="Give a --home elsewhere: without locks two runs would overwrite each other",
        ) from error
    try:
        with signed(path):
            yield
    finally:
        lock.release()


def _acquire(lock: FileLock, path: Path, wait_seconds: float) -> None:
    """Take a lock in time, and say every while whom it waits for, where somebody is to be told."""
    if waiting.tell is None or not wait_seconds:
        lock.acquire()
        return
    end = time.monotonic() + wait_seconds
    patience = FIRST_PULSE_SECONDS
    while True:
        left = end - time.monotonic()
        try:
            lock.acquire(timeout=max(0.0, min(patience, left)))
            return
        except Timeout:
            if left <= patience:
                raise
            waiting.tell(f"waiting for {path.stem}: in use by {holder(path)}")
            patience = min(2 * patience, waiting.pulse or PULSE_SECONDS)


def _lock(path: Path, wait_seconds: float) -> FileLock:
    """The kernel's own lock, never a file that stands for one and outlives its maker."""
    return FileLock(path, timeout=wait_seconds, mode=0o640, fallback_to_soft=False)


def is_held(home: Home, name: str) -> bool:
    """Whether a living process holds the lock `name` now."""
    try:
        with _lock(home.locks / f"{name}.lock", 0):
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
        "preserve_insertion_order": True,
        "storage_compatibility_version": STORAGE_VERSION,
        "default_block_size": BLOCK_BYTES,
    }
    if path != IN_MEMORY:
        config["temp_directory"] = str(path.with_suffix(".spill"))
    try:
        connection = duckdb.connect(str(path), read_only=read_only, config=config)
    except duckdb.Error as error:
        raise not_opened(path, error) from error
    try:
        yield connection
    finally:
        connection.close()


def not_opened(path: Path, error: duckdb.Error) -> RefusedError:
    """Why DuckDB did not open a file, and what helps against that."""
    said = str(error).splitlines()[0]
    if "Could not set lock" in said:
        what = f"{path.name} is held open by another program"
        return InUseError(what, got=said, to_do="Close it there")
    causes = {
        "WAL": ("has another database's changes beside it", f"Delete {path}.wal"),
        "version": ("is of another version of DuckDB", "`make install` brings the one needed"),
    }
    for word, (what, to_do) in causes.items():
        if word in said:
            return RefusedError(f"{path.name} {what}", got=said, to_do=to_do)
    to_do = "`fpt doctor --mend` goes back to the last good one"
    return RefusedError(f"{path.name} is damaged", got=said, to_do=to_do)


@contextmanager
def registered(
    connection: duckdb.DuckDBPyConnection, rows: Any, name: str = "frame"
) -> Iterator[None]:
    """Queries of the block find these rows under a name."""
    connection.register(name, rows)
    yield
    connection.unregister(name)


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Any) -> None:
    """Rows enter a table, by the names of its columns."""
    with registered(connection, rows):
        connection.execute(f"INSERT INTO {table} BY NAME FROM frame")


def utc_now() -> datetime:
    """The moment as tables keep it: of UTC, without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)


def table_files() -> list[Path]:
    """The files that define tables, in the order in which they must run."""
    return [SQL / "schema" / f"{name}.sql" for name in ("raw", "core", "mart", "figures")]


def view_files() -> list[Path]:
    """The files that make views of tables, in the order in which they must run."""
    return sorted((SQL / "views").glob("*.sql"))


@atexit.register
def _let_go_of_duckdb() -> None:
    """Empty the modules through which the caches of others keep DuckDB's objects past the end.

    DuckDB would then print pages of "leaked instance" on stderr, though nothing is wrong.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("duckdb", "_duckdb", "duckdb_engine"):
            vars(module).clear()
