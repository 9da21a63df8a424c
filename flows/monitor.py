"""Looks after the pipeline: dead runs, disk, locks, freshness, alarms."""

from collections.abc import Iterator
from pathlib import Path

from prefect import flow

from flows import serving
from flows.doctor import databases, disk
from flows.freshness import check_freshness
from tasks.alarms import raise_alarms
from tasks.artifacts import show_findings
from tasks.dead_runs import resume_dead_runs
from tasks.findings import Finding, bad, finding
from tasks.flow_runs import with_run_lifecycle
from tasks.progress import note
from warehouse.database import is_held, locked
from warehouse.errors import RefusedError
from warehouse.garbage import SIGNS_OF_LIFE
from warehouse.home import Home
from warehouse.locks import STAGING

LOCK = "monitor"


@flow(flow_run_name="look after the pipeline")
@with_run_lifecycle
def monitor(home: Path | None = None) -> list[Finding]:
    """Resume what died, check the rest, raise alarms; returns what was seen.

    Raises:
        RefusedError: something needs somebody; the cause is the run's message in the UI.
    """
    place = Home.at(home)
    if is_held(place, LOCK):
        return [finding("monitoring", "note", "another look is under way")]
    with locked(place, LOCK, wait_seconds=0):
        findings = [
            *resume_dead_runs(place, serving.POOLS),
            *disk(place),
            *databases(place),
            *_locks(place),
            *check_freshness(place),
            *raise_alarms(place),
        ]
    show_findings(findings)
    for one in findings:
        note(f"{one['state']}: {one['check']}: {one['seen']}")
    wrong = bad(findings)
    if wrong:
        seen = "; ".join(f"{one['check']}: {one['seen']}" for one in wrong)
        raise RefusedError(f"{len(wrong)} of {len(findings)} checks need somebody", got=seen)
    return findings


def _locks(home: Home) -> Iterator[Finding]:
    """Who works on what now; the kernel frees a dead process's locks, so none is ever stale."""
    names = sorted(path.stem for path in home.locks.glob("*.lock"))
    ours = (LOCK, serving.LOCK, *SIGNS_OF_LIFE, STAGING)
    held = [name for name in names if not name.startswith(ours) and is_held(home, name)]
    yield finding("locks", "note" if held else "good", f"held: {', '.join(held) or 'none'}")
