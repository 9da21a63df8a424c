"""Taking one person's data out of everything that is published, and out of every later load."""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from warehouse.catalogue import fetch_all, found, writing
from warehouse.commands import Given, Trained, import_command, run_command
from warehouse.database import is_held, locked, statements, utc_now
from warehouse.errors import NotOwnerError, RefusedError
from warehouse.faults import point
from warehouse.following import turn
from warehouse.garbage import collect, refuse_at_work
from warehouse.home import Home
from warehouse.kept_catalogues import forget_older, give_to_readers
from warehouse.lake import objects, upstream
from warehouse.lake.elsewhere import carry_out
from warehouse.raw_ids import User
from warehouse.withdrawing import delete_beside_store, notes, withdraw, write_note

LOCK = "forgetting"
SHORT_SECONDS = 10.0  # for flows such as that which looks after the pipeline


@dataclass(frozen=True)
class Forgotten:
    """What went with a person.

    Attributes:
        loads, snapshots, runs, imports: ids of what was made from the person's data, and is gone.
        again: the commands that train it again, or import it, without the person.
        sequences: files of sequences, relative to the home.
    """

    loads: list[str]
    snapshots: list[str]
    runs: list[str]
    again: list[str]
    sequences: list[str]
    imports: list[str] = field(default_factory=list)  # older notes know of none


def forgotten_users(home: Home, dataset: str) -> frozenset[User]:
    """Users who are left out of every load of a data set: numbers, of own data ids."""
    query = "SELECT user_key, raw_user_id FROM raw.forgotten WHERE dataset = ?"
    rows = fetch_all(home, query, [dataset])
    return frozenset(number if key is None else key for key, number in rows)


def forget(home: Home, dataset: str, user: User) -> Forgotten:
    """Forget a user of a data set: all that was made from the user's rows goes, at once.

    Loads with the user, what was prepared from them, trainings (weights have learnt from the
    rows), ranks, recommendations and audits' samples leave the catalogue, and their files the
    disk. Metrics of those trainings go too: they can be made again without the user. Whoever ends
    in between leaves word of what has to go: the next run, or this command again, goes on.

    A run at work may hold the user's rows and publish them later. None begins meanwhile, and one
    that has begun must end first. Those of other homes of a lake can't publish them any more, and
    these homes delete what they have when they look at the lake next (`lake/elsewhere.py`).

    Raises:
        RefusedError: no published load of the data set knows the user; a run is at work.
    """
    with locked(home, LOCK):
        collect(home)
        refuse_at_work(home, "It may hold the person's data: wait for its end", SHORT_SECONDS)
        resumed = _go_on(home)
        asked = found(home, lambda connection: _asked(connection, home, dataset, user))
        if not asked.loads:
            for before in resumed:
                if (before.dataset, before.user) == (dataset, user):
                    return before.gone
            if user in forgotten_users(home, dataset):
                _end_past(home)  # who forgot may not have been allowed to
                return asked  # done before, and nothing of it has come back
            raise _unknown(dataset, user)
        note, gone = _withdraw(home, dataset, user)
        point("a person is out of the catalogue")
        _delete(home, gone, note)
    carry_out(home)  # other homes do
    return gone


@dataclass(frozen=True)
class AtStake:
    """What goes with one person's rows and is made again from the source alone.

    Attributes:
        others: users of the loads besides.
        sources: names of the files or folders that the loads are of.
    """

    others: int
    sources: list[str]


def at_stake(home: Home, dataset: str, user: User) -> AtStake:
    """What `forget` would take along of others; nothing where no load knows the user."""
    query = "SELECT coalesce(sum(n_users - 1), 0), list(DISTINCT source) FROM raw.loads "
    these = "WHERE list_contains($1::VARCHAR[], load_id)"

    def look(connection: duckdb.DuckDBPyConnection) -> AtStake:
        loads = _loads(connection, dataset, user)
        others, sources = connection.execute(query + these, [loads]).fetchall()[0]
        return AtStake(int(others), sorted(sources or []))

    return found(home, look)


def wait_for_forgetting(home: Home) -> None:
    """Nothing begins while a person is forgotten; the caller's own sign of life is held already.

    Raises:
        RefusedError: it takes too long.
    """
    with locked(home, LOCK):
        pass


def go_on(home: Home) -> list[str]:
    """Delete what somebody who died in `forget` has left; says so, in a line each."""
    if not notes(home, LOCK) or is_held(home, LOCK):
        return []
    with locked(home, LOCK):
        return [f"forgot user {one.user} of {one.dataset} to the end" for one in _go_on(home)]


