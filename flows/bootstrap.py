"""What a Prefect server needs before schedules run: pools, limits, deployments, an alarm."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.actions import ActionTypes, CallWebhook, DoNothing
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from pydantic import SecretStr

from flows.healthcheck import check_parts
from flows.serving import ALARM, FILE, GPU, WEBHOOK, Served, Table, read_table
from tasks.alarms import EVENTS
from tasks.findings import bad
from warehouse.errors import RefusedError

PAYLOAD = '{"text": "{{ event.resource.name }}", "event": "{{ event.event }}"}'
START_SECONDS = 120.0


def set_up(served: Served) -> None:
    """All that prefect.yaml asks for; returns when every part of it answers.

    Raises:
        RefusedError: prefect.yaml is refused, or a part does not answer.
    """
    table = read_table(Path(served.folder))
    make_pools(table)
    deploy(table)
    pause_what_nobody_runs(table, served.pools)
    make_alarm()
    wait_until_whole(table, served)
    start_monitoring()


def wait_until_whole(table: Table, served: Served) -> None:
    """Workers report, and the scheduler plans, some seconds after they started.

    Raises:
        RefusedError: a part does not answer in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while wrong := bad(check_parts(served, table)):
        if time.monotonic() > deadline:
            seen = "; ".join(f"{one['check']}: {one['seen']}" for one in wrong)
            raise RefusedError("Not all of it started", got=seen)
        time.sleep(0.5)


def make_pools(table: Table) -> None:
    """The work pools, their queues and how many runs each works on at once."""
    with get_client(sync_client=True) as client:
        for pool, queues in table.pools.items():
            known = {one.name for one in client.read_work_pools()}
            if pool not in known:
                with suppress(ObjectAlreadyExists):  # its worker makes it, too, as it starts
                    client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
            ids = {one.name: one.id for one in client.read_work_queues(work_pool_name=pool)}
            for queue, limit in queues.items():
                if queue not in ids:
                    client.create_work_queue(queue, concurrency_limit=limit, work_pool_name=pool)
                else:
                    client.update_work_queue(ids[queue], concurrency_limit=limit)


def deploy(table: Table) -> None:
    """All deployments of prefect.yaml, by Prefect's own command.

    Raises:
        RefusedError: it refuses the file; in its own words.
    """
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    environment = os.environ | {"FPT_CHECKOUT": str(table.folder), "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=table.folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = " ".join((done.stdout + done.stderr).split())[-600:]
        raise RefusedError(f"{FILE} could not be deployed", got=said)


def pause_what_nobody_runs(table: Table, served: Collection[str]) -> None:
    """Deployments that need a GPU wait, unscheduled, where there is none."""
    with get_client(sync_client=True) as client:
        for deployment in deployed(client, table.deployments.get(GPU, [])):
            if GPU in served:
                client.resume_deployment(deployment.id)
            else:
                client.pause_deployment(deployment.id)


def deployed(client: SyncPrefectClient, names: list[str]) -> list[DeploymentResponse]:
    """Those of the named deployments that the server has."""
    these = DeploymentFilter(name=DeploymentFilterName(any_=names))
    return client.read_deployments(deployment_filter=these)


def make_alarm() -> None:
    """The automation that answers alarms: it calls the webhook block, when there is one."""
    if url := os.environ.get(WEBHOOK):
        Webhook(url=SecretStr(url)).save(ALARM, overwrite=True)
    with get_client(sync_client=True) as client:
        block = _webhook(client)
        action: ActionTypes = (
            CallWebhook(block_document_id=block, payload=PAYLOAD) if block else DoNothing()
        )
        automation = AutomationCore(
            name=ALARM,
            description="An audit warns, or a metric left its history (the monitoring's events)",
            trigger=EventTrigger(expect={f"{EVENTS}*"}, posture=Posture.Reactive, threshold=1),
            actions=[action],
        )
        known = client.read_automations_by_name(ALARM)
        if known:
            client.update_automation(known[0].id, automation)
        else:
            client.create_automation(automation)


def _webhook(client: SyncPrefectClient) -> UUID | None:
    try:
        return client.read_block_document_by_name(ALARM, "webhook").id
    except ObjectNotFound:
        return None


def start_monitoring() -> None:
    """One look at once: what died before is resumed without waiting for the next quarter."""
    with get_client(sync_client=True) as client:
        for deployment in deployed(client, ["monitoring"]):
            client.create_flow_run_from_deployment(deployment.id)


if __name__ == "__main__":
    try:
        set_up(Served(**json.loads(sys.argv[1])))
    except RefusedError as error:
        sys.exit(str(error))
