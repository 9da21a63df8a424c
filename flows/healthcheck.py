"""`fpt up --check`: does each part of a running `fpt up` answer?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flows.serving import (
    ALARM,
    AUTH,
    GPU,
    LOCK,
    WEBHOOK,
    Served,
    Table,
    read_served,
    read_table,
    use,
)
from tasks.findings import Finding, finding
from warehouse.errors import RefusedError
from warehouse.home import Home


def check(home: Home) -> list[Finding]:
    """Server, pools, workers, deployments, schedules and the alarm, each with what was seen."""
    try:
        served = read_served(home)
    except RefusedError as error:
        return [finding(LOCK, "bad", error.what, "fpt up")]
    use(home, served)
    return check_parts(served, read_table(Path(served.folder)))


def check_parts(served: Served, table: Table) -> list[Finding]:
    """The same of a server whose address is in the environment."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    with get_client(sync_client=True) as client:
        fault = client.api_healthcheck()
        if fault is not None:
            seen = f"{served.url}: {type(fault).__name__} {fault}"
            return [finding("server", "bad", seen, "see logs/server.log in the home")]
        try:
            return [
                finding("server", "good", f"{served.url} answers"),
                *_pools(client, served, table),
                *_deployments(client, table),
                _alarm(client),
            ]
        except PrefectHTTPStatusError as error:
            to_do = f"set {AUTH} as it is set for `fpt up`, or start `fpt up` again"
            return [finding("server", "bad", f"{served.url}: {error.response.status_code}", to_do)]


def _pools(client: Any, served: Served, table: Table) -> Iterator[Finding]:
    known = {pool.name: pool for pool in client.read_work_pools()}
    for name, queues in table.pools.items():
        if name not in known:
            yield finding(f"pool {name}", "bad", "missing", "fpt up")
            continue
        limits = {
            queue.name: queue.concurrency_limit
            for queue in client.read_work_queues(work_pool_name=name)
        }
        right = all(limits.get(queue, "missing") == limit for queue, limit in queues.items())
        told = ", ".join(f"{queue} {limit or 'any number'}" for queue, limit in limits.items())
        state = "bad" if known[name].is_paused else "good" if right else "note"
        paused = "paused; " if known[name].is_paused else ""
        yield finding(f"pool {name}", state, f"{paused}runs at once: {told}")
        yield _worker(client, name, expected=name in served.pools)


def _worker(client: Any, pool: str, *, expected: bool) -> Finding:
    online = [
        worker.name
        for worker in client.read_workers_for_work_pool(pool)
        if worker.status.value == "ONLINE"
    ]
    if online:
        return finding(f"worker {pool}", "good", f"{', '.join(online)} online")
    if expected:
        return finding(f"worker {pool}", "bad", "none online", f"see logs/worker-{pool}.log")
    if pool == GPU:
        return finding(f"worker {pool}", "note", "none: no GPU here")
    return finding(f"worker {pool}", "note", "none yet", f"prefect worker start --pool {pool}")


def _deployments(client: Any, table: Table) -> Iterator[Finding]:
    known = {one.name: one for one in client.read_deployments()}
    waiting = _next_runs(client)
    for names in table.deployments.values():
        for name in names:
            check = f"deployment {name}"
            if name not in known:
                yield finding(check, "bad", "missing", "fpt up deploys prefect.yaml")
            elif known[name].paused:
                yield finding(check, "note", "paused", "Resume it in the UI")
            else:
                yield _schedule(check, known[name], waiting)
    for name in set(known) - {name for names in table.deployments.values() for name in names}:
        yield finding(f"deployment {name}", "note", "not in prefect.yaml; its schedules still fire")


def _schedule(check: str, deployment: Any, waiting: Mapping[Any, Any]) -> Finding:
    if not any(schedule.active for schedule in deployment.schedules):
        return finding(check, "good", "when asked")
    following = waiting.get(deployment.id)
    if following is None:
        return finding(check, "bad", "no run is scheduled", "see logs/server.log")
    return finding(check, "good", f"next at {following:%Y-%m-%d %H:%M} UTC")


def _next_runs(client: Any) -> dict[Any, Any]:
    """When each deployment runs next, by its id."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState
    from prefect.client.schemas.filters import FlowRunFilterStateType as Type
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    scheduled = FlowRunFilterState(type=Type(any_=[StateType.SCHEDULED]))
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=scheduled),
        sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
    )
    return {run.deployment_id: run.next_scheduled_start_time for run in reversed(runs)}


def _alarm(client: Any) -> Finding:
    known = client.read_automations_by_name(ALARM)
    if not known or not known[0].enabled:
        return finding("alarm", "bad", f"automation {ALARM} is missing or off", "fpt up")
    calls = [action.type for action in known[0].actions]
    if calls == ["call-webhook"]:
        return finding("alarm", "good", f"automation {ALARM} calls the webhook block {ALARM}")
    to_do = f"{WEBHOOK}=https://… fpt up calls somebody"
    return finding("alarm", "note", "in the event feed only: no webhook is set", to_do)