@dataclass(frozen=True)
class Withdrawal:
    """What has to go with whom, kept in a file until all of it is gone."""

    dataset: str
    user: User
    gone: Forgotten


def _go_on(home: Home) -> list[Withdrawal]:
    """Those that had left the catalogue; of the others nothing was done."""
    done = []
    for note in notes(home, LOCK):
        said = json.loads(note.read_text(encoding="utf-8"))
        order = Withdrawal(said["dataset"], said["user"], Forgotten(**said["gone"]))
        if order.user in forgotten_users(home, order.dataset):
            _delete(home, order.gone, note)
            done.append(order)
        else:
            note.unlink()
    return done


def _asked(
    connection: duckdb.DuckDBPyConnection, home: Home, dataset: str, user: User
) -> Forgotten:
    """What was made from the user's rows."""
    loads = _loads(connection, dataset, user)
    snapshots = _ids(connection, "forget/snapshots", loads)
    runs = _ids(connection, "forget/runs", snapshots)
    imports = _ids(connection, "forget/imports", snapshots)
    trained = _rows(connection, "forget/again", runs)
    given = _rows(connection, "forget/again_imports", imports)
    sequences = _ids(connection, "forget/sequences", snapshots)
    again = [run_command(home, Trained(*row)) for row in trained]
    again += [import_command(home, Given(*row)) for row in given]
    return Forgotten(loads, snapshots, runs, again, sequences, imports)


def _loads(connection: duckdb.DuckDBPyConnection, dataset: str, user: User) -> list[str]:
    """Of the data set those that may have rows of the user."""
    if not isinstance(user, str):
        return _ids(connection, "forget/loads", dataset, user)
    connection.execute(statements("own_landing/may_name"))
    return _ids(connection, "forget/own_loads", dataset, user)


def _unknown(dataset: str, user: User) -> RefusedError:
    column, table = ("raw_user_id", "raw.users")
    if isinstance(user, str):
        column, table = ("user_key", "raw.user_keys")
    return RefusedError(
        f"User {user} is in no load of {dataset}",
        to_do=f'`fpt sql "SELECT dataset, {column} FROM {table} JOIN raw.loads '
        'USING (load_id)"` lists those that are',
    )


def _withdraw(home: Home, dataset: str, user: User) -> tuple[Path, Forgotten]:
    """Publish a catalogue without it, of which not even free places hold it.

    Returns:
        The note of what has to go, and that: other homes of a lake may have added to it until now.
    """
    with writing(home, anew=True) as connection:
        gone = _asked(connection, home, dataset, user)
        note = write_note(home, LOCK, asdict(Withdrawal(dataset, user, gone)))
        number, key = (None, user) if isinstance(user, str) else (user, None)
        row = [dataset, number, utc_now(), key]
        connection.execute("INSERT INTO raw.forgotten VALUES (?, ?, ?, ?)", row)
        ids = [*gone.loads, *gone.snapshots, *gone.runs, *gone.imports]
        withdraw(connection, home, ids, "forgotten")
    return note, gone


def _delete(home: Home, gone: Forgotten, note: Path) -> None:
    """The files, whatever still names them, and at last the note."""
    with turn(home):
        give_to_readers(home)  # who died after the publication may have left the one before
        forget_older(home)
    for name in gone.sequences:
        for path in (home.root / name, home.root / f"{name}.sha256"):
            path.unlink(missing_ok=True)
    for snapshot in gone.snapshots:
        delete_beside_store(home, snapshot)
    for run in gone.runs:
        point("before a forgotten training goes")
        delete_beside_store(home, run)
    try:
        _end_past(home)
    except NotOwnerError:
        note.unlink()  # this home has done what it may
        raise
    ids = (*gone.loads, *gone.snapshots, *gone.runs, *gone.imports)
    objects.drop(home, ids)
    for identity in ids:
        for folder in home.store.glob(f"*/*={identity}"):
            point("before a file with a forgotten person goes")
            shutil.rmtree(folder)
    note.unlink()


def _end_past(home: Home) -> None:
    """Of a lake: it can go back to the person until this is done; it deletes the files, too."""
    if home.lake is not None:
        with turn(home):
            upstream.drop_past(home, rows=True)


def _ids(connection: duckdb.DuckDBPyConnection, question: str, *parameters: Any) -> list[str]:
    rows = connection.execute(statements(question), list(parameters)).fetchall()
    return [identity for (identity,) in rows]


def _rows(connection: duckdb.DuckDBPyConnection, question: str, *parameters: Any) -> list[Any]:
    return connection.execute(statements(question), list(parameters)).fetchall()
