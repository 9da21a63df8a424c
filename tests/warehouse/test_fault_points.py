"""Named places at which a publication fails: the state before or after, and again is well."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from warehouse import faults
from warehouse.following import newest, publication
from warehouse.garbage import collect
from warehouse.home import Home
from warehouse.kept_catalogues import copy_fault
from warehouse.publishing import publish_load
from warehouse.questions import ask
from warehouse.staging import staging_folder

ROOT = Path(__file__).parents[2]
ROWS = [(1, 10, 100), (1, 11, 200), (2, 10, 300)]
COUNTS = "SELECT (SELECT count(*) FROM raw.loads), (SELECT count(*) FROM raw.ratings)"


@pytest.fixture
def fail(monkeypatch):
    """Let something fail; the places' counts begin anew."""

    def at(asked: str) -> None:
        faults._times.clear()
        monkeypatch.setenv(faults.ASKED, asked)

    yield at
    faults._times.clear()


def test_both_rooms_hold_the_same_file():
    for name in ("faults.py", "placing.py"):
        ours, theirs = ROOT / "fpt_model" / "files" / name, ROOT / "warehouse" / name
        assert ours.read_bytes() == theirs.read_bytes(), name


def test_a_place_does_nothing_unless_it_is_named(fail, monkeypatch):
    monkeypatch.delenv(faults.ASKED, raising=False)
    faults.point("here")
    fail("there:raise")
    faults.point("here")
    fail("here:raise")
    with pytest.raises(faults.FaultError, match="here"):
        faults.point("here")
    faults.point("here")  # only at its time


def test_kinds_of_faults(fail, monkeypatch, tmp_path):
    fail("here:full:2")
    faults.point("here")
    with pytest.raises(OSError, match="No space left") as raised:
        faults.point("here")
    assert raised.value.errno == errno.ENOSPC
    fail("here:delay:0.2")
    for _ in range(2):
        began = time.monotonic()
        faults.point("here")
        assert time.monotonic() - began >= 0.2
    monkeypatch.setenv(faults.NOTES, str(tmp_path / "notes"))
    fail(":note")
    faults.point("before the rename to", Path("x/run.json"))
    assert (tmp_path / "notes").read_text() == (
        "before the rename to run.json\ttest_fault_points.py:test_kinds_of_faults\n"
    )
    code = "from warehouse.faults import point; point('here'); print('alive')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {faults.ASKED: "here:kill", "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("catalogue/0000000012-0f3a2b4c5d6e7f800f3a2b4c5d6e7f80.duckdb", "*-*.duckdb"),
        ("sequences/sequences-0f3a2b4c5d6e7f80.parquet", "sequences-*.parquet"),
        ("runs/0f3a2b4c5d6e7f80/checkpoint-000000012.safetensors", "checkpoint-*.safetensors"),
        ("published.duckdb.wal", "published.duckdb.wal"),
        ("out/ml-1m.zip", "ml-1m.zip"),
    ],
)
def test_kinds_of_files(name, kind):
    assert faults.kind_of(Path(name)) == kind


PLACES = {
    "before the rename to *.parquet": 1,
    "all that is staged is in the store": 1,
    "a catalogue is copied to a draft": 1,
    "before the commit to a draft": 1,
    "a draft is whole": 1,
    "before the rename to *-*.duckdb": 1,
    "after the rename to *-*.duckdb": 2,  # from here on it is published
    "a catalogue is copied for readers": 2,
    "after the rename to published.duckdb": 2,
}


@pytest.mark.parametrize(("turn", "place"), list(enumerate(PLACES)))
def test_a_publication_that_fails_is_whole_or_none(
    turn, place, home, publish_rows, stage_load, fail, monkeypatch
):
    publish_rows("before", ROWS[:1])
    fail(f"{place}:{('raise', 'full')[turn % 2]}")
    with pytest.raises((faults.FaultError, OSError)):
        publish_load(home, stage_load("load", ROWS))
    monkeypatch.delenv(faults.ASKED)
    loads = PLACES[place]
    assert publication(home) == loads
    assert ask(home, COUNTS).row(0) == ((1, 1), (2, 4))[loads - 1]
    publish_rows("load", ROWS)
    assert ask(home, COUNTS).row(0) == (2, 4)
    assert copy_fault(home) == ""
    collect(home)
    assert not list(home.root.rglob("*.partial*"))
    assert len(list(home.store.glob("*/*/*"))) == 8  # 4 tables of either load


def test_a_staging_folder_that_fails_to_go_is_garbage(home, fail, monkeypatch):
    fail("before a staging folder goes:raise")
    with pytest.raises(faults.FaultError), staging_folder(home, "more"):
        pass
    monkeypatch.delenv(faults.ASKED)
    (left,) = home.staging.iterdir()
    assert collect(home) == [f"staging/{left.name}"]
    assert not [*home.staging.iterdir(), *home.locks.glob("staging-*")]


KILLED = """
import sys
from pathlib import Path
from warehouse.home import Home
from warehouse.publishing import publish_load
publish_load(Home.at(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize(
    "place",
    [
        "before the rename to *-*.duckdb",
        "after the rename to *-*.duckdb",
    ],
)
def test_a_publication_that_is_killed_is_whole_or_none(place, home, publish_rows, stage_load):
    publish_rows("before", ROWS[:1])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(home.root), str(stage_load("load", ROWS))],
        env=os.environ | {faults.ASKED: f"{place}:kill", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == -signal.SIGKILL
    published = place == "after the rename to *-*.duckdb"
    assert ask(home, COUNTS).row(0) == ((2, 4) if published else (1, 1))
    assert copy_fault(home) == ("changed by somebody, or damaged" if published else "")
    publish_rows("load", ROWS)
    assert ask(home, COUNTS).row(0) == (2, 4)
    assert copy_fault(home) == ""
    collect(home)
    assert sorted(path.suffix for path in home.catalogue.iterdir()) == [".duckdb"] * (
        3 if published else 2
    )
    assert newest(Home.at(home.root)) is not None
