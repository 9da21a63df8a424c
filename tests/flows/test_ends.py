"""How commands end: told to, killed, without their server; nothing of theirs is left."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROMISED_SECONDS = 5.0
TOLD = "interrupted; the same command goes on"
# another model than those of `copy`, long enough to be met at work: hundreds of epochs
LONG = ("run", "--dataset", "ml-1m", "--retention", "cold-start", "--model", "tisasrec")
# with its imports and their end: those of an audit are under way while an archive is landed
FROM_NOTHING = [("", signal.SIGINT), ("land ml-1m", signal.SIGTERM), ("loss", signal.SIGINT)]


def states(tmp_path: Path) -> list[str]:
    """States of all flow runs in Prefect's database, the newest last."""
    with sqlite3.connect(f"file:{tmp_path}/prefect/prefect.db?mode=ro", uri=True) as database:
        rows = database.execute("SELECT state_name FROM flow_run ORDER BY created").fetchall()
    return [name for (name,) in rows]


def unfinished(home: Path) -> list[str]:
    patterns = ("staging/*", "**/*.partial*", "locks/flow-*", "locks/*.holder")
    return [str(path) for pattern in patterns for path in home.glob(pattern)]


def gone(one, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while one.family() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not one.family()


@pytest.fixture
def used(prefect_home, tmp_path) -> Path:
    """Prefect's home of the commands of a test, in which a server was before."""
    return prefect_home(tmp_path / "prefect")


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("", signal.SIGINT),
        ("land ml-1m", signal.SIGINT),
        ("land ml-1m", signal.SIGTERM),
        ("expectations hold", signal.SIGINT),
        ("expectations hold(.|\n)*expectations hold", signal.SIGTERM),
        ("loss", signal.SIGINT),
        ("loss", signal.SIGTERM),
    ],
)
def test_told_to_end_it_does_in_order_and_in_time(
    typed, tmp_path, archive, request, moment, number
):
    if moment:
        request.getfixturevalue("used")
    # training begins at once where all before it is done
    home = request.getfixturevalue("copy") if moment == "loss" else tmp_path / "home"
    loaded = (moment, number) not in FROM_NOTHING
    command = typed(*LONG, "--source", archive, "--home", home, loaded=loaded)
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


@pytest.mark.usefixtures("used")
def test_killed_it_takes_training_and_server_along_at_once(typed, copy, archive):
    command = typed(*LONG, "--source", archive, "--home", copy)  # its own family, no forks
    command.wait_for("loss")
    assert command.one("fpt_model train-all") != command.one("temporary_server")
    command.process.kill()
    command.process.wait()
    assert gone(command, 2.0), command.family()


@pytest.mark.usefixtures("used")
def test_a_killed_server_is_started_again_and_told(typed, tmp_path, copy, archive):
    command = typed(*LONG, "--source", archive, "--home", copy, loaded=True)
    command.wait_for("loss")
    os.kill(command.one("temporary_server"), signal.SIGKILL)
    command.end()
    assert command.process.returncode == 0, command.seen
    assert "Test metrics" in command.seen
    assert states(tmp_path) == ["Completed"]


@pytest.fixture
def server(used) -> Iterator[tuple[subprocess.Popen, str]]:
    """A server that somebody else started, and its address."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["uvicorn", "--factory", "prefect.server.api.server:create_app"]
    process = subprocess.Popen(
        [sys.executable, "-m", *words, "--port", str(port), "--log-level", "error"],
        # without what plans schedules
        env=os.environ | {"PREFECT_HOME": str(used), "PREFECT__SERVER_EPHEMERAL": "1"},
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


def newest_state(lasting: dict[str, str]) -> str:
    """Of the flow run that a server that stays was told of last."""
    settings = {PREFECT_API_URL: lasting["PREFECT_API_URL"]}
    settings[PREFECT_API_AUTH_STRING] = lasting["PREFECT_API_AUTH_STRING"]
    with temporary_settings(settings), get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    return run.state_name


def test_a_run_that_reports_to_a_server_is_cancelled_there(typed, copy, archive, lasting):
    told = {name: x for name, x in lasting.items() if name != "PREFECT_FLOWS"}  # with heartbeats
    command = typed(*LONG, "--source", archive, "--home", copy, loaded=True, **told)
    command.wait_for("loss")
    os.write(command.terminal, b"\x03")
    assert command.end() < PROMISED_SECONDS
    assert command.process.returncode == 130
    assert newest_state(lasting) == "Cancelled"
    assert gone(command, 1.0)


def test_a_run_whose_server_is_lost_publishes_and_tells_it_later(typed, copy, archive, server, fpt):
    told = {"PREFECT_API_URL": server[1], "PREFECT_CLIENT_MAX_RETRIES": "1"}  # 2 s, not 30
    command = typed(*LONG, "--source", archive, "--home", copy, loaded=True, **told)
    command.wait_for("loss")
    server[0].kill()
    command.end()
    assert command.process.returncode == 0, command.seen
    assert "server is lost" in command.seen
    assert "Test metrics" in command.seen
    question = "SELECT count(*) AS n FROM mart.training_runs WHERE model = 'tisasrec'"
    question += " AND status = 'published'"
    assert json.loads(fpt("sql", question, "--format", "json", home=copy).out) == [{"n": 1}]
    assert gone(command, 1.0)
