"""The simulation of a pool: cases that can be computed by hand, and the page's table."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
simulation = importlib.import_module("pool_simulation")
metering = importlib.import_module("metering")

FREE = simulation.Parts(
    request=0, poll=0, poll_run=0, read_run=0, create=0, log=0, progress=0, requests=0,
    start=5, store=0, publish=2, publish_once=10,
)  # fmt: skip


@pytest.mark.parametrize("workers", [1, 4])
def test_with_a_free_server_only_waits_add_up(workers):
    found = simulation.simulated(FREE, simulation.AFTER, simulation.Sweep(workers, 4, 8, 60.0))
    assert found["spent"]["publishing"] == 10 + 4 * 8 * 2
    trained = found["seconds"] - found["spent"]["publishing"]
    rounds = 4 / workers
    waits = 13 + 2  # a poll and a look at most
    assert rounds * 65 <= trained <= rounds * (65 + waits) + 13 * 4 * (workers > 1)
    assert found["ideal"] == rounds * 60
    assert found["shares"][simulation.API] == 0


def test_one_worker_meets_nobody_and_many_do():
    slow = replace(FREE, request=0.5)
    one = simulation.simulated(slow, simulation.AFTER, simulation.Sweep(1, 4, 8, 60.0))
    many = simulation.simulated(slow, simulation.AFTER, simulation.Sweep(30, 60, 8, 60.0))
    assert one["in_vain"] == 0
    assert many["in_vain"] > 0


def test_a_server_answers_one_request_after_the_other():
    server = simulation.Server()
    assert [server.answered(10.0, 2.0), server.answered(10.0, 2.0), server.answered(20.0, 1.0)] == [
        2.0,
        4.0,
        1.0,
    ]
    assert server.busy == 5.0


def test_what_has_no_end_is_said():
    drowned = replace(FREE, poll=10.0)
    found = simulation.simulated(drowned, simulation.AFTER, simulation.Sweep(30, 120, 8, 60.0))
    assert found["seconds"] is None
    assert found["first"] == simulation.API


def test_the_page_shows_what_is_recorded():
    text = simulation.PAGE.read_text(encoding="utf-8")
    assert simulation.page(simulation.read_json(simulation.FILE)) in text


def test_requests_are_told_apart_by_their_kind():
    state = f"/api/flow_runs/{'0' * 8}-1234-1234-1234-{'0' * 12}/set_state?a=b"
    assert metering.kind("POST", state) == "POST /api/flow_runs/ID/set_state"
