"""Take what passed its audit into the warehouse, and give readers a copy."""

from collections.abc import Sequence

from prefect import task

from warehouse import publishing
from warehouse.home import Home
from warehouse.publishing import TrainedRun
from warehouse.records import Published, Snapshot


@task(task_run_name="publish load {load_id}")
def publish_load(home: Home, load_id: str) -> None:
    """The staged load enters `raw`."""
    publishing.publish_load(home, load_id)


@task(task_run_name="publish snapshot")
def publish_snapshot(home: Home, snapshot: Snapshot) -> None:
    """The staged snapshot enters `core`."""
    publishing.publish_snapshot(home, snapshot)


@task(task_run_name="publish trainings")
def publish_runs(home: Home, runs: Sequence[TrainedRun]) -> None:
    """The trainings enter `mart`, all of them or none."""
    publishing.publish_runs(home, runs)


@task(task_run_name="replace the readers' copy")
def replace_readers_copy(home: Home) -> Published:
    """Readers see the warehouse as it is now."""
    return publishing.replace_readers_copy(home)
