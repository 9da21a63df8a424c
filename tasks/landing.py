"""Fetch an archive, if it is none of one's own data, and land it in a staging folder."""

from pathlib import Path

from prefect import task

from tasks.progress import advancing, report
from warehouse import datasets, known, landing, publishing
from warehouse.errors import RefusedError
from warehouse.fetch import fetch
from warehouse.forgetting import forgotten_users
from warehouse.home import Home
from warehouse.landing import Load


@task(task_run_name="find {dataset}", timeout_seconds=6 * 3600)
def find_source(home: Home, dataset: str, source: Path | None) -> Path:
    """What to land: what is given, or the data set's own archive (fetched, or generated)."""
    if source is not None:
        return source
    report(f"fetch {dataset}", 0)  # seen before the publisher answers
    return fetch(datasets.find(dataset), home, advancing(f"fetch {dataset}"))


@task(task_run_name="find what was landed of {dataset}")
def newest_load(home: Home, dataset: str) -> str:
    """The newest load of own data, which stands for its source when none is given."""
    return known.newest_load(home, dataset)


@task(task_run_name="identify {dataset}")
def identify_load(home: Home, dataset: str, source: Path) -> str:
    """The id that the load of this source has or would have."""
    found = known.find(home, dataset, source)
    return landing.load_id_of(found, source, forgotten_users(home, dataset))


@task(task_run_name="land {dataset}", timeout_seconds=3600)
def land(home: Home, dataset: str, source: Path, load_id: str, folder: Path) -> Load:
    """Parse the source into a staging folder."""
    progress = advancing(f"land {dataset}")
    forgotten = forgotten_users(home, dataset)
    found = known.find(home, dataset, source)
    load = landing.land(found, source, folder, progress, forgotten)
    if load.load_id != load_id:
        raise RefusedError(
            f"{source.name} changed while it was read", to_do="Run the command again"
        )
    return load


@task(task_run_name="look for {load_id}")
def is_published(home: Home, load_id: str) -> bool:
    """Whether the load is in `raw` already."""
    return publishing.has_load(home, load_id)
