"""How commands end: told to, killed, without their server; nothing of theirs is left."""

import json
import os
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FPT = Path(sys.executable).parent / "fpt"
PROMISED_SECONDS = 5.0
TOLD = "interrupted; the same command goes on"
# as in conftest.py, but long enough to be met at work: hundreds of epochs
LONG = ("run", "--dataset", "ml-1m", "--retention", "cold-start", "--model", "sas_fpt")
ON_A_TERMINAL = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
ON_A_TERMINAL += " os.execv(sys.argv[1], sys.argv[1:])"


@dataclass
class Typed:
    """A command at a terminal of its own, and all that it started."""

    process: subprocess.Popen
    terminal: int
    mark: bytes
    seen: str = ""

    def wait_for(self, pattern: str, seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            assert time.monotonic() < deadline, self.seen
            assert self.read(), f"it ended before {pattern}: {self.seen}"

    def read(self) -> bool:
        """What comes within a moment; False at the end."""
        if not select.select([self.terminal], [], [], 0.05)[0]:
            return self.process.poll() is None
        try:
            new = os.read(self.terminal, 1 << 16)
        except OSError:  # Linux says so when the other side has closed
            return False
        self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", new.decode(errors="replace"))
        return True

    def end(self) -> float:
        """Wait for its end; how long that took."""
        began = time.monotonic()
        while self.read():
            assert time.monotonic() - began < 120, self.seen
        self.process.wait(30)
        return time.monotonic() - began

    def family(self) -> dict[int, str]:
        """Living processes with our mark in their environment, and their command lines."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark in (path / "environ").read_bytes():
                    found[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
        return found

    def one(self, word: str) -> int:
        """The first process of the family with that word, once it is there."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for pid, command in sorted(self.family().items()):
                if word in command and "leash" not in command:
                    return pid
            time.sleep(0.02)
        raise AssertionError(f"no {word} among {self.family()}")


@pytest.fixture
def typed(tmp_path, archive) -> Iterator:
    """Type `fpt …` at a terminal; a Ctrl-C there goes to the whole foreground group."""
    running: list[Typed] = []

    def start(*words: object, **more: str) -> Typed:
        mark = f"FPT_TEST_MARK={tmp_path.name}-{len(running)}-{time.time_ns()}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "150", **more}
        environment |= dict([mark.split("=")])
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", ON_A_TERMINAL, FPT, *map(str, words)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
        )
        os.close(theirs)
        running.append(Typed(process, ours, mark.encode()))
        return running[-1]

    yield start
    for one in running:
        one.process.kill()
        os.close(one.terminal)


def states(tmp_path: Path) -> list[str]:
    """States of all flow runs in Prefect's database, the newest last."""
    with sqlite3.connect(f"file:{tmp_path}/prefect/prefect.db?mode=ro", uri=True) as database:
        rows = database.execute("SELECT state_name FROM flow_run ORDER BY created").fetchall()
    return [name for (name,) in rows]


def unfinished(home: Path) -> list[str]:
    patterns = ("staging/*", "**/*.partial*", "locks/flow-*", "locks/*.holder")
    return [str(path) for pattern in patterns for path in home.glob(pattern)]


def gone(one: Typed, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while one.family() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not one.family()


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("", signal.SIGINT),
        ("land ml-1m", signal.SIGTERM),
        ("land ml-1m", signal.SIGINT),
        ("expectations hold", signal.SIGINT),
        ("expectations hold(.|\n)*expectations hold", signal.SIGTERM),
        ("loss", signal.SIGINT),
        ("loss", signal.SIGTERM),
    ],
)
def test_told_to_end_it_does_in_order_and_in_time(typed, tmp_path, archive, moment, number):
    home = tmp_path / "home"
    command = typed(*LONG, "--source", archive, "--home", home)
    if moment:
        command.wait_for(moment)
    else:
        command.one("temporary_server")  # before there is a flow run
    if number == signal.SIGINT:
        os.write(command.terminal, b"\x03")
    else:
        command.process.send_signal(number)
    assert command.end() < PROMISED_SECONDS
    assert command.process.returncode == 128 + number
    assert command.seen.count(TOLD) == 1, command.seen
    assert "Traceback" not in command.seen
    assert gone(command, 1.0), command.family()
    assert unfinished(home) == []
    if moment:
        assert states(tmp_path) == ["Cancelled"]
    if moment == "loss":
        assert list(home.glob("runs/*/checkpoint-*.safetensors"))


def test_killed_it_takes_training_and_server_along_at_once(typed, tmp_path, archive):
    command = typed(*LONG, "--source", archive, "--home", tmp_path / "home")
    command.wait_for("loss")
    assert command.one("fpt_model train-all") != command.one("temporary_server")
    command.process.kill()
    command.process.wait()
    assert gone(command, 2.0), command.family()


def test_a_killed_server_is_started_again_and_told(typed, tmp_path, archive):
    command = typed(*LONG, "--source", archive, "--home", tmp_path / "home")
    command.wait_for("loss")
    os.kill(command.one("temporary_server"), signal.SIGKILL)
    command.end()
    assert command.process.returncode == 0, command.seen
    assert "Test metrics" in command.seen
    assert states(tmp_path) == ["Completed"]


@pytest.fixture
def server(tmp_path) -> Iterator[tuple[subprocess.Popen, str]]:
    """A server that somebody else started, and its address."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["uvicorn", "--factory", "prefect.server.api.server:create_app"]
    process = subprocess.Popen(
        [sys.executable, "-m", *words, "--port", str(port), "--log-level", "error"],
        env=os.environ | {"PREFECT_HOME": str(tmp_path / "prefect")},
    )
    from flows.server import _status

    deadline = time.monotonic() + 120
    while True:
        try:
            assert _status(f"http://127.0.0.1:{port}/api/health", None) == 200
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield process, f"http://127.0.0.1:{port}/api"
    process.kill()
    process.wait()


def test_a_run_that_reports_to_a_server_is_cancelled_there(typed, tmp_path, archive, server):
    command = typed(*LONG, "--source", archive, "--home", tmp_path / "h", PREFECT_API_URL=server[1])
    command.wait_for("loss")
    os.write(command.terminal, b"\x03")
    assert command.end() < PROMISED_SECONDS
    assert command.process.returncode == 130
    assert states(tmp_path) == ["Cancelled"]
    assert gone(command, 1.0)


def test_a_run_whose_server_is_lost_publishes_and_tells_it_later(
    typed, tmp_path, archive, server, fpt
):
    home = tmp_path / "home"
    command = typed(*LONG, "--source", archive, "--home", home, PREFECT_API_URL=server[1])
    command.wait_for("loss")
    server[0].kill()
    command.end()
    assert command.process.returncode == 0, command.seen
    assert "server is lost" in command.seen
    assert "Test metrics" in command.seen
    question = "SELECT count(*) AS n FROM mart.training_runs WHERE status = 'published'"
    assert json.loads(fpt("sql", question, "--format", "json", home=home).out) == [{"n": 1}]
    assert gone(command, 1.0)
