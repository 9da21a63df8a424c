"""Alarms: an event for each failed audit and each metric outside its history, once.

`fpt up` makes the automation that answers them (`flows/bootstrap.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import task
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter

from tasks.findings import Finding, finding
from warehouse.home import Home
from warehouse.identity import identify
from warehouse.watching import failed_audits, outlier_metrics

EVENTS = "fpt.alarm."
PAGE = 50  # the most that a server gives at once
LOOK_BACK = timedelta(days=7)  # as long as a server surely keeps its events


@dataclass(frozen=True)
class Alarm:
    """Something that somebody should see.

    Attributes:
        kind: `audit` or `metric`.
        key: the same for the same thing, whoever finds it and when.
        message: what is wrong, in a sentence.
        facts: the row behind it.
    """

    kind: str
    key: str
    message: str
    facts: dict[str, Any]

    @property
    def resource(self) -> str:
        """Its name among Prefect's resources."""
        return f"{EVENTS}{self.kind}.{self.key}"


@task(task_run_name="raise alarms")
def raise_alarms(home: Home) -> list[Finding]:
    """Emit an event for each alarm that was not raised before; report the new ones."""
    since = datetime.now(UTC).replace(tzinfo=None) - LOOK_BACK
    alarms = [*_audits(home, since), *_metrics(home, since)]
    known = _raised([alarm.resource for alarm in alarms])
    new = [alarm for alarm in alarms if alarm.resource not in known]
    for alarm in new:
        emit_event(
            event=f"{EVENTS}{alarm.kind}",
            resource={
                "prefect.resource.id": alarm.resource,
                "prefect.resource.name": alarm.message,
            },
            payload={"message": alarm.message, "home": str(home.root), **alarm.facts},
        )
    rows = [finding(alarm.kind, "bad", alarm.message, "see the event") for alarm in new]
    old = f"{len(alarms) - len(new)} of the last {LOOK_BACK.days} days, raised before"
    return rows or [finding("alarms", "note" if alarms else "good", old if alarms else "none")]


def _audits(home: Home, since: datetime) -> Iterator[Alarm]:
    for row in failed_audits(home, since):
        said = f"{row['severity']} in {row['table_name']}: {row['expectation']}"
        key = identify(row["audit_id"], row["table_name"], row["expectation"])
        yield Alarm("audit", key, said, _plain(row))


def _metrics(home: Home, since: datetime) -> Iterator[Alarm]:
    for row in outlier_metrics(home, since):
        said = (
            f"{row['model']} on {row['dataset']} {row['retention']}, seed {row['seed']}: "
            f"NDCG@10 {row['ndcg_10']} ({row['protocol']}), usually {row['usual']}"
        )
        yield Alarm("metric", identify(row["run_id"], row["protocol"]), said, _plain(row))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) for name, value in row.items()}


def _raised(resources: list[str]) -> set[str]:
    """Which of these have an event already."""
    if not resources:
        return set()
    asked = EventFilter(
        event=EventNameFilter(prefix=[EVENTS]), resource=EventResourceFilter(id=resources)
    )
    found: set[str] = set()
    with get_client(sync_client=True) as client:
        page = client.read_events(asked, limit=PAGE)
        while True:
            found |= {event.resource.id for event in page.events}
            if not page.next_page:
                return found
            page = client.read_events_page(str(page.next_page))
