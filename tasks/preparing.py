"""Turn a landed load into a staged snapshot."""

from pathlib import Path

from prefect import task

from warehouse import preparing
from warehouse.home import Home
from warehouse.records import Snapshot
from warehouse.transforms.options import Options


@task(task_run_name="look for {snapshot_id}")
def find_snapshot(home: Home, snapshot_id: str) -> Snapshot | None:
    """The snapshot, if it is published and its sequences are whole."""
    return preparing.find_snapshot(home, snapshot_id)


@task(task_run_name="prepare {retention}", timeout_seconds=3600)
def prepare(home: Home, load_id: str, retention: str, folder: Path, options: Options) -> Snapshot:
    """Core tables into a staging folder, and the sequences file."""
    return preparing.prepare(home, load_id, retention, folder, options)
