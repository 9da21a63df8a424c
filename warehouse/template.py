"""What a new database begins with, kept as bytes: a copy costs little, and its statements much."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import duckdb

from warehouse.database import connected

Make = Callable[[duckdb.DuckDBPyConnection], None]


def write_new(path: Path, make: Make, version: str) -> None:
    """Write a database as `make` leaves an empty one; the process makes it once for each version.

    Args:
        path: of the new file; its folder is there.
        make: fills an empty database.
        version: of all that `make` makes.
    """
    path.write_bytes(_bytes(make, version))


@cache
def _bytes(make: Make, version: str) -> bytes:  # noqa: ARG001 - another version has other bytes
    with tempfile.TemporaryDirectory(prefix="fpt-") as folder:
        path = Path(folder, "new.duckdb")
        with connected(path) as connection:
            make(connection)
            connection.execute("CHECKPOINT")
        return path.read_bytes()
