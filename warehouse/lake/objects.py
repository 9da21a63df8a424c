"""A lake's files in an object store: a home keeps a copy of each that is published.

So all that reads files (views, the readers' copy, transforms, `fpt doctor`) reads them from the
home's own store, as it does without a lake. Who has DuckDB alone reads the objects themselves.
"""

import time
from collections.abc import Collection, Iterable
from pathlib import Path

from warehouse.home import Home
from warehouse.lake.address import Address
from warehouse.locks import waiting
from warehouse.shared_store import SharedStore, open_store
from warehouse.stored_files import GRACE_SECONDS, StoredFile, damaged

AWAY_SECONDS = 10.0  # for who is told nothing meanwhile


def put(home: Home, path: Path) -> None:
    """Send a file of the home's store to the place that it has in the lake.

    Raises:
        RefusedError: the store refuses this machine.
        StepError: it does not answer.
    """
    if home.lake is not None and home.lake.is_remote:
        _store(home.lake).put_at(str(path.relative_to(home.files)), path)


def bring(home: Home, files: Iterable[StoredFile], *, whole: bool = False) -> None:
    """Bring those files that the home lacks, or has damaged (`whole`: look at every byte).

    Raises:
        RefusedError: the store has no such object, or a damaged one, or refuses this machine.
        StepError: it does not answer.
    """
    if home.lake is None or not home.lake.is_remote:
        return
    lacking = list(damaged(home, files, whole=whole))
    store = _store(home.lake) if lacking else None
    for file, _ in lacking:
        assert store is not None
        path = home.files / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        store.get_at(file.path, file.sha256, path)


def drop_strays(address: Address, known: Iterable[str]) -> None:
    """Delete objects that dead writers left: none of `known`, and older than a day."""
    store, before = _store(address), time.time() - GRACE_SECONDS
    ours = {path.removeprefix(f"{address.data}/") for path in known}
    for path, changed in store.changed("store").items():
        if path not in ours and changed < before:
            store.forget(path)


def drop(home: Home, ids: Collection[str]) -> None:
    """Delete all objects of loads, snapshots and trainings, those too that DuckLake does not know.

    It knows of no file without rows, and of none that was never published.
    """
    if home.lake is None or not home.lake.is_remote or not ids:
        return
    all_of = _store(home.lake).changed("store")
    delete(home, [path for path in all_of if Path(path).parent.name.partition("=")[2] in ids])


def delete_files(home: Home, paths: Collection[str]) -> None:
    """Delete files of a lake that are published no more: its own, or copies here and the objects.

    Raises:
        RefusedError, StepError: see `delete`; copies here are gone by then.
    """
    for path in paths:
        (home.files / path).unlink(missing_ok=True)
    delete(home, paths)


def delete(home: Home, paths: Collection[str]) -> None:
    """Delete the objects of files that are published no more.

    Raises:
        RefusedError: the store refuses this machine.
        StepError: it does not answer.
    """
    if home.lake is None or not home.lake.is_remote or not paths:
        return
    store = _store(home.lake)
    for path in paths:
        store.delete(path)


def _store(address: Address) -> SharedStore:
    def say(text: str) -> None:
        if waiting.tell is not None:
            waiting.tell(text)

    if waiting.tell is None:
        return open_store(address.data, say, wait_seconds=AWAY_SECONDS)
    return open_store(address.data, say)
