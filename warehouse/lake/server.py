"""A lake's PostgreSQL, asked by itself: is there anything new, and whose turn is it to publish?

DuckLake would let two writers begin, and fail the second when it commits. Taking turns, no work is
lost: a lock of PostgreSQL's that goes with its connection, hence with the writer, however it ends.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from warehouse.errors import InUseError, RefusedError, StepError
from warehouse.lake.address import Address, password_of
from warehouse.locks import waiting

AWAY_SECONDS = 10.0  # for who is told nothing meanwhile
TURN_SECONDS = 120.0
ATTEMPT_SECONDS = 5  # to connect
PAUSE_SECONDS, LOOK_SECONDS, TELL_SECONDS = 1.0, 0.05, 10.0
# a writer whose machine has lost its power is missed within a minute
ALIVE = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3}
ITS_ALIVE = "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
ANSWERED = ("FATAL:", "no password supplied")  # it is there, and refuses
PASSING = ("starting up", "shutting down", "too many", "recovery mode", "remaining connection")
EXTRA = 'pip install "sas-fpt-pipeline[lake]"'
Change = tuple[int, int]  # its number, and when it was, in microseconds
CHANGE = "SELECT snapshot_id, (extract(epoch FROM snapshot_time) * 1000000)::bigint"
LOCKED = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
HOLDER = (
    "SELECT application_name, client_addr FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32 | objid::bigint) "
    "= hashtextextended(%s, 0) AND database = (SELECT oid FROM pg_database "
    "WHERE datname = current_database())"
)

_mine = threading.local()


def newest_snapshot(address: Address) -> Change | None:
    """DuckLake's last change; None: there is no lake yet."""
    query = f'{CHANGE} FROM "{address.schema}".ducklake_snapshot ORDER BY 1 DESC LIMIT 1'
    found = of_lake(address, query)
    return found[0] if found else None


def has_had(address: Address, change: Change) -> bool:
    """Whether a change is in the lake's past, or would be if that reached so far back."""
    query = f'{CHANGE} FROM "{address.schema}".ducklake_snapshot ORDER BY 1'
    known = dict(of_lake(address, query))
    return known.get(change[0]) == change[1] or change[0] < min(known, default=0)


def data_files(address: Address) -> list[str]:
    """Paths of all files that DuckLake knows, of its past too; most are whole paths."""
    schema = address.schema
    files = f'SELECT path FROM "{schema}".ducklake_data_file'
    going = f'SELECT path FROM "{schema}".ducklake_files_scheduled_for_deletion'
    return [path for (path,) in of_lake(address, f"{files} UNION {going}")]


def is_older(address: Address, days: int) -> bool:
    """Whether there is a change older than so many days, other than the last one."""
    query = (
        f'SELECT count(*) FROM "{address.schema}".ducklake_snapshot '
        f"WHERE snapshot_time < now() - INTERVAL '{days} days' AND snapshot_id < "
        f'(SELECT max(snapshot_id) FROM "{address.schema}".ducklake_snapshot)'
    )
    return any(count for (count,) in of_lake(address, query))


def snapshots(address: Address) -> list[int]:
    """The numbers of all changes that one can go back to, in their order."""
    query = f'SELECT snapshot_id FROM "{address.schema}".ducklake_snapshot ORDER BY 1'
    return [number for (number,) in of_lake(address, query)]


@contextmanager
def turn(address: Address, wait_seconds: float = TURN_SECONDS) -> Iterator[Callable[[], None]]:
    """Be the only one who publishes, of all homes; yields what makes sure that it is still so.

    Raises:
        InUseError: another has the turn for too long.
    """
    connection = connected(address)
    try:
        _wait_for(connection, address, wait_seconds)
        yield lambda: _refuse_lost(connection)
    finally:
        connection.close()  # and with it the lock goes


def _wait_for(connection: Any, address: Address, wait_seconds: float) -> None:
    limit = wait_seconds if waiting.most is None else min(wait_seconds, waiting.most)
    if waiting.tell is not None and wait_seconds:
        limit = waiting.longest
    key = f"fpt publishes into {address.schema}"
    began = told = time.monotonic()
    while not connection.execute(LOCKED, [key]).fetchone()[0]:
        now = time.monotonic()
        if now - began > limit:
            raise InUseError(
                "Another home publishes into the lake",
                got=_holder(connection, key),
                to_do="Wait for its end",
            )
        if waiting.tell is not None and now - told > min(TELL_SECONDS, 1.0 + now - began):
            waiting.tell(f"waiting to publish: {_holder(connection, key)} does")
            told = now
        time.sleep(LOOK_SECONDS)


