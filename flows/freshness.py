"""Are sources and metrics as new as the schedules promise? Looks, and changes nothing."""

import inspect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from pydantic import TypeAdapter

from flows.parameters import Experiment
from flows.plan import plan
from flows.run import benchmark
from flows.run import run as pipeline
from tasks.findings import Finding, finding
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.watching import freshness

LATE_AFTER = timedelta(hours=1)
PIPELINES: dict[str, Flow[..., Any]] = {"flows.run:run": pipeline, "flows.run:benchmark": benchmark}


def check_freshness(home: Home) -> list[Finding]:
    """Ages of the data, what each scheduled experiment still has to do, and runs that wait."""
    with get_client(sync_client=True) as client:
        scheduled = [
            one
            for one in client.read_deployments()
            if not one.paused and any(schedule.active for schedule in one.schedules)
        ]
        late = _late(client)
    experiments = [one for one in scheduled if one.entrypoint in PIPELINES]
    return [*_ages(home), *(_up_to_date(home, one) for one in experiments), *late]


def _ages(home: Home) -> Iterator[Finding]:
    for row in freshness(home):
        trained = f"{row['trained_at']:%Y-%m-%d %H:%M}" if row["trained_at"] else "never"
        seen = f"landed {row['landed_at']:%Y-%m-%d %H:%M}, trained {trained} (UTC)"
        yield finding(f"age of {row['dataset']}", "good", seen)


def _up_to_date(home: Home, deployment: DeploymentResponse) -> Finding:
    """Whether the published metrics are those of the source, settings and code as they are now."""
    check = f"metrics of {deployment.name}"
    try:
        flow = PIPELINES[deployment.entrypoint or ""]
        steps = plan(experiment(home, flow, deployment.parameters))
    except RefusedError as error:
        return finding(check, "bad", str(error))
    left = [f"{step['step']} {step['what']}" for step in steps if step["state"] != "done"]
    if not left:
        return finding(check, "good", "of the source, settings and code as they are now")
    seen = f"{len(left)} of {len(steps)} steps to do: {left[0]}{' …' if len(left) > 1 else ''}"
    return finding(check, "note", seen, "its next run does it")


def experiment(home: Home, flow: Flow[..., Any], parameters: dict[str, Any]) -> Experiment:
    """What a deployment of `run` or `benchmark` asks for, with its flow's own defaults.

    >>> from pathlib import Path
    >>> one = experiment(Home(Path("/h")), pipeline, {"retention": "cold-start", "source": "a.zip"})
    >>> one.retentions, one.models, one.source == Path("a.zip"), one.home == Path("/h")
    (['cold-start'], ('ridge', 'tisasrec', 'sas_fpt'), True, True)
    >>> experiment(Home(Path("/h")), benchmark, {}).models is None
    True
    """
    bound = inspect.signature(flow.fn).bind_partial(**parameters)
    bound.apply_defaults()
    known = set(inspect.signature(Experiment).parameters)
    asked = {name: value for name, value in bound.arguments.items() if name in known}
    if "retention" in bound.arguments:
        asked["retentions"] = [bound.arguments["retention"]]
    asked["home"] = asked["home"] or home.root
    return TypeAdapter(Experiment).validate_python(asked)  # a path is a text in a deployment


def _late(client: SyncPrefectClient) -> Iterator[Finding]:
    """Scheduled runs that should have started long ago."""
    before = datetime.now(UTC) - LATE_AFTER
    waiting = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime.model_validate({"before_": before}),
        )
    )
    for run in waiting:
        seen = f"{run.name} waits since {run.expected_start_time:%Y-%m-%d %H:%M} (UTC)"
        yield finding("late", "bad", seen, "is a worker running, and its pool not paused?")
    if not waiting:
        yield finding("late", "good", "no run waits longer than an hour")
