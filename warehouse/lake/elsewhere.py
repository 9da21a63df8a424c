"""What another home took out of the lake goes from this one too: weights, sequences, catalogues.

It is done by the next command that looks at the lake, or begins a flow; a run that is at work keeps
its files until it ends, and can't publish what it makes of them (`meanwhile.py`).
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from warehouse.database import connected, locked
from warehouse.faults import point
from warehouse.garbage import others_live
from warehouse.home import Home
from warehouse.kept_catalogues import forget_older, give_to_readers, here
from warehouse.placing import put_in_place
from warehouse.withdrawing import delete_beside_store

NOTE = "withdrawn.json"  # up to which publication this home has deleted what went
SPECS = ("order.json", "run.json")  # of a training's folder: each names its snapshot


@dataclass(frozen=True)
class Withdrawn:
    """What the home has not deleted yet.

    Attributes:
        publication: up to which this is all.
        ids: what is gone and was not made again.
        forgets: whether a person is among the reasons.
        snapshots: those that are published.
    """

    publication: int
    ids: tuple[str, ...]
    forgets: bool
    snapshots: frozenset[str]


def is_pending(home: Home) -> bool:
    """Whether there is something left to delete."""
    return home.lake is not None and _pending(home) is not None


def carry_out(home: Home, own: str = "") -> list[str]:
    """Delete it, unless a flow is at work; says so, in a line.

    Args:
        home: of a lake, or not.
        own: the lock that the caller's own flow holds.
    """
    if home.lake is None or _pending(home) is None:
        return []
    with locked(home, "warehouse"):
        return carry_out_in_turn(home, own)


def carry_out_in_turn(home: Home, own: str = "") -> list[str]:
    """`carry_out` for who holds the home's lock. Catalogues with a person's data go in any case."""
    left = _pending(home)
    if left is None:
        return []
    if left.forgets:
        give_to_readers(home)  # who brought the catalogue may have died before this
        forget_older(home)
    if others_live(home, own):
        return []
    point("before what another home withdrew goes")
    for identity in left.ids:
        delete_beside_store(home, identity)
    if left.forgets:
        for identity in left.ids if home.owns_files else ():  # copies of an object store's
            for folder in home.store.glob(f"*/*={identity}"):
                shutil.rmtree(folder)
        for identity in _unpublished(home, left.snapshots):
            delete_beside_store(home, identity)
    _note(home, left.publication)
    return [f"deleted what another home withdrew: {len(left.ids)}"] if left.ids else []


def _pending(home: Home) -> Withdrawn | None:
    path, done = here(home), _done(home)
    if path is None:
        return None
    with connected(path, read_only=True) as connection:
        try:
            rows = connection.execute(
                "SELECT id, reason, publication, id IN (SELECT load_id FROM raw.loads UNION ALL "
                "SELECT snapshot_id FROM core.snapshots UNION ALL "
                "SELECT run_id FROM mart.training_runs) FROM mart.withdrawn "
                "WHERE publication > ? ORDER BY id",
                [done],
            ).fetchall()
        except duckdb.CatalogException:  # of older code, which knows of nothing withdrawn
            return None
        if not rows:
            return None
        known = connection.execute("SELECT snapshot_id FROM core.snapshots").fetchall()
    return Withdrawn(
        publication=max(row[2] for row in rows),
        ids=tuple(identity for identity, _, _, is_back in rows if not is_back),
        forgets=any(reason == "forgotten" for _, reason, _, _ in rows),
        snapshots=frozenset(snapshot for (snapshot,) in known),
    )


def _unpublished(home: Home, snapshots: frozenset[str]) -> Iterator[str]:
    """What may be made from a person's rows, though it was never published: all that is not."""
    for path in sorted(home.sequences.glob("*-*.parquet")):
        snapshot = path.stem.rpartition("-")[2]
        if snapshot not in snapshots:
            yield snapshot
    for folder in sorted(path for path in home.runs.iterdir() if path.is_dir()):
        if _snapshot_of(folder) not in snapshots:
            yield folder.name


def _snapshot_of(folder: Path) -> str | None:
    for name in SPECS:
        with suppress(OSError, ValueError, KeyError):
            return str(json.loads((folder / name).read_text(encoding="utf-8"))["snapshot_id"])
    return None


def _done(home: Home) -> int:
    with suppress(OSError, ValueError):
        return int(json.loads((home.root / NOTE).read_text(encoding="utf-8")))
    return 0


def _note(home: Home, publication: int) -> None:
    partial = home.root / f"{NOTE}.partial"
    partial.write_text(json.dumps(publication), encoding="utf-8")
    put_in_place(partial, home.root / NOTE)
