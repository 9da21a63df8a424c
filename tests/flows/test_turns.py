"""A scheduled run waits for another one in the same home; who is not scheduled does as before."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import State

from tasks import flow_runs, progress
from tasks.flow_runs import with_run_lifecycle
from warehouse import database
from warehouse.database import locked
from warehouse.home import Home
from warehouse.locks import Waiting


@flow
@with_run_lifecycle
def one(home: Path | None = None) -> str:
    with locked(Home.at(home), "train-x", wait_seconds=0.05):
        return "done"


@pytest.fixture
def home(tmp_path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def told(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(flow_runs, "note", lines.append)
    monkeypatch.setattr(database, "FIRST_PULSE_SECONDS", 0.2)
    return lines


@pytest.fixture
def held(home) -> Iterator[threading.Event]:
    """The lock is held by somebody else until the event is set."""
    taken, free = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(home, "train-x"):
            taken.set()
            free.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(10)
    yield free
    free.set()
    holder.join()


def scheduled(home: Home) -> State:
    """The end of a run of a deployment, as a worker does it."""
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(one)
        deployment = client.create_deployment(flow_id, "nightly")
        parameters = {"home": str(home.root)}
        made = client.create_flow_run_from_deployment(deployment, parameters=parameters)
    return run_flow(one, flow_run=made, parameters={"home": home.root}, return_type="state")


def test_a_scheduled_run_waits_and_says_for_whom(prefect, home, held, told, monkeypatch):
    def hear(line: str) -> None:
        told.append(f"{time.monotonic()} {line}")
        if len(told) == 3:
            held.set()

    monkeypatch.setattr(flow_runs, "note", hear)
    assert scheduled(home).result() == "done"
    moments, lines = zip(*(line.split(" ", 1) for line in told[:3]), strict=True)
    assert all(line.startswith("waiting for train-x: in use by ") for line in lines)
    first, second, third = map(float, moments)
    assert third - second > 1.5 * (second - first)  # ever more seldom
    assert database.waiting == Waiting()


def test_past_its_limit_it_fails_with_the_holder_as_its_message(
    prefect, home, held, told, monkeypatch
):
    monkeypatch.setenv("FPT_WAIT_SECONDS", "1")
    state = scheduled(home)
    assert state.is_failed()
    assert state.message.startswith("train-x is in use by ")
    assert "no turn within 1 s" in state.message
    assert database.waiting == Waiting()


def test_a_run_of_a_command_is_refused_soon_as_before(prefect, home, held, told):
    state = one(home.root, return_state=True)
    assert "in use by" in state.message
    assert told == []


def test_a_turn_is_long_enough_for_a_training_and_shorter_than_a_night():
    assert 3600 <= flow_runs.TURN_SECONDS <= 6 * 3600
    assert flow_runs.WAIT not in os.environ
    assert progress.LOG_EVERY_SECONDS < flow_runs.PULSE_SECONDS
