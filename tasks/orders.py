"""What travels through a shared store: an order of trainings, and what each of them left.

An order names versions, sequences files and trainings. A result is a manifest, which names each
file of a training's folder by its hash; `trainings/<run_id>/` names the manifests.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from fpt_model.files.finished import RECORD, checksum
from fpt_model.variants import any_from_dict
from fpt_model.version import code_version
from tasks.trainings import Training, is_ranked
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.records import Snapshot
from warehouse.shared_store import MissingObjectError, SharedStore

PULSES, RESULTS = "pulses", "trainings"
LEFT_OUT = (".partial",)


def versions() -> dict[str, str]:
    """Of what decides about a training's bits; which build of PyTorch (CPU, CUDA) is left open."""
    return {"fpt_model": code_version(), "torch": version("torch").partition("+")[0]}


def put_order(
    store: SharedStore, asked: Sequence[Training], put: dict[str, Any] | None = None
) -> str:
    """Put an order for these trainings and their sequences files into the store; its name.

    `put` keeps what earlier orders put there, so that a file is hashed and asked for once.
    """
    put = {} if put is None else put
    snapshots = {one.snapshot.snapshot_id: one.snapshot for one in asked}
    for name in snapshots.keys() - put.keys():
        put[name] = _put_snapshot(store, snapshots[name])
    order = {
        "versions": versions(),
        "snapshots": {name: put[name] for name in snapshots},
        "trainings": [
            {
                "run_id": one.run_id,
                "snapshot_id": one.snapshot.snapshot_id,
                "config": one.config.to_dict(),
                "seed": one.seed,
            }
            for one in asked
        ],
    }
    return store.put(json.dumps(order, sort_keys=True, default=str).encode())


def _put_snapshot(store: SharedStore, snapshot: Snapshot) -> dict[str, Any]:
    path = snapshot.sequences
    files = {one.name: store.put_file(one) for one in sorted(path.parent.glob(f"{path.name}*"))}
    return asdict(snapshot) | {"sequences": path.name, "files": files}


def read_order(store: SharedStore, name: str, home: Home) -> list[Training]:
    """The trainings of an order, their sequences files brought into this home.

    Raises:
        RefusedError: it is for other versions than those of this machine.
    """
    order = json.loads(store.get(name))
    _refuse_other_versions(order["versions"])
    snapshots = {key: _snapshot(store, row, home) for key, row in order["snapshots"].items()}
    return [_training(row, snapshots) for row in order["trainings"]]


def _refuse_other_versions(asked: Mapping[str, str]) -> None:
    here = versions()
    other = [name for name in asked if here.get(name) != asked[name]]
    if other:
        raise RefusedError(
            "This worker has other versions than the machine that asks",
            got=", ".join(f"{name} {here.get(name)}" for name in other),
            expected=", ".join(f"{name} {asked[name]}" for name in other),
            to_do="Install the same version of the pipeline, with its constraints.txt, on both",
        )


def _snapshot(store: SharedStore, row: Mapping[str, Any], home: Home) -> Snapshot:
    for name, content in row["files"].items():
        path = home.sequences / _own_name(name)
        if not path.is_file() or checksum(path) != content:
            store.get_file(content, path)
    facts = {key: value for key, value in row.items() if key != "files"}
    facts["sequences"] = home.sequences / _own_name(row["sequences"])
    facts["as_of"] = date.fromisoformat(row["as_of"]) if row["as_of"] else None
    return Snapshot(**facts)


def _training(row: Mapping[str, Any], snapshots: Mapping[str, Snapshot]) -> Training:
    config = any_from_dict(row["config"])
    training = Training(snapshots[row["snapshot_id"]], config, int(row["seed"]))
    if training.run_id != row["run_id"]:
        raise RefusedError(
            "An order does not fit this machine",
            got=f"run {training.run_id} of {training.name}",
            expected=row["run_id"],
        )
    return training


def put_result(store: SharedStore, home: Home, run_id: str) -> None:
    """Put what a finished training left into the store, its manifest last."""
    folder = home.run(run_id)
    paths = [path for path in sorted(folder.rglob("*")) if _travels(path)]
    files = {
        path.relative_to(folder).as_posix(): [store.put_file(path), path.stat().st_size]
        for path in paths
    }
    manifest = {"run_id": run_id, "files": files}
    name = store.put(json.dumps(manifest, sort_keys=True).encode())
    store.mark(_results(run_id), name)


def _travels(path: Path) -> bool:
    is_left_out = path.suffix in LEFT_OUT or path.name.startswith("checkpoint-")
    return path.is_file() and not is_left_out


def with_results(store: SharedStore) -> set[str]:
    """The run's ids of all trainings that anybody left a result of."""
    return store.folders(RESULTS)


def result_of(store: SharedStore, run_id: str) -> dict[str, str] | None:
    """The files of a training by their paths, if all of them are in the store.

    Where several workers left a result, it is the first by name, so the same one for all.
    """
    for files in _manifests(store, run_id):
        if all(store.has(name, size) for name, size in files.values()):
            return {path: name for path, (name, _) in files.items()}
    return None


def bring_result(store: SharedStore, home: Home, run_id: str) -> bool:
    """Bring a training's files into this home, if they are in the store; its record comes last.

    Raises:
        RefusedError: one of them is damaged.
    """
    for files in _manifests(store, run_id):
        with suppress(MissingObjectError):  # somebody deleted it as it was damaged
            _bring_files(store, home.run(run_id), files)
            return True
    return False


def _manifests(store: SharedStore, run_id: str) -> Iterator[dict[str, tuple[str, int]]]:
    """Name and size of each file of a training by its path, as each worker left them."""
    for name in store.marked(_results(run_id)):
        with suppress(MissingObjectError):
            files = json.loads(store.get(name))["files"]
            yield {_inside(path): (name, size) for path, (name, size) in files.items()}


def _bring_files(store: SharedStore, folder: Path, files: Mapping[str, tuple[str, int]]) -> None:
    for path in sorted(files, key=lambda path: (path == RECORD, path)):
        target = folder / path
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        store.get_file(files[path][0], target)


@contextmanager
def handing_back(
    store: SharedStore, home: Home, asked: Sequence[Training], run: str, pulse: float
) -> Iterator[None]:
    """Put each training into the store as soon as it is finished.

    Every `pulse` seconds a sign of life of the flow run is written there.
    """
    ended, done = threading.Event(), set[str]()

    def work() -> None:
        while True:
            with suppress(Exception):  # at the end it is tried again, and waited for
                store.pulse(f"{PULSES}/{run}")
                _put_finished(store, home, asked, done)
            if ended.wait(pulse):
                return

    thread = threading.Thread(target=work, daemon=True, name="handing-back")
    thread.start()
    try:
        yield
        _put_finished(store, home, asked, done)
    finally:
        ended.set()
        thread.join()
        store.forget(f"{PULSES}/{run}")


def _put_finished(
    store: SharedStore, home: Home, asked: Sequence[Training], done: set[str]
) -> None:
    for one in asked:
        finished = (home.run(one.run_id) / RECORD).exists() and is_ranked(home, one)
        if one.run_id not in done and finished:
            put_result(store, home, one.run_id)
            done.add(one.run_id)


def _results(run_id: str) -> str:
    return f"{RESULTS}/{run_id}"


def _inside(path: str) -> str:
    """A path of a manifest, which may lead nowhere but into the training's folder."""
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\\" in path:
        raise RefusedError("A manifest names a strange path", got=path)
    return path


def _own_name(name: str) -> str:
    if Path(name).name != name:
        raise RefusedError("An order names a strange path", got=name)
    return name
