"""Fetch an archive and land it in a staging folder."""

from pathlib import Path

from prefect import task

from tasks.progress import advancing, report
from warehouse import landing, publishing
from warehouse.datasets import find
from warehouse.errors import RefusedError
from warehouse.fetch import fetch
from warehouse.forgetting import forgotten_users
from warehouse.home import Home
from warehouse.landing import Load


@task(task_run_name="find {dataset}", timeout_seconds=6 * 3600)
def find_source(home: Home, dataset: str, source: Path | None) -> Path:
    """The archive to land: the one given, or the data set's own (fetched, or generated)."""
    if source is not None:
        return source
    report(f"fetch {dataset}", 0)  # seen before the publisher answers
    return fetch(find(dataset), home, advancing(f"fetch {dataset}"))


@task(task_run_name="identify {dataset}")
def identify_load(home: Home, dataset: str, source: Path) -> str:
    """The id that the load of this archive has or would have."""
    return landing.load_id_of(find(dataset), source, forgotten_users(home, dataset))


@task(task_run_name="land {dataset}", timeout_seconds=3600)
def land(home: Home, dataset: str, source: Path, load_id: str, folder: Path) -> Load:
    """Parse the archive into a staging folder."""
    progress = advancing(f"land {dataset}")
    forgotten = forgotten_users(home, dataset)
    load = landing.land(find(dataset), source, folder, progress, forgotten)
    if load.load_id != load_id:
        raise RefusedError(
            f"{source.name} changed while it was read", to_do="Run the command again"
        )
    return load


@task(task_run_name="look for {load_id}")
def is_published(home: Home, load_id: str) -> bool:
    """Whether the load is in `raw` already."""
    return publishing.has_load(home, load_id)
