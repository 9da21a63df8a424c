"""What `fpt up` says of runs, asked of a real server."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running, Scheduled

from flows.following import Following, News


@flow(name="followed")
def followed(inner: bool = False) -> None:
    if inner:
        followed()


class Follower:
    """A server followed, and what was told since the last look."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self.client = client
        self.deployment = client.create_deployment(
            client.create_flow(followed), name=f"nightly-{uuid4()}"
        )
        self.told: list[News] = []
        self.following = Following(PREFECT_API_URL.value(), None, self.told.append)

    def run(self, name: str) -> FlowRun:
        run = self.client.create_flow_run_from_deployment(self.deployment, name=name)
        self.set(run, Pending())
        return run

    def set(self, run: FlowRun, state) -> None:
        self.client.set_flow_run_state(run.id, state, force=True)

    def look(self) -> list[tuple[str, str]]:
        """What two looks tell of runs of this test: name and state, in their order."""
        self.following.look()
        self.following.look()
        told, self.told[:] = list(self.told), []
        self.last = told
        return [(news.run, news.state) for news in told]


@pytest.fixture
def follower(prefect):
    with get_client(sync_client=True) as client:
        yield Follower(client)


def test_a_run_is_told_when_it_starts_and_when_it_ends(follower):
    run = follower.run("synthetic 5-core")
    assert follower.look() == []
    follower.set(run, Running())
    assert follower.look() == [("synthetic 5-core", "started")]
    assert follower.look() == []
    follower.set(run, Completed())
    assert follower.look() == [("synthetic 5-core", "completed")]
    (news,) = follower.last
    assert news.deployment.startswith("nightly-")
    assert 0 <= news.seconds < 60
    assert news.cause is None
    assert abs(news.at - datetime.now(UTC)) < timedelta(seconds=60)
    assert follower.look() == []


def test_a_run_has_its_own_name_when_it_is_told(follower):
    """Prefect gives a flow's run its name a moment after it started."""
    run = follower.run("crimson-otter")
    follower.set(run, Running())
    follower.following.look()
    follower.client.update_flow_run(run.id, name="ml-1m cold-start")
    follower.following.look()
    assert [news.run for news in follower.told] == ["ml-1m cold-start"]


def test_runs_shorter_than_a_look_are_told_whole(follower):
    run = follower.run("short")
    follower.set(run, Running())
    follower.set(run, Failed(message="No such archive"))
    assert follower.look() == [("short", "started"), ("short", "failed")]
    assert follower.last[-1].cause == "No such archive"


def test_a_run_that_never_started_has_only_an_end(follower):
    run = follower.run("dropped")
    follower.set(run, Cancelled(message="the last one still goes on"))
    assert follower.look() == [("dropped", "cancelled")]
    assert follower.last[0].seconds is None


def test_a_run_that_is_resumed_starts_and_ends_again(follower):
    run = follower.run("resumed")
    follower.set(run, Running())
    follower.look()
    follower.set(run, Crashed(message="its process died"))
    assert follower.look() == [("resumed", "crashed")]
    follower.set(run, Scheduled())
    assert follower.look() == []
    follower.set(run, Running())
    assert follower.look() == [("resumed", "started")]
    follower.set(run, Completed())
    assert follower.look() == [("resumed", "completed")]


def test_a_flow_within_another_is_not_told_and_one_by_hand_has_no_deployment(follower):
    followed(inner=True)
    assert [state for _, state in follower.look()] == ["started", "completed"]
    assert {news.deployment for news in follower.last} == {None}


def test_what_ended_before_is_no_news(follower):
    run = follower.run("old")
    follower.set(run, Running())
    follower.set(run, Completed())
    later = Follower(follower.client)
    assert later.look() == []


def test_a_server_that_is_away_is_asked_again(follower):
    away = Following("http://127.0.0.1:9", None, follower.told.append)
    away.look()
    assert follower.told == []
