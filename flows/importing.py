"""Somebody else's model: its scores from a file, ranked, audited and published beside ours."""

from collections.abc import Sequence
from pathlib import Path

from prefect import flow

from flows.files import refuse_missing
from flows.parameters import NAMES, Kind, Split, Suspicion, TrainedOn
from tasks import auditing, importing, publishing
from tasks.flow_runs import with_run_lifecycle
from tasks.progress import note
from warehouse.database import locked
from warehouse.home import Home
from warehouse.identity import identify, sha256_of
from warehouse.importing.ranking import Asked, import_id
from warehouse.imports import counts_already
from warehouse.names import refuse_name
from warehouse.preparing import known_snapshot
from warehouse.records import Snapshot
from warehouse.resolve_id import newest_of, resolve_id
from warehouse.staging import staging_folder


@flow(flow_run_name="import scores of {name}")
@with_run_lifecycle
def import_scores(
    file: Path,
    name: str,
    dataset: str | None = None,
    retention: str | None = None,
    snapshot_id: str | None = None,
    split: Split = "test",
    kind: Kind | None = None,
    trained_on: TrainedOn | None = None,
    promise: str | None = None,
    accept: Sequence[Suspicion] = (),
    home: Path | None = None,
) -> str:
    """Rank every held-out item by the scores in a file. Returns the import's id.

    Args:
        file: Parquet with user, item, score, and split where it has both.
        name: what the model is called in tables.
        dataset, retention, snapshot_id: on which snapshot; the newest that fits.
        split: of the rows, where the file does not say.
        kind: of the file; found from it where it is not said.
        trained_on, promise: what the model's owner says of its training.
        accept: what audits may suspect, as it is right.
        home: of the pipeline.
    """
    place = Home.at(home)
    refuse_name(name, NAMES)
    refuse_missing(file)
    snapshot = _snapshot(place, dataset, retention, snapshot_id)
    asked = Asked(file, name, split, kind, trained_on, promise)
    with locked(place, f"import-{snapshot.snapshot_id}-{identify(name)}"):
        checksum = sha256_of(file)
        run_id = import_id(asked, snapshot, checksum)
        if counts_already(place, run_id):
            note(f"{name}: unchanged, imported before as {run_id}")
        else:
            _import(place, snapshot, asked, checksum, accept)
    if accept:
        auditing.accept_warnings(place, [run_id], accept)
    publishing.replace_readers_copy(place)
    return run_id


def _snapshot(
    place: Home, dataset: str | None, retention: str | None, beginning: str | None
) -> Snapshot:
    if beginning is not None:
        return known_snapshot(place, resolve_id(place, "snapshot", beginning))
    identity, what = newest_of(place, dataset, retention)
    note(f"on {what}, snapshot {identity}")
    return known_snapshot(place, identity)


def _import(
    place: Home, snapshot: Snapshot, asked: Asked, checksum: str, accept: Sequence[str]
) -> None:
    with staging_folder(place, "import") as folder:
        imported = importing.rank(place, snapshot, asked, checksum, folder)
        auditing.audit_import(place, imported, folder, accept)
        importing.publish_import(place, imported, folder)
