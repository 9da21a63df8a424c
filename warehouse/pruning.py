"""Removing loads, snapshots and trainings that newer ones have replaced.

It is a publication like any other: of a catalogue without them. The files of their tables go when
no kept catalogue lists them and no reader can have them open (`keeping.prune`); trained weights
and sequences, which no reader opens, at once.
"""

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import duckdb

from warehouse.catalogue import reading, writing
from warehouse.database import locked, statements, utc_now
from warehouse.expiry import Rule, Thing, outdated
from warehouse.faults import point
from warehouse.following import turn
from warehouse.garbage import collect, others_live, refuse_at_work
from warehouse.home import Home
from warehouse.kept_catalogues import KEPT
from warehouse.lake import objects, upstream
from warehouse.lake.elsewhere import carry_out
from warehouse.run_figures import bring_up_to_date
from warehouse.store import begin_grace, listed
from warehouse.withdrawing import beside_store, delete_beside_store, notes, withdraw, write_note

LOCK = "pruning"


def would_go(home: Home, rule: Rule) -> list[Thing]:
    """What a rule removes now, with all of its bytes."""
    with reading(home) as connection:
        found = outdated(_things(connection), rule, utc_now())
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
        RefusedError: a run is at work, which may be about to use some of it. Runs of other homes of
            a lake are refused when they publish, see `lake/meanwhile.py`.
    """
    refuse_at_work(home, "It may be about to use what would go: prune when it has ended")
    with locked(home, LOCK):
        with writing(home) as connection:
            these = {thing.id for thing in agreed}
            ids = {thing.id for thing in outdated(_things(connection), rule, utc_now(), these)}
            gone = [thing for thing in agreed if thing.id in ids]
            gone_ids = {thing.id for thing in gone}
            files = [one.path for one in listed(connection) if one.identity in gone_ids]
            said = {"ids": [thing.id for thing in gone], "files": files, "at_once": at_once}
            note = write_note(home, LOCK, said)
            _withdraw(connection, home, gone)
        point("what is pruned is out of the catalogue")
        _to_the_end(home, [thing.id for thing in gone], files, at_once=at_once)
        note.unlink()
    carry_out(home)  # other homes do
    return gone


def clear_up(home: Home) -> None:
    """Finish what one before this left that was killed."""
    collect(home)
    go_on(home)
    carry_out(home)


def go_on(home: Home, own: str = "") -> list[str]:
    """Delete what somebody who died in `prune` has left; says so, in a line each.

    Args:
        home: of the pipeline.
        own: the lock that the caller's own flow holds; others may be making the same anew.
    """
    left = notes(home, LOCK)
    if not left or others_live(home, own):
        return []
    done = []
    with locked(home, LOCK):
        for note in left:
            with suppress(FileNotFoundError):  # its writer came to an end meanwhile
                said = json.loads(note.read_text(encoding="utf-8"))
                gone = _not_published(home, said["ids"])
                files = said.get("files", [])  # older notes have none
                _to_the_end(home, gone, files, at_once=said["at_once"])
                note.unlink()
                done += [f"pruned {len(gone)} to the end"] if gone else []
    return done


def _things(connection: duckdb.DuckDBPyConnection) -> list[Thing]:
    return [Thing(*row) for row in connection.execute(statements("prune/things")).fetchall()]


def _not_published(home: Home, ids: Sequence[str]) -> list[str]:
    """Those that nobody has made again, nor ever left the catalogue."""
    with reading(home) as connection:
        known = {thing.id for thing in _things(connection)}
    return [one for one in ids if one not in known]


def _withdraw(connection: duckdb.DuckDBPyConnection, home: Home, gone: Sequence[Thing]) -> None:
    ids = {thing.id for thing in gone}
    for file in listed(connection):
        if file.identity in ids:
            begin_grace(home, file)
    withdraw(connection, home, ids, "pruned")
    bring_up_to_date(connection)


def _to_the_end(home: Home, ids: Sequence[str], files: Sequence[str], *, at_once: bool) -> None:
    """What is left to do when the newest catalogue is without them."""
    if home.lake is None:
        for _ in range(KEPT - 1):  # those before still name the files
            with writing(home):
                pass
    elif at_once:  # otherwise the lake can go back to them for some days
        with turn(home):
            upstream.drop_past(home, rows=False)
        _delete_of_lake(home, files)
    _delete(home, ids, at_once=at_once)


def _delete_of_lake(home: Home, files: Sequence[str]) -> None:
    """These very files, of names that no others get: another home may have made the same again."""
    with reading(home) as connection:  # all are, where the publication without them failed
        published = {file.path for file in listed(connection)}
    objects.delete_files(home, [path for path in files if path not in published])


def _delete(home: Home, ids: Sequence[str], *, at_once: bool) -> None:
    for identity in ids:
        point("before what is pruned goes")
        delete_beside_store(home, identity)
        for folder in home.store.glob(f"*/*={identity}") if at_once and home.lake is None else ():
            shutil.rmtree(folder)


def _beside(home: Home, identity: str) -> int:
    """Bytes of it outside of the store."""
    within = (file for path in beside_store(home, identity) for file in (path, *path.rglob("*")))
    return sum(file.stat().st_size for file in within if file.is_file())
