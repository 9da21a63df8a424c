"""Taking one person's data out of everything that is published, and out of every later load."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from warehouse.catalogue import catalogues, reading, writing
from warehouse.commands import Trained, run_command
from warehouse.database import statements
from warehouse.errors import RefusedError
from warehouse.faults import point
from warehouse.home import Home
from warehouse.keeping import prune
from warehouse.store import show_listed
from warehouse.stored import KEYS


@dataclass(frozen=True)
class Forgotten:
    """What went with a person.

    Attributes:
        loads, snapshots, runs: ids of what was made from the person's data, and is gone.
        again: the commands that train it again without the person.
    """

    loads: list[str]
    snapshots: list[str]
    runs: list[str]
    again: list[str]


def forgotten_users(home: Home, dataset: str) -> frozenset[int]:
    """Users who are left out of every load of a data set."""
    query = "SELECT raw_user_id FROM raw.forgotten WHERE dataset = ?"
    with reading(home) as connection:
        return frozenset(user for (user,) in connection.execute(query, [dataset]).fetchall())


def forget(home: Home, dataset: str, user: int) -> Forgotten:
    """Forget a user of a data set: all that was made from the user's rows goes, at once.

    Loads with the user, what was prepared from them, trainings (weights have learnt from the
    rows), ranks, recommendations and audits' samples leave the catalogue, and their files the
    disk. Metrics of those trainings go too: they can be made again without the user.

    Raises:
        RefusedError: no published load of the data set knows the user.
    """
    with reading(home) as connection:
        loads = _ids(connection, "forget/loads", dataset, user)
        if not loads:
            raise RefusedError(
                f"User {user} is in no load of {dataset}",
                to_do='`fpt sql "SELECT dataset, raw_user_id FROM raw.users JOIN raw.loads '
                'USING (load_id)"` lists those that are',
            )
        snapshots = _ids(connection, "forget/snapshots", loads)
        runs = _ids(connection, "forget/runs", snapshots)
        again = [
            run_command(home, Trained(*row)) for row in _rows(connection, "forget/again", runs)
        ]
        sequences = _ids(connection, "forget/sequences", snapshots)
    with writing(home, anew=True) as connection:
        now = datetime.now(UTC).replace(tzinfo=None)
        connection.execute("INSERT INTO raw.forgotten VALUES (?, ?, ?)", [dataset, user, now])
        connection.register("gone", pa.table({"id": [*loads, *snapshots, *runs]}))
        connection.execute(statements("forget/withdraw"))
        connection.unregister("gone")
        show_listed(connection, home, KEYS)
    point("a person is out of the catalogue")
    _delete(home, snapshots, runs, sequences)
    return Forgotten(loads, snapshots, runs, again)


def _delete(
    home: Home, snapshots: Sequence[str], runs: Sequence[str], sequences: Sequence[str]
) -> None:
    """The files, older catalogues that still name them first."""
    for old in catalogues(home)[1:]:
        old.unlink()
    for damaged in home.catalogue.glob("*.damaged"):
        damaged.unlink()
    prune(home, older_than=0.0)
    for name in sequences:
        _unlink_with_checksum(home.root / name)
    for snapshot in snapshots:
        for path in home.sequences.glob(f"*-{snapshot}.parquet"):
            _unlink_with_checksum(path)
    for run in runs:
        point("before a forgotten training goes")
        shutil.rmtree(home.run(run), ignore_errors=True)


def _unlink_with_checksum(path: Path) -> None:
    for one in (path, Path(f"{path}.sha256")):
        one.unlink(missing_ok=True)


def _ids(connection: duckdb.DuckDBPyConnection, question: str, *parameters: Any) -> list[str]:
    rows = connection.execute(statements(question), list(parameters)).fetchall()
    return [identity for (identity,) in rows]


def _rows(connection: duckdb.DuckDBPyConnection, question: str, *parameters: Any) -> list[Any]:
    return connection.execute(statements(question), list(parameters)).fetchall()
