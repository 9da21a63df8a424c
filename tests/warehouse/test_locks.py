"""Waiting for whoever has a lock: with a word on who it is, or not at all."""

import json
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta

import pytest

from warehouse import database, locks
from warehouse.database import locked
from warehouse.errors import InUseError
from warehouse.home import Home

HOLD = """
import sys, time
from warehouse.database import locked
from warehouse.home import Home
sys.argv = ["/bin/fpt", "run", "--seeds", "5"]
with locked(Home.at({root!r}), "load-x"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def home(tmp_path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def other(home):
    """A process that has the lock until it is written to."""
    code = HOLD.format(root=str(home.root))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture
def waiting(monkeypatch) -> locks.Waiting:
    monkeypatch.setattr(database, "FIRST_PULSE_SECONDS", 0.1)
    monkeypatch.setattr(database, "PULSE_SECONDS", 0.2)
    monkeypatch.setattr(database, "waiting", locks.Waiting())
    return database.waiting


def test_who_waits_is_told_of_whom_until_it_is_free(home, other, waiting):
    told = []

    def tell(line: str) -> None:
        told.append(line)
        if len(told) == 3:
            other.stdin.write("\n")
            other.stdin.flush()

    waiting.ask(True, tell)
    with locked(home, "load-x", wait_seconds=0.01):
        assert json.loads((home.locks / "load-x.holder").read_text())["pid"] == os.getpid()
    now = datetime.now().astimezone()
    moments = {(now - timedelta(minutes=ago)).strftime("%H:%M") for ago in (0, 1)}
    expected = f"waiting for load-x: in use by process {other.pid}, `fpt run --seeds 5`, since "
    assert len(told) >= 3
    assert {line.removeprefix(expected) for line in told} <= moments


def test_who_does_not_wait_is_refused_with_a_code_of_its_own(home, other, waiting, monkeypatch):
    monkeypatch.setattr(locks, "IMPATIENT_SECONDS", 0.2)
    waiting.ask(False, print)
    began = time.monotonic()
    expected = rf"load-x is in use by process {other.pid}, `fpt run --seeds 5`, since \d\d:\d\d"
    with pytest.raises(InUseError, match=expected) as caught, locked(home, "load-x"):
        pass
    assert time.monotonic() - began < 10
    assert caught.value.code == 3


def test_what_never_waits_does_not_wait_either_way(home, other, waiting):
    waiting.ask(True, print)
    with pytest.raises(InUseError), locked(home, "load-x", wait_seconds=0):
        pass


def test_a_holder_of_another_day_is_told_with_the_day(home):
    lock = home.locks / "load-x.lock"
    long_ago = datetime(2020, 2, 29, 13, 5).astimezone()
    note = {"pid": os.getppid(), "command": "fpt run", "since": long_ago.timestamp()}
    lock.with_suffix(".holder").write_text(json.dumps(note))
    assert locks.holder(lock) == f"process {os.getppid()}, `fpt run`, since 2020-02-29 13:05"
    lock.with_suffix(".holder").write_text(json.dumps({"pid": os.getppid(), "command": "fpt run"}))
    assert locks.holder(lock) == f"process {os.getppid()}, `fpt run`"  # of an older version
