"""Removing loads, snapshots and trainings that newer ones have replaced.

It is a publication like any other: of a catalogue without them. The files of their tables go when
no kept catalogue lists them and no reader can have them open (`keeping.prune`); trained weights
and sequences, which no reader opens, at once.
"""

import json
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from warehouse.catalogue import KEPT, reading, writing
from warehouse.database import locked, statements
from warehouse.errors import InUseError
from warehouse.expiry import Rule, Thing, outdated
from warehouse.faults import point
from warehouse.garbage import collect, others_live
from warehouse.home import Home
from warehouse.placing import put_in_place
from warehouse.run_figures import bring_up_to_date
from warehouse.store import listed, show_listed
from warehouse.stored import KEYS

LOCK = "pruning"


def would_go(home: Home, rule: Rule) -> list[Thing]:
    """What a rule removes now, with all of its bytes."""
    with reading(home) as connection:
        found = outdated(_things(connection), rule, _now())
    return [replace(one, bytes=one.bytes + _beside(home, one.id)) for one in found]


def prune(home: Home, rule: Rule, agreed: Sequence[Thing], *, at_once: bool = False) -> list[Thing]:
    """Remove what somebody agreed to, as far as the rule still says so.

    Args:
        home: of the pipeline.
        rule: what is too old.
        agreed: see `would_go`.
        at_once: the files of tables too, which readers of a catalogue of before may have open.

    Returns:
        What went.

    Raises:
        RefusedError: a run is at work, which may be about to use some of it.
    """
    _refuse_at_work(home)
    with locked(home, LOCK):
        with writing(home) as connection:
            ids = {thing.id for thing in outdated(_things(connection), rule, _now())}
            gone = [thing for thing in agreed if thing.id in ids]
            note = _write_note(home, gone, at_once=at_once)
            _withdraw(connection, home, gone)
        point("what is pruned is out of the catalogue")
        _to_the_end(home, [thing.id for thing in gone], at_once=at_once)
        note.unlink()
    return gone


def clear_up(home: Home) -> None:
    """Finish what one before this left that was killed."""
    collect(home)
    go_on(home)


def go_on(home: Home, own: str = "") -> list[str]:
    """Delete what somebody who died in `prune` has left; says so, in a line each.

    Args:
        home: of the pipeline.
        own: the lock that the caller's own flow holds; others may be making the same anew.
    """
    notes = sorted(home.root.glob(f"{LOCK}-*.json"))
    if not notes or others_live(home, own):
        return []
    done = []
    with locked(home, LOCK):
        for note in notes:
            with suppress(FileNotFoundError):  # its writer came to an end meanwhile
                said = json.loads(note.read_text(encoding="utf-8"))
                gone = _not_published(home, said["ids"])
                _to_the_end(home, gone, at_once=said["at_once"])
                note.unlink()
                done += [f"pruned {len(gone)} to the end"] if gone else []
    return done


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _things(connection: duckdb.DuckDBPyConnection) -> list[Thing]:
    return [Thing(*row) for row in connection.execute(statements("prune/things")).fetchall()]


def _not_published(home: Home, ids: Sequence[str]) -> list[str]:
    """Those that nobody has made again, nor ever left the catalogue."""
    with reading(home) as connection:
        known = {thing.id for thing in _things(connection)}
    return [one for one in ids if one not in known]


def _refuse_at_work(home: Home) -> None:
    if others_live(home):
        raise InUseError(
            "A run is at work in this home",
            expected="none: it may be about to use what would go",
            to_do="Prune when it has ended",
        )


def _write_note(home: Home, gone: Sequence[Thing], *, at_once: bool) -> Path:
    """Word of what must go, for whoever comes after a death in between."""
    path = home.root / f"{LOCK}-{secrets.token_hex(4)}.json"
    partial = path.with_suffix(".partial")
    said = {"ids": [thing.id for thing in gone], "at_once": at_once}
    partial.write_text(json.dumps(said), encoding="utf-8")
    return put_in_place(partial, path)


def _withdraw(connection: duckdb.DuckDBPyConnection, home: Home, gone: Sequence[Thing]) -> None:
    ids = {thing.id for thing in gone}
    for file in listed(connection):
        if file.identity in ids:
            with suppress(FileNotFoundError):
                os.utime(home.root / file.path)  # readers' grace begins now
    connection.register("gone", pa.table({"id": pa.array(sorted(ids), pa.string())}))
    connection.execute(statements("publish/withdraw"))
    connection.unregister("gone")
    show_listed(connection, home, KEYS)
    bring_up_to_date(connection)


def _to_the_end(home: Home, ids: Sequence[str], *, at_once: bool) -> None:
    """What is left to do when the newest catalogue is without them."""
    for _ in range(KEPT - 1):  # those before still name the files
        with writing(home):
            pass
    _delete(home, ids, at_once=at_once)


def _delete(home: Home, ids: Sequence[str], *, at_once: bool) -> None:
    for identity in ids:
        point("before what is pruned goes")
        for path in _paths_beside(home, identity):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for folder in home.store.glob(f"*/*={identity}") if at_once else ():
            shutil.rmtree(folder)


def _paths_beside(home: Home, identity: str) -> list[Path]:
    """What is kept of it outside of the store."""
    files = sorted(home.sequences.glob(f"*-{identity}.parquet*"))
    return [*files, home.run(identity)] if home.run(identity).exists() else files


def _beside(home: Home, identity: str) -> int:
    """Bytes of it outside of the store."""
    within = (file for path in _paths_beside(home, identity) for file in (path, *path.rglob("*")))
    return sum(file.stat().st_size for file in within if file.is_file())
