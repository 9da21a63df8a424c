"""Core tables and sequences: transform, audit, publish."""

from datetime import date
from pathlib import Path

from prefect import flow

from flows import names
from flows.chosen import chosen_id
from flows.parameters import Retention
from tasks import auditing, preparing, publishing
from tasks.flow_runs import tag, with_run_lifecycle
from tasks.progress import note
from warehouse.database import locked
from warehouse.home import Home
from warehouse.preparing import snapshot_id
from warehouse.records import Snapshot
from warehouse.staging import staging_folder
from warehouse.transforms.options import Options


@flow(flow_run_name=names.preparation)
@with_run_lifecycle
def prepare(
    load_id: str | None = None,
    retention: Retention = "5-core",
    home: Path | None = None,
    as_of: date | None = None,
) -> str:
    """Turn a published load, or the newest, into a snapshot of `core`, audited. Returns its id."""
    place = Home.at(home)
    tag(retention)
    load = chosen_id(place, "load", load_id)
    snapshot = transform_and_audit(place, load, retention, Options(as_of))
    publishing.replace_readers_copy(place)
    return snapshot.snapshot_id


def transform_and_audit(place: Home, load_id: str, retention: str, options: Options) -> Snapshot:
    """The steps of `prepare`; a snapshot that is published and whole is not made again."""
    identity = snapshot_id(load_id, retention, options)
    with locked(place, f"snapshot-{identity}"):
        known = preparing.find_snapshot(place, identity)
        if known is not None:
            note(f"{known.label}: unchanged, prepared before as {identity}")
            return known
        with staging_folder(place, "snapshot") as folder:
            snapshot = preparing.prepare(place, load_id, retention, folder, options)
            auditing.audit_snapshot(place, snapshot, folder)
            publishing.publish_snapshot(place, snapshot, folder)
    return snapshot
