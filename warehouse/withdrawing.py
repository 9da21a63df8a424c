"""What leaves the catalogue, and word of it until its files are gone: of `fpt forget`, `fpt prune`.

A note is written before anything goes. Whoever dies in between leaves it to the next run.
"""

import json
import secrets
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import duckdb

from warehouse.database import registered, statements
from warehouse.home import Home
from warehouse.placing import put_in_place
from warehouse.store import show_listed
from warehouse.stored import KEYS

Reason = Literal["forgotten", "pruned"]


def write_note(home: Home, kind: str, said: Any) -> Path:
    """Word of what must go, for whoever comes after a death in between."""
    path = home.root / f"{kind}-{secrets.token_hex(4)}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(said), encoding="utf-8")
    return put_in_place(partial, path)


def notes(home: Home, kind: str) -> list[Path]:
    """The notes of a kind that are there."""
    return sorted(home.root.glob(f"{kind}-*.json"))


def withdraw(
    connection: duckdb.DuckDBPyConnection, home: Home, ids: Collection[str], reason: Reason
) -> None:
    """Take loads, snapshots, trainings and imports out of a catalogue that is written.

    Other homes of a lake are told, see `warehouse/lake/elsewhere.py`.
    """
    import pyarrow as pa  # not for those who only read

    gone = pa.table({"id": pa.array(sorted(ids), pa.string())})
    with registered(connection, gone, "gone"):
        connection.execute(statements("publish/withdraw"))
        if home.lake is not None:
            connection.execute("DELETE FROM mart.withdrawn WHERE id IN (SELECT id FROM gone)")
            row = "SELECT id, ?, publication FROM gone, mart.catalogue"
            connection.execute(f"INSERT INTO mart.withdrawn {row}", [reason])
    show_listed(connection, home, KEYS)


def beside_store(home: Home, identity: str) -> list[Path]:
    """What is kept of it outside of the store: sequences with their checksums, a training."""
    files = sorted(home.sequences.glob(f"*-{identity}.parquet*"))
    return [*files, home.run(identity)] if home.run(identity).exists() else files


def delete_beside_store(home: Home, identity: str) -> None:
    """Delete that."""
    for path in beside_store(home, identity):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
