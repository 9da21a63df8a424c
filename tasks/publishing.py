"""Take what passed its audit into the warehouse, and give readers a copy."""

from collections.abc import Sequence
from pathlib import Path

from prefect import task

from warehouse import catalogue, publishing
from warehouse.home import Home
from warehouse.publishing import TrainedRun
from warehouse.records import Published, Snapshot


@task(task_run_name="publish load")
def publish_load(home: Home, folder: Path) -> None:
    """The staged load enters `raw`."""
    publishing.publish_load(home, folder)


@task(task_run_name="publish snapshot")
def publish_snapshot(home: Home, snapshot: Snapshot, folder: Path) -> None:
    """The staged snapshot enters `core`."""
    publishing.publish_snapshot(home, snapshot, folder)


@task(task_run_name="publish trainings")
def publish_runs(home: Home, runs: Sequence[TrainedRun]) -> None:
    """The trainings enter `mart`, all of them or none."""
    publishing.publish_runs(home, runs)


@task(task_run_name="look at the readers' copy")
def replace_readers_copy(home: Home) -> Published:
    """Every publication gives readers their copy; what somebody did to it since is mended here."""
    return catalogue.replace_readers_copy(home)
