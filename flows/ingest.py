"""Raw ratings, or own data: fetch, land, audit, publish."""

from pathlib import Path

from prefect import flow

from flows.parameters import DatasetName, Rejects
from tasks import auditing, landing, publishing
from tasks.flow_runs import tag, with_run_lifecycle
from tasks.progress import note
from warehouse.database import locked
from warehouse.home import Home
from warehouse.known import is_own
from warehouse.staging import staging_folder


@flow(flow_run_name="ingest {dataset}")
@with_run_lifecycle
def ingest(
    dataset: DatasetName = "synthetic",
    source: Path | None = None,
    max_rejects: Rejects = 0,
    home: Path | None = None,
) -> str:
    """Take one source into `raw`, audited; parameters as in `Experiment`. Returns its load id."""
    place = Home.at(home)
    tag(dataset)
    load_id = land_and_audit(place, dataset, source, max_rejects)
    publishing.replace_readers_copy(place)
    return load_id


def land_and_audit(place: Home, dataset: str, source: Path | None, max_rejects: int) -> str:
    """The steps of `ingest`; a load that is published already is not landed again.

    Of own data without a source the newest load is taken: it needs its file no more.
    """
    if source is None and is_own(dataset):
        load_id = landing.newest_load(place, dataset)
        note(f"{dataset}: no source is given, so the newest load, {load_id}")
        return load_id
    archive = landing.find_source(place, dataset, source)
    load_id = landing.identify_load(place, dataset, archive)
    with locked(place, f"load-{load_id}"):
        if landing.is_published(place, load_id):
            note(f"{dataset}: unchanged, landed before as {load_id}")
            return load_id
        with staging_folder(place, "load") as folder:
            load = landing.land(place, dataset, archive, load_id, folder)
            auditing.audit_load(place, load, folder, max_rejects)
            publishing.publish_load(place, folder)
    return load_id