def _holder(connection: Any, key: str) -> str:
    row = connection.execute(HOLDER, [key]).fetchone()
    return str(row[0]) if row else "another home"


def _refuse_lost(connection: Any) -> None:
    """The lock went with its connection if that broke: somebody else may publish now."""
    try:
        connection.execute("SELECT 1")
    except library().Error as error:
        raise StepError(
            "PostgreSQL went away before the publication",
            got=_said(error),
            expected="nothing is published",
            to_do="Run the command again",
        ) from None


def of_lake(address: Address, query: str) -> list[Any]:
    """What DuckLake's own tables say; nothing where there is no lake yet."""
    errors = library().errors
    try:
        return _answered(address, query)
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return []
    except errors.InsufficientPrivilege as error:
        raise _refused(address, error) from None


def _answered(address: Address, query: str) -> list[Any]:
    """Asked through this thread's own connection, which is made anew when it is broken."""
    psycopg = library()
    key = (os.getpid(), address)
    held = getattr(_mine, "held", None)
    if held is not None and held[0] == key and not held[1].closed:
        try:
            return list(held[1].execute(query).fetchall())
        except psycopg.OperationalError:
            with suppress(psycopg.Error):
                held[1].close()
    _mine.held = (key, connected(address))
    return list(_mine.held[1].execute(query).fetchall())


@contextmanager
def asking(address: Address) -> Iterator[Any]:
    """A connection for the block, which is closed at its end.

    Raises:
        RefusedError: this user may not do that.
        StepError: PostgreSQL went away.
    """
    psycopg = library()
    with connected(address) as connection:
        try:
            yield connection
        except psycopg.errors.InsufficientPrivilege as error:
            raise _refused(address, error) from None
        except psycopg.OperationalError as error:
            raise StepError(
                "PostgreSQL went away",
                got=f"{address.url}: {_said(error)}",
                to_do="Run the command again",
            ) from None


def connected(address: Address) -> Any:
    """A connection; who is told of it waits for the server as for a lock.

    Raises:
        RefusedError: it does not let us in.
        StepError: it is not there.
    """
    psycopg = library()
    limit = min(waiting.most or AWAY_SECONDS, AWAY_SECONDS)
    limit = limit if waiting.tell is None else waiting.longest
    began = told = time.monotonic()
    while True:
        try:
            return psycopg.connect(**_parameters(address), autocommit=True)
        except psycopg.OperationalError as error:
            said = _said(error)
            if any(word in said for word in ANSWERED) and not any(word in said for word in PASSING):
                raise _refused(address, error) from None
            if time.monotonic() - began > limit:
                raise StepError(
                    "PostgreSQL, which has the lake's catalogue, does not answer",
                    got=f"{address.url}: {said}",
                    to_do="Run the command again when it does",
                ) from None
            if waiting.tell is not None and time.monotonic() - told > PAUSE_SECONDS:
                waiting.tell(f"waiting for PostgreSQL, which has the lake's catalogue: {said}")
                told = time.monotonic() + TELL_SECONDS
        time.sleep(PAUSE_SECONDS)


def _parameters(address: Address) -> dict[str, Any]:
    given = {
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "dbname": address.database,
        "password": password_of(address),
        "application_name": f"fpt on {socket.gethostname()}, process {os.getpid()}"[:63],
        "connect_timeout": ATTEMPT_SECONDS,
        "options": ITS_ALIVE,
    }
    return {name: value for name, value in given.items() if value} | ALIVE


def _refused(address: Address, error: Exception) -> RefusedError:
    return RefusedError(
        "PostgreSQL refuses the lake",
        got=f"{address.url}: {_said(error)}",
        to_do="Give the user, its password (FPT_WAREHOUSE, PGPASSWORD, ~/.pgpass) and its rights",
    )


def _said(error: Exception) -> str:
    """The server's words in one line; libpq never says a password."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    answers = [line for line in lines if ANSWERED[0] in line] or lines or ["no reason"]
    return answers[0]


def library() -> Any:
    """Psycopg, which a home without a lake need not have.

    Raises:
        RefusedError: it is not installed.
    """
    try:
        import psycopg
    except ImportError:
        raise RefusedError("A lake needs psycopg", to_do=f"Do: {EXTRA}") from None
    return psycopg
