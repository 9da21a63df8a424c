"""Runs that fail or die, alarms and the monitoring, on Prefect's own harness."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import duckdb
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.runtime import flow_run
from prefect.states import Cancelling, Crashed, Pending, Running

from flows import doctor
from flows.monitor import monitor
from flows.run import run
from tasks import dead_runs
from tasks.alarms import raise_alarms
from tasks.dead_runs import MAX_ATTEMPTS, resume_dead_runs
from tasks.flow_runs import with_run_lifecycle
from warehouse.database import is_held, locked
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.publishing import store_outcomes
from warehouse.questions import ask

CAUSE = "No such thing"
OUTCOME = {
    "table_name": "mart.user_ranks",
    "expectation": "rank at least 1",
    "severity": "critical",
    "success": False,
    "observed": None,
    "unexpected_count": 1,
    "reason": "The best place is 1.",
    "sample": [],
}


@pytest.fixture
def client(prefect) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def home(tmp_path) -> Home:
    return Home.at(tmp_path / "home")


@flow
@with_run_lifecycle
def refused(home: Path) -> None:
    """Fails as the pipeline does."""
    raise RefusedError(CAUSE, got="`x`", to_do="Ask for another")


@flow
@with_run_lifecycle
def looked_at(home: Path) -> tuple[str, bool]:
    """Its own name, and whether its sign of life is there."""
    return flow_run.id, is_held(Home.at(home), f"flow-{flow_run.id}")


@flow
@with_run_lifecycle
def fails_late(home: Path, error: Exception) -> None:
    """Keeps what an audit said, as the pipeline does, and fails after it."""
    store_outcomes(Home.at(home), [OUTCOME], load_id="l")
    raise error


@pytest.fixture
def deployed_run(client, home):
    """A run of a deployment that began some times, and whose process died in a state."""

    def make(state, *, began: int = 1) -> FlowRun:
        flow_id = client.create_flow(refused)
        deployment = client.create_deployment(flow_id, name=f"d-{uuid4()}")
        run = client.create_flow_run_from_deployment(deployment)
        for _ in range(began - state.is_running()):
            client.set_flow_run_state(run.id, Running(), force=True)
        client.set_flow_run_state(run.id, state, force=True)
        (home.locks / f"flow-{run.id}.lock").touch()
        return run

    return make


def signs(home: Home) -> list[str]:
    return [path.name for path in home.locks.glob("flow-*")]


def artifacts(client: SyncPrefectClient, key: str) -> list:
    return [one for one in client.read_artifacts() if one.key == key]


def test_a_refusal_is_the_first_thing_said_of_a_run(client, home):
    with pytest.raises(RefusedError, match=CAUSE):
        refused(home.root)
    state = refused(home.root, return_state=True)
    assert state.type == StateType.FAILED
    assert state.message == f"{CAUSE}: got `x`. Ask for another."
    newest = max(artifacts(client, "failure"), key=lambda one: one.created)
    assert newest.data == f"## {CAUSE}\n\n- **got** `'x'`\n- **to do** `Ask for another`"
    assert newest.flow_run_id == state.state_details.flow_run_id


@pytest.mark.parametrize("error", [RefusedError(CAUSE), ValueError("a defect")])
def test_readers_see_what_a_run_stored_before_it_failed(prefect, home, error):
    with pytest.raises(type(error), match=str(error)):
        fails_late(home.root, error)
    question = "SELECT expectation FROM mart.validation_results"
    assert ask(home, question).rows() == [("rank at least 1",)]


def test_a_home_that_a_living_run_writes_is_not_waited_for(prefect, home):
    store_outcomes(home, [OUTCOME], load_id="l")
    stray = home.store / "raw.ratings" / "load_id=x" / "0.parquet"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"PAR1")
    os.utime(stray, (0, 0))
    before = time.monotonic()
    with locked(home, "warehouse"), pytest.raises(RefusedError, match=CAUSE):
        refused(home.root)
    assert time.monotonic() - before < 60
    assert stray.exists()


def test_a_run_shows_that_it_lives_and_leaves_nothing_behind(prefect, home):
    _, alive = looked_at(home.root)
    assert alive
    with pytest.raises(RefusedError):
        refused(home.root)
    assert signs(home) == []


@pytest.mark.parametrize("state", [Running(), Crashed(message="exit code -9")])
def test_a_dead_run_is_marked_and_started_again(client, home, deployed_run, state):
    dead = deployed_run(state)
    (seen,) = resume_dead_runs.fn(home, [])
    assert (seen["check"], seen["state"]) == ("runs", "note")
    assert "attempt 2 of 3" in seen["seen"]
    states = [one.name for one in client.read_flow_run_states(dead.id)]
    assert states[-2:] == ["Crashed", "AwaitingRetry"]
    assert signs(home) == []


def test_its_tasks_are_not_shown_as_running_for_good(client, home, deployed_run):
    from prefect import task

    dead = deployed_run(Running())
    of_it = client.create_task_run(task(lambda: None, name="train"), dead.id, "0", state=Running())
    resume_dead_runs.fn(home, [])
    assert client.read_task_run(of_it.id).state_type == StateType.CRASHED


def test_it_is_given_up_in_the_end(client, home, deployed_run):
    dead = deployed_run(Running(), began=MAX_ATTEMPTS)
    (seen,) = resume_dead_runs.fn(home, [])
    assert (seen["state"], seen["seen"]) == ("bad", f"{dead.name}: died 3 times")
    assert client.read_flow_run(dead.id).state_type == StateType.CRASHED


def test_one_that_lives_is_let_be(client, home, deployed_run):
    run = deployed_run(Running())
    with locked(home, f"flow-{run.id}"):
        (seen,) = resume_dead_runs.fn(home, [])
    assert seen["seen"] == "none died"
    assert client.read_flow_run(run.id).state_type == StateType.RUNNING
    assert len(signs(home)) == 1


def test_a_cancelled_one_stays_cancelled(client, home, deployed_run):
    run = deployed_run(Cancelling())
    resume_dead_runs.fn(home, [])
    assert client.read_flow_run(run.id).state_type == StateType.CANCELLED
    (seen,) = resume_dead_runs.fn(home, [])
    assert seen["seen"] == "none died"


def test_a_sign_of_a_run_of_another_server_is_swept(home, prefect):
    (home.locks / f"flow-{uuid4()}.lock").touch()
    (seen,) = resume_dead_runs.fn(home, [])
    assert seen["seen"] == "none died"
    assert signs(home) == []


def test_a_run_that_never_started_gives_its_place_back(client, home, monkeypatch):
    """Its worker died between taking it and starting it; a queue of one would wait for good."""
    from datetime import timedelta

    from prefect.client.schemas.actions import WorkPoolCreate

    client.create_work_pool(WorkPoolCreate(name=f"p-{home.root.parent.name}", type="process"))
    pool = client.read_work_pools()[-1].name
    flow_id = client.create_flow(refused)
    deployment = client.create_deployment(flow_id, name="lost", work_pool_name=pool)
    run = client.create_flow_run_from_deployment(deployment)
    client.set_flow_run_state(run.id, Pending(), force=True)
    (seen,) = resume_dead_runs.fn(home, [pool])
    assert seen["seen"] == "none died"
    monkeypatch.setattr(dead_runs, "START_WITHIN", timedelta(0))
    resume_dead_runs.fn(home, [pool])
    assert client.read_flow_run(run.id).state_name == "AwaitingRetry"


def alarms(client: SyncPrefectClient) -> list:
    of_ours = EventFilter(event=EventNameFilter(prefix=["fpt.alarm."]))
    return client.read_events(of_ours, limit=50).events


def break_an_expectation(home: Home) -> None:
    outcome = {"table_name": "raw.ratings", "expectation": "stars are whole", "sample": []}
    outcome |= {"severity": "warning", "success": False, "observed": "4.5", "unexpected_count": 3}
    store_outcomes(home, [outcome | {"reason": "halves are read as wholes"}], load_id="l1")


def test_an_alarm_is_raised_once(client, copy):
    home = Home.at(copy)
    break_an_expectation(home)
    before = {event.id for event in alarms(client)}
    (seen,) = raise_alarms.fn(home)
    assert (seen["check"], seen["state"]) == ("audit", "bad")
    assert seen["seen"] == "warning in raw.ratings: stars are whole"
    new = wait_for(lambda: [one for one in alarms(client) if one.id not in before])
    assert [(one.event, one.payload["unexpected_count"]) for one in new] == [
        ("fpt.alarm.audit", "3")
    ]
    (seen,) = raise_alarms.fn(home)
    assert (seen["state"], seen["seen"]) == ("note", "1 of the last 7 days, raised before")


def wait_for(question):
    import time

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.2)
    raise AssertionError("it never came")


def test_the_monitoring_shows_what_it_saw(client, copy):
    findings = monitor(copy)
    checks = {one["check"]: one["state"] for one in findings}
    assert checks["runs"] == checks["disk"] == checks["late"] == checks["alarms"] == "good"
    assert checks["age of ml-1m"] == "good"
    shown = max(artifacts(client, "monitoring"), key=lambda one: one.created)
    assert shown.description.startswith(f"0 of {len(findings)} checks")


def test_a_bad_finding_fails_the_monitoring_with_its_cause(prefect, copy, monkeypatch):
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 1 << 60)
    state = monitor(copy, return_state=True)
    assert state.type == StateType.FAILED
    assert "1 of" in state.message
    assert "disk: " in state.message


def test_two_lookers_do_not_meet(prefect, copy):
    with locked(Home.at(copy), "monitor"):
        (seen,) = monitor(copy)
    assert (seen["state"], seen["seen"]) == ("note", "another look is under way")


def test_an_unchanged_run_says_so_and_still_shows_its_results(client, copy, archive):
    before = (copy / "published.duckdb").read_bytes()
    state = run(
        *("ml-1m", archive, "cold-start", ["sasrec", "sas_fpt"]), home=copy, return_state=True
    )
    identity = state.state_details.flow_run_id
    assert (copy / "published.duckdb").read_bytes() == before
    of_it = client.read_flow_run(identity)
    assert of_it.name == "ml-1m cold-start: sasrec, sas_fpt, quick"
    assert set(of_it.tags) == {"ml-1m", "cold-start", "quick"}
    shown = {one.key: one for one in client.read_artifacts() if one.flow_run_id == identity}
    assert {row["model"] for row in table(shown["metrics"])} == {"popularity", "SASRec", "SAS-FPT"}
    assert shown["learning-curves"].data.startswith("data:image/svg+xml;base64,")
    assert_its_questions_find_rows(copy, shown["rows"].data)
    # the UI lists below "Task runs" what has a task run: these are the whole run's
    assert {key for key, one in shown.items() if one.task_run_id is None} >= {
        *("metrics", "learning-curves", "rows")
    }


def table(artifact) -> list[dict]:
    import json

    return json.loads(artifact.data)


def assert_its_questions_find_rows(home: Path, text: str) -> None:
    import re

    questions = re.findall(r'fpt sql "(.*)"', text)
    assert len(questions) == 3
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        for question in questions:
            assert connection.execute(question).fetchall()


def test_a_run_id_is_a_uuid(prefect, home):
    """Signs of life are named after it."""
    identity, _ = looked_at(home.root)
    assert UUID(identity)
