"""Work in any order, crashes, damage and readers: what is published is what a plain model says.

Each example is a home of its own. After every step the readers' copy is compared, row by row, with
dictionaries of Python that were changed alike.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from warehouse.catalogue import opened, reading
from warehouse.errors import RefusedError
from warehouse.following import newest, publication
from warehouse.garbage import collect
from warehouse.home import Home
from warehouse.identity import sha256_of
from warehouse.keeping import keep_whole, prune
from warehouse.kept_catalogues import catalogues, copy_fault
from warehouse.preparing import find_snapshot, prepare, snapshot_id
from warehouse.publishing import has_load, publish_load, publish_runs, publish_snapshot
from warehouse.recommending import ServingRun, publish_recommendations
from warehouse.staging import staging_folder
from warehouse.store import listed
from warehouse.stored import CORE, RAW
from warehouse.stored_files import damaged

LOADS = {"a": 4, "b": 6}  # users of each
N_ITEMS, LENGTH = 8, 5
SPLITS = ["train", "train", "train", "valid", "test"]
# columns of each table that are compared, after the id whose rows they are
SHOWN = {
    "raw.ratings": "load_id, raw_user_id, raw_item_id, timestamp",
    "core.interactions": "snapshot_id, user_id, item_id, position, split",
    "mart.user_ranks": "run_id, split, protocol, user_id, rank",
    "mart.recommendations": "run_id, raw_user_id, rank, item_id",
}
RANKS = st.sampled_from([1.0, 2.5, 10.0, 10.5, 50.0])
LOAD, NUMBER = st.sampled_from(sorted(LOADS)), st.integers(0, 2)


class Fault(NamedTuple):
    """Before which of the calls that reach the disk the work ends, and how."""

    call: int
    kind: str  # "full": an error that is handled; "killed": nothing is handled


FAULTS = st.none() | st.builds(Fault, st.integers(1, 40), st.sampled_from(["full", "killed"]))


class KilledError(BaseException):
    """The process is gone."""


@dataclass
class World:
    """What should be published.

    Attributes:
        rows: by stored table and id; None where only the file's being there is compared.
        loads, snapshots: ids of `raw.loads` and `core.snapshots`.
        recalls: recall@10 of each training.
    """

    rows: dict[tuple[str, str], list[tuple] | None] = field(default_factory=dict)
    loads: set[str] = field(default_factory=set)
    snapshots: set[str] = field(default_factory=set)
    recalls: dict[str, float] = field(default_factory=dict)

    def has(self, tables: tuple[str, ...], identity: str) -> bool:
        return all((table, identity) in self.rows for table in tables)


def ratings(load: str) -> list[tuple[int, int, int]]:
    """User, item, time: of eight items in turn each user takes five."""
    users = range(1, LOADS[load] + 1)
    return [(user, (user + n) % N_ITEMS + 1, 10 * n) for user in users for n in range(LENGTH)]


def ranked(ranks: list[float]) -> list[tuple]:
    return [
        (split, protocol, user, rank)
        for split in ("valid", "test")
        for protocol in ("uniform_100", "full")
        for user, rank in enumerate(ranks, start=1)
    ]


class Homes(RuleBasedStateMachine):
    """Homes of examples lie in `folder`; the other two write what work begins with."""

    folder: Path
    stage_raw: Callable
    write_run: Callable

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=type(self).folder))
        self.home = Home.at(self.folder / "0")
        self.world = World()
        self.kept: dict[int, World] = {}  # by the number of the publication
        self.number = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    # what people and programs do

    @initialize(load=LOAD, ranks=st.lists(RANKS, min_size=6, max_size=6))
    def begin(self, load, ranks):
        """Most of what follows needs something published."""
        self.ingest(load, None)
        self.prepare(load, None)
        self.train(load, 0, ranks, None)

    @rule(load=LOAD, fault=FAULTS)
    def ingest(self, load, fault):
        after = deepcopy(self.world)
        after.loads.add(load)
        after.rows |= {(table, load): None for table in RAW}
        after.rows["raw.ratings", load] = ratings(load)
        self.work(lambda: self.land(load), after, fault)

    def land(self, load: str) -> None:
        with staging_folder(self.home, "load") as folder:
            self.stage_raw(folder, load, ratings(load))
            publish_load(self.home, folder)

    @rule(load=LOAD, fault=FAULTS)
    def prepare(self, load, fault):
        if not self.world.has(RAW, load):
            with pytest.raises(RefusedError, match=r"No such load|is not whole"):
                self.transform(load)
            return
        after, identity = deepcopy(self.world), snapshot_id(load, "cold-start")
        after.snapshots.add(identity)
        after.rows |= {(table, identity): None for table in CORE}
        after.rows["core.interactions", identity] = [
            (user, item, place % LENGTH + 1, SPLITS[place % LENGTH])
            for place, (user, item, _) in enumerate(ratings(load))
        ]
        self.work(lambda: self.transform(load), after, fault)

    def transform(self, load: str) -> None:
        with staging_folder(self.home, "snapshot") as folder:
            publish_snapshot(self.home, prepare(self.home, load, "cold-start", folder), folder)

    @rule(load=LOAD, number=NUMBER, ranks=st.lists(RANKS, min_size=6, max_size=6), fault=FAULTS)
    def train(self, load, number, ranks, fault):
        if snapshot_id(load, "cold-start") in self.world.snapshots:
            run_id, own = f"{load}{number}", ranks[: LOADS[load]]
            self.work(lambda: self.rank(run_id, own), self.with_run(run_id, own), fault)

    def with_run(self, run_id: str, ranks: list[float]) -> World:
        after = deepcopy(self.world)
        after.rows["mart.user_ranks", run_id] = ranked(ranks)
        after.recalls[run_id] = sum(rank <= 10 for rank in ranks) / len(ranks)
        return after

    def rank(self, run_id: str, ranks: list[float]) -> None:
        identity = snapshot_id(run_id[0], "cold-start")
        publish_runs(
            self.home, [self.write_run(self.home, run_id, identity, ranks, seed=int(run_id[1]))]
        )

    @rule(run=st.integers(0, 9), user=st.integers(1, 4), length=st.integers(1, 3), fault=FAULTS)
    def recommend(self, run, user, length, fault):
        runs = sorted(run for run in self.world.recalls if self.is_whole(run[0]))
        if not runs:
            return
        run_id = runs[run % len(runs)]
        taken = {item for owner, item, _ in ratings(run_id[0]) if owner == user}
        items = [item for item in range(1, N_ITEMS + 1) if item not in taken][:length]
        new = [(user, place, item) for place, item in enumerate(items, start=1)]
        after, key = deepcopy(self.world), ("mart.recommendations", run_id)
        after.rows[key] = [row for row in after.rows.get(key) or () if row[0] != user] + new
        frame = pl.DataFrame(
            [(one, one, place, item, -float(place)) for one, place, item in new],
            ["raw_user_id", "user_id", "rank", "item_id", "score"],
            orient="row",
        )
        of = ServingRun(run_id, snapshot_id(run_id[0], "cold-start"), *[""] * 10, None, "", "ml-1m")
        self.work(lambda: publish_recommendations(self.home, of, frame), after, fault)

    def is_whole(self, load: str) -> bool:
        identity = snapshot_id(load, "cold-start")
        return self.world.has(RAW, load) and self.world.has(CORE, identity)

    @rule(
        load=LOAD, numbers=st.tuples(NUMBER, NUMBER), ranks=st.lists(RANKS, min_size=6, max_size=6)
    )
    def train_two_at_once(self, load, numbers, ranks):
        """Of the same training too, with the same ranks."""
        if snapshot_id(load, "cold-start") not in self.world.snapshots:
            return
        own = ranks[: LOADS[load]]
        runs = [f"{load}{number}" for number in numbers]
        written = [
            self.write_run(self.home, run, snapshot_id(load, "cold-start"), own, seed=int(run[1]))
            for run in runs
        ]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda run: publish_runs(self.home, [run]), written))
        for run_id in runs:
            self.world = self.with_run(run_id, own)
        self.settle(forget=True)  # which of them was first is not known

    @rule(fault=FAULTS)
    def ingest_two_side_by_side(self, fault):
        """The second is staged and published while the first is staged."""
        with staging_folder(self.home, "load") as folder:
            self.stage_raw(folder, "a", ratings("a"))
            self.ingest("b", None)
            after = deepcopy(self.world)
            after.loads.add("a")
            after.rows |= {(table, "a"): None for table in RAW} | {
                ("raw.ratings", "a"): ratings("a")
            }
            publish_load(self.home, folder)
        self.world = after
        self.settle()

    # what goes wrong

    @rule(which=st.integers(0, 99), how=st.sampled_from(["lost", "cut", "a bit"]))
    def damage_a_file(self, which, how):
        with opened(self.home) as connection:
            files = listed(connection)
        file = files[which % len(files)]
        damage(self.home.root / file.path, how)
        said = list(keep_whole(self.home, whole=True))
        assert [line for line in said if line.startswith(file.path)]
        del self.world.rows[file.table, file.identity]
        self.settle(forget=True)  # older catalogues list it still

    @rule(load=LOAD, how=st.sampled_from(["lost", "cut", "a bit"]))
    def damage_sequences(self, load, how):
        identity = snapshot_id(load, "cold-start")
        if self.world.has(CORE, identity):
            damage(self.home.sequences_file(identity), how)
            assert find_snapshot(self.home, identity) is None
            if not self.world.has(RAW, load):
                self.prepare(load, None)  # is refused: the ratings are needed again
                self.ingest(load, None)
            self.prepare(load, None)

    @precondition(lambda self: len(catalogues(self.home)) > 1)
    @rule(how=st.sampled_from(["cut", "a bit"]))
    def damage_the_catalogue(self, how):
        before = number_of_second(self.home)
        if before not in self.kept:
            return
        damage(catalogues(self.home)[0], how)
        with pytest.raises(RefusedError, match="damaged"):
            self.land("a")
        collect(self.home)
        assert any("counts again" in line for line in list(keep_whole(self.home)))
        # one of before the home moved is written anew, as it names files by whole paths
        assert publication(self.home) in (before, before + 1)
        self.world, self.number = deepcopy(self.kept[before]), before
        self.settle()

    @rule(how=st.sampled_from(["lost", "cut", "a bit", "rows", "log", "unguarded"]))
    def harm_the_readers_copy(self, how):
        """Nothing that a reader may do to it lasts, nor reaches a program of ours."""
        copy, guard = self.home.published, Path(f"{self.home.published}.wal")
        if how in {"log", "unguarded"}:
            guard.unlink()
        if how == "log":
            guard.write_bytes(b"changes of a reader who died")
        elif how == "rows":
            copy.chmod(0o640)
            guard.unlink()
            with duckdb.connect(str(copy)) as connection:
                connection.execute("DELETE FROM mart.training_runs; DELETE FROM mart.files")
        elif how != "unguarded":
            damage(copy, how)
        assert copy_fault(self.home)
        assert any(self.home.published.name in line for line in list(keep_whole(self.home)))

    @rule()
    def move(self):
        target = self.folder / str(int(self.home.root.name) + 1)
        self.home.root.rename(target)
        self.home = Home.at(target)
        with reading(self.home):
            pass
        self.settle()

    @rule(which=st.integers(0, 99))
    def leave_a_stray_file(self, which):
        """Beside those that count, of the same kind: nobody reads it, and it goes."""
        with opened(self.home) as connection:
            files = listed(connection)
        path = self.home.root / files[which % len(files)].path
        stray = path.with_name(f"{'0' * 32}.parquet")
        shutil.copyfile(path, stray)
        self.compare()
        os.utime(stray, (0, 0))
        assert stray in prune(self.home)

    @rule()
    def prune(self):
        """Even what was touched just now: what a kept catalogue lists stays all the same."""
        prune(self.home, older_than=-1)
        for path in catalogues(self.home):
            with duckdb.connect(str(path), read_only=True) as connection:
                files = listed(connection)
            if int(path.name[:10]) in self.kept:
                assert list(damaged(self.home, files, whole=True)) == []

    # how the work is done and judged

    def work(self, go: Callable[[], None], after: World, fault: Fault | None) -> None:
        """All of it is published or nothing; the same work again ends as if nothing had been."""
        before, ended = publication(self.home), False
        try:
            with faults(self.home, fault):
                go()
            ended = True
        except (OSError, RefusedError, KilledError):
            assert fault is not None
        if not ended and fault is not None and fault.kind == "killed":
            dead = self.home.root.with_suffix(".dead")
            shutil.rmtree(self.home.root)
            dead.rename(self.home.root)
        if not ended:
            list(keep_whole(self.home))
            collect(self.home)
            assert list(self.home.staging.iterdir()) == []
            assert list(self.home.root.glob("**/*.partial*")) == []
        made = publication(self.home) > before
        assert made or not ended
        if made:
            self.world = after
            self.settle()
        else:
            self.compare()
            self.work(go, after, None)

    def settle(self, *, forget: bool = False) -> None:
        number = publication(self.home)
        assert number >= self.number
        self.number = number
        self.kept = {} if forget else self.kept
        self.kept[number] = deepcopy(self.world)

    @invariant()
    def compare(self):
        if self.number:
            with opened(self.home):  # DuckDB opens a file once as long as somebody has it open
                self.compare_all()

    def compare_all(self) -> None:
        assert publication(self.home) == self.number
        assert copy_fault(self.home) == ""
        assert sha256_of(self.home.published) == sha256_of(newest(self.home))
        with duckdb.connect(str(self.home.published), read_only=True) as connection:
            files = listed(connection)
            assert {(one.table, one.identity) for one in files} == set(self.world.rows)
            assert list(damaged(self.home, files, whole=True)) == []
            for table, columns in SHOWN.items():
                wanted = [
                    (identity, *row)
                    for (name, identity), rows in self.world.rows.items()
                    for row in (rows or () if name == table else ())
                ]
                got = connection.execute(f"SELECT {columns} FROM {table}").fetchall()
                assert sorted(got) == sorted(wanted), table
            for table, ids in (("raw.loads", "loads"), ("core.snapshots", "snapshots")):
                got = connection.execute(
                    f"SELECT columns('^{ids[:-1]}_id') FROM {table}"
                ).fetchall()
                assert sorted(row[0] for row in got) == sorted(getattr(self.world, ids))
            got = connection.execute(
                "SELECT DISTINCT run_id, recall FROM mart.metrics WHERE k = 10"
            ).fetchall()
            assert dict(got) == self.world.recalls
            assert len(got) == len(self.world.recalls)
        for load in LOADS:
            assert has_load(self.home, load) == self.world.has(RAW, load)
            identity = snapshot_id(load, "cold-start")
            known = find_snapshot(self.home, identity) is not None
            assert known == self.world.has(CORE, identity)


def number_of_second(home: Home) -> int:
    return int(catalogues(home)[1].name[:10])


def damage(path: Path, how: str) -> None:
    if how == "lost":
        path.unlink()
        return
    path.chmod(0o640)
    data = bytearray(path.read_bytes())
    if how == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 4
    path.write_bytes(data)


@contextmanager
def faults(home: Home, fault: Fault | None) -> Iterator[None]:
    """End the work before one of its calls that write; of a killed one the home stays as it is."""
    if fault is None:
        yield
        return
    calls = 0
    with pytest.MonkeyPatch.context() as patch:

        def counted(real: Callable) -> Callable:
            def call(*arguments, **named):
                nonlocal calls
                calls += 1
                if calls != fault.call:
                    return real(*arguments, **named)
                patch.undo()
                if fault.kind == "full":
                    raise OSError(28, "No space left on device")
                dead = home.root.with_suffix(".dead")
                shutil.copytree(home.root, dead, symlinks=True)
                raise KilledError

            return call

        for module, name in ((os, "fsync"), (os, "replace"), (os, "link"), (shutil, "copyfile")):
            patch.setattr(module, name, counted(getattr(module, name)))
        yield


def run_machine(machine: type[Homes], examples: int, steps: int, *, always_the_same: bool) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            # steps take long: those of every `make test` are always the same ones, and a failure
            # is not made smaller
            derandomize=always_the_same,
            database=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def machine(tmp_path, stage_raw, write_run):
    names = {"folder": tmp_path, "stage_raw": stage_raw, "write_run": write_run}
    return type(
        "Homes",
        (Homes,),
        {name: value if name == "folder" else staticmethod(value) for name, value in names.items()},
    )


# other orders each time; FPT_STATEFUL=30,15 for minutes of them, 200,20 for an hour
LONG = tuple(map(int, os.environ.get("FPT_STATEFUL", "4,12").split(",")))


SHORT = (3, 8)


@pytest.mark.parametrize(
    ("examples", "steps"),
    [SHORT, pytest.param(*LONG, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_what_is_published_is_what_was_done(machine, examples, steps):
    run_machine(machine, examples, steps, always_the_same=(examples, steps) == SHORT)
