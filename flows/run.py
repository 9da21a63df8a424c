"""The whole pipeline: raw ratings to metrics in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from prefect import flow

from flows import names
from flows.files import refuse_unmakeable
from flows.ingest import land_and_audit
from flows.parameters import (
    HEADLINE,
    DatasetName,
    Device,
    Experiment,
    Model,
    Preset,
    Rejects,
    Retention,
    Seeds,
    Suspicion,
)
from flows.prepare import transform_and_audit
from flows.train import train_and_audit
from tasks import artifacts, publishing, training
from tasks.flow_runs import operated, tag
from tasks.progress import note
from tasks.training import Training
from warehouse.catalogue import publication
from warehouse.home import Home
from warehouse.records import Snapshot
from warehouse.transforms.options import Options


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: which snapshots and trainings, and whether anything is new."""

    snapshot_ids: tuple[str, ...]
    run_ids: tuple[str, ...]
    changed: bool


@flow(flow_run_name=names.pipeline)
@operated
def run(
    dataset: DatasetName = "synthetic",
    source: Path | None = None,
    retention: Retention = "5-core",
    models: Sequence[Model] = HEADLINE,
    preset: Preset = "quick",
    seeds: Seeds = 1,
    device: Device = "auto",
    max_rejects: Rejects = 0,
    home: Path | None = None,
    as_of: date | None = None,
    accept: Sequence[Suspicion] = (),
) -> Outcome:
    """Ingest, audit, prepare, audit, train, evaluate, publish; parameters as in `Experiment`.

    Steps that are done already are not done again; the hash of their content tells.
    """
    asked = (dataset, source, (retention,), models, preset, seeds, device, max_rejects, home)
    return _pipeline(Experiment(*asked, as_of, accept))


@flow(flow_run_name=names.pipeline)
@operated
def benchmark(
    dataset: DatasetName = "synthetic",
    source: Path | None = None,
    retentions: Sequence[Retention] = ("5-core", "cold-start"),
    models: Sequence[Model] | None = None,
    preset: Preset = "quick",
    seeds: Seeds = 5,
    device: Device = "auto",
    max_rejects: Rejects = 0,
    home: Path | None = None,
    as_of: date | None = None,
    accept: Sequence[Suspicion] = (),
) -> Outcome:
    """Both tables of the paper, or variants × retentions × seeds; all or nothing."""
    asked = (dataset, source, retentions, models, preset, seeds, device, max_rejects, home)
    return _pipeline(Experiment(*asked, as_of, accept))


@flow(flow_run_name=names.export)
@operated
def export(
    folder: Path,
    dataset: DatasetName = "synthetic",
    source: Path | None = None,
    retentions: Sequence[Retention] = ("5-core", "cold-start"),
    models: Sequence[Model] | None = None,
    preset: Preset = "quick",
    seeds: Seeds = 5,
    max_rejects: Rejects = 0,
    home: Path | None = None,
    as_of: date | None = None,
) -> int:
    """Everything of `benchmark` up to training, for another machine. Returns how many trainings."""
    refuse_unmakeable(folder)
    place = Home.at(home)
    asked = Experiment(
        dataset, source, retentions, models, preset, seeds, max_rejects=max_rejects, as_of=as_of
    )
    _, wanted = prepared(place, asked)
    missing = training.missing(place, wanted)
    training.export(folder, missing)
    publishing.replace_readers_copy(place)
    return len(missing)


def _pipeline(asked: Experiment) -> Outcome:
    place = Home.at(asked.home)
    tag(asked.dataset, *asked.retentions, asked.preset)
    before = publication(place)
    snapshots, wanted = prepared(place, asked)
    run_ids = train_and_audit(place, wanted, asked.device, asked.accept)
    publishing.replace_readers_copy(place)
    snapshot_ids = [snapshot.snapshot_id for snapshot in snapshots]
    changed = publication(place) != before
    if not changed:
        note("nothing to do: all of it is published already")
    artifacts.show_results(place, snapshot_ids, asked.preset, run_ids)
    return Outcome(tuple(snapshot_ids), tuple(run_ids), changed)


def prepared(place: Home, asked: Experiment) -> tuple[list[Snapshot], list[Training]]:
    """The steps before training: the snapshots, published, and the trainings wanted on them."""
    load_id = land_and_audit(place, asked.dataset, asked.source, asked.max_rejects)
    options = Options(asked.as_of)
    snapshots = [transform_and_audit(place, load_id, kind, options) for kind in asked.retentions]
    wanted = [
        one
        for kind, snapshot in zip(asked.retentions, snapshots, strict=True)
        for one in training.trainings(snapshot, asked.models_on(kind), asked.preset, asked.seeds)
    ]
    return snapshots, wanted
