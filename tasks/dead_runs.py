"""Flow runs whose process died: marked as crashed, and started again where a worker can.

A killed process cannot tell Prefect, which shows its run as running for good. But it no longer
holds its sign of life (`tasks/flow_runs.py`), and the file of it is still there.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import AwaitingRetry, Cancelled, Crashed

from tasks.findings import Finding, finding
from tasks.flow_runs import SIGN_OF_LIFE, release
from warehouse.database import is_held
from warehouse.home import Home

MAX_ATTEMPTS = 3
START_WITHIN = timedelta(minutes=10)  # a process that was started takes seconds
AT_WORK = {StateType.RUNNING, StateType.PENDING}


@task(task_run_name="look for dead runs")
def resume_dead_runs(home: Home, pools: list[str]) -> list[Finding]:
    """Mark runs of this home whose process died as crashed; let workers start them again.

    A run begins anew, but what it had finished is found by its ids. It is given up after
    `MAX_ATTEMPTS`; one that was cancelled stays cancelled.

    Args:
        home: where signs of life are.
        pools: work pools whose runs may have been lost before they started.
    """
    with get_client(sync_client=True) as client:
        found = [*_died(client, home), *_never_started(client, pools)]
    return found or [finding("runs", "good", "none died")]


def _died(client: SyncPrefectClient, home: Home) -> Iterator[Finding]:
    for path in sorted(home.locks.glob(f"{SIGN_OF_LIFE}*.lock")):
        if is_held(home, path.stem):
            continue
        run = _read(client, path)
        if run is not None and run.state is not None:
            yield from _settle(client, run)
        release(home, path.stem)


def _read(client: SyncPrefectClient, path: Path) -> FlowRun | None:
    """The run of a sign of life; None when this server knows none such."""
    try:
        return client.read_flow_run(UUID(path.stem.removeprefix(SIGN_OF_LIFE)))
    except ObjectNotFound:
        return None


def _settle(client: SyncPrefectClient, run: FlowRun) -> Iterator[Finding]:
    kind = run.state_type
    if kind == StateType.CANCELLING:
        client.set_flow_run_state(run.id, Cancelled(message="Its process is gone"), force=True)
        yield finding("runs", "note", f"{run.name}: cancelled")
    elif kind in AT_WORK:
        _end_tasks(client, run)
        gone: State[Any] = Crashed(message="Its process died without a word")
        client.set_flow_run_state(run.id, gone, force=True)
        yield _start_again(client, run)
    elif kind == StateType.CRASHED:
        _end_tasks(client, run)
        yield _start_again(client, run)


def _end_tasks(client: SyncPrefectClient, run: FlowRun) -> None:
    """Its tasks died with it; otherwise they would be shown as running for good."""
    of_this = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    for task_run in client.read_task_runs(flow_run_filter=of_this):
        if task_run.state_type in AT_WORK:
            gone: State[Any] = Crashed(message="Its flow run's process died")
            client.set_task_run_state(task_run.id, gone, force=True)


def _start_again(client: SyncPrefectClient, run: FlowRun) -> Finding:
    if run.deployment_id is None:
        return finding("runs", "note", f"{run.name}: crashed", "run its command again")
    if run.run_count >= MAX_ATTEMPTS:
        to_do = "read its log; Retry in the UI starts it again"
        return finding("runs", "bad", f"{run.name}: died {run.run_count} times", to_do)
    again = f"attempt {run.run_count + 1} of {MAX_ATTEMPTS}"
    message = f"Its process died: {again}, from its first unfinished step"
    client.set_flow_run_state(run.id, AwaitingRetry(message=message))
    return finding("runs", "note", f"{run.name}: died, {again}")


def _never_started(client: SyncPrefectClient, pools: list[str]) -> Iterator[Finding]:
    """Runs that a worker took and died with before their process began; they hold a place."""
    pending = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING]))
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=pending),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=pools)),
    )
    for run in runs:
        if run.state and datetime.now(UTC) - run.state.timestamp > START_WITHIN:
            client.set_flow_run_state(run.id, Crashed(message="It never started"), force=True)
            yield _start_again(client, run)
