"""A lake attached to a DuckDB of this process, with the extensions that Python packages bring.

Neither DuckDB 2.0 nor a machine without the internet can fetch them; those of the packages are
signed, and of DuckDB 1.5.5. One instance stays for the process, with one lake at a time: to load
them takes a third of a second.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb

from warehouse.database import MEMORY_LIMIT, quoted
from warehouse.errors import InUseError, RefusedError, StepError
from warehouse.lake.address import Address, password_of

LAKE = "lake"
EXTENSIONS = ("postgres_scanner", "ducklake")
TO_DO = "`make install-lake` brings DuckDB 1.5.5 with them, in an environment of its own"
CONFLICT = "conflict"
ELSEWHERE = "does not match existing data path"

_instances: dict[tuple[int, Address], duckdb.DuckDBPyConnection] = {}
_one_at_a_time = threading.RLock()


@contextmanager
def attached(address: Address) -> Iterator[duckdb.DuckDBPyConnection]:
    """The lake, made if it is not there; its tables are found by schema and name.

    Raises:
        RefusedError: its extensions are not installed; it is of another version.
        InUseError: somebody else changed the same meanwhile.
        StepError: PostgreSQL went away.
    """
    with _one_at_a_time:
        key = (os.getpid(), address)
        try:
            if key not in _instances:
                # a process uses one lake at a time: each keeps connections to its server
                _instances[key] = _with(_left() or _loaded(), address)
            cursor = _instances[key].cursor()
            cursor.execute(f"USE {LAKE}")
            try:
                yield cursor
            finally:
                cursor.close()
        except duckdb.Error as error:
            with suppress(KeyError, duckdb.Error):
                _instances.pop(key).close()  # its connections may be broken: the next is a new one
            raise _told(address, error) from error


def let_go() -> None:
    """Close this process's lake; whoever uses it next attaches it anew."""
    while _instances:
        pid, address = next(iter(_instances))
        instance = _instances.pop((pid, address))
        if pid == os.getpid():
            with suppress(duckdb.Error):
                instance.close()


def _left() -> duckdb.DuckDBPyConnection | None:
    """This process's instance, which leaves its lake; one that may have read a store goes."""
    ours = [key for key in _instances if key[0] == os.getpid() and not key[1].is_remote]
    instance = _instances.pop(ours[0]) if ours else None
    let_go()
    if instance is not None:
        try:
            instance.execute(f"DETACH {LAKE}")
        except duckdb.Error:
            instance.close()
            return None
    return instance


def _loaded() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"memory_limit": MEMORY_LIMIT})
    for name in EXTENSIONS:
        connection.execute(f"LOAD {quoted(str(_extension(name)))}")
    return connection


def _with(instance: duckdb.DuckDBPyConnection, address: Address) -> duckdb.DuckDBPyConnection:
    try:
        _attach(instance, address)
    except BaseException:
        instance.close()
        raise
    return instance


def _attach(connection: duckdb.DuckDBPyConnection, address: Address) -> None:
    if address.is_remote:
        connection.execute(f"LOAD {quoted(str(_extension('httpfs')))}")
        connection.execute(f"CREATE OR REPLACE SECRET data (TYPE s3{_store_secret(address)})")
    # in a secret, DuckDB repeats the password nowhere; in what it attaches, in every error
    connection.execute(f"CREATE OR REPLACE SECRET catalogue (TYPE postgres{_secret(address)})")
    connection.execute(
        f"ATTACH 'ducklake:postgres:' AS {LAKE} (META_SECRET 'catalogue', "
        f"METADATA_SCHEMA {quoted(address.schema)}, DATA_PATH {quoted(address.data + '/')})"
    )


def _secret(address: Address) -> str:
    given = {
        "HOST": address.host,
        "PORT": address.port,
        "DATABASE": address.database,
        "USER": address.user,
        "PASSWORD": password_of(address),
    }
    return "".join(f", {name} {quoted(value)}" for name, value in given.items() if value)


def _store_secret(address: Address) -> str:
    """What the environment says, as the library that copies files reads it (obstore).

    Raises:
        RefusedError: it has no keys, without which DuckDB can't ask for others' files.
    """

    def said(*names: str) -> str:
        return next((value for name in names if (value := os.environ.get(f"AWS_{name}"))), "")

    key, secret = said("ACCESS_KEY_ID"), said("SECRET_ACCESS_KEY")
    if not (key and secret):
        raise RefusedError(
            "A lake in an object store needs keys",
            got=f"data={address.data}",
            to_do="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    endpoint = said("ENDPOINT", "ENDPOINT_URL")
    given = {
        "KEY_ID": key,
        "SECRET": secret,
        "SESSION_TOKEN": said("SESSION_TOKEN"),
        "REGION": said("REGION", "DEFAULT_REGION"),
        "ENDPOINT": endpoint.rpartition("://")[2].rstrip("/"),
        "URL_STYLE": "path" if endpoint else "",
        "SCOPE": f"{address.data}/",
    }
    plain = ", USE_SSL false" if endpoint.startswith("http://") else ""
    return "".join(f", {k} {quoted(v)}" for k, v in given.items() if v) + plain


def _extension(name: str) -> Path:
    """The file of an extension, of the very version of DuckDB that runs.

    Raises:
        RefusedError: it is not installed.
    """
    try:
        package: Any = files(f"duckdb_extension_{name}")
    except ModuleNotFoundError:
        raise _lacking(name) from None
    path = Path(str(package)) / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not path.is_file():
        raise _lacking(name)
    return path


def _lacking(name: str) -> RefusedError:
    return RefusedError(
        "A lake needs DuckDB's extensions",
        got=f"no {name} for DuckDB {duckdb.__version__}",
        to_do=TO_DO,
    )


def _told(address: Address, error: duckdb.Error) -> RefusedError:
    said = " ".join(str(error).split())
    if CONFLICT in said:
        return InUseError(
            "Somebody else changed the lake meanwhile", got=said, to_do="Run the command again"
        )
    if ELSEWHERE in said:
        return RefusedError(
            "The lake's data is elsewhere",
            got=f"data={address.data}; {said}",
            to_do="Correct data=",
        )
    if "HTTP" in said and ("403" in said or "401" in said):
        return RefusedError(
            "The store refuses the lake",
            got=address.data,
            to_do="Give keys with the rights to list, read, write and delete there",
        )
    if "authentication failed" in said or "permission denied" in said:
        return RefusedError("PostgreSQL refuses the lake", got=f"{address.url}: {said}")
    return StepError("The lake could not be used", got=f"{address.url}: {said}")
