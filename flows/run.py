"""The whole pipeline: raw ratings to metrics in SQL."""

from collections.abc import Sequence
from pathlib import Path

from prefect import flow

from flows import names
from flows.files import refuse_unmakeable
from flows.ingest import land_and_audit
from flows.parameters import Experiment, asked
from flows.prepare import transform_and_audit
from flows.train import refuse_unready, train_and_audit
from flows.unchanged import NOTHING_TO_DO, Outcome
from flows.unfit import refuse_unfit
from tasks import artifacts, publishing, training
from tasks.flow_runs import tag, with_run_lifecycle
from tasks.progress import note
from tasks.trainings import Training
from warehouse.following import publication
from warehouse.home import Home
from warehouse.records import Snapshot
from warehouse.transforms.options import Options


@flow(flow_run_name=names.pipeline)
@with_run_lifecycle
@asked(single=True)
def run(asked: Experiment) -> Outcome:
    """Ingest, audit, prepare, audit, train, evaluate, publish; parameters as in `Experiment`.

    Steps that are done already are not done again; the hash of their content tells.
    """
    return _pipeline(asked)


@flow(flow_run_name=names.pipeline)
@with_run_lifecycle
@asked(retentions=("5-core", "cold-start"), models=None, seeds=5)
def benchmark(asked: Experiment) -> Outcome:
    """Both tables of the paper, or variants × retentions × seeds; all or nothing."""
    return _pipeline(asked)


@flow(flow_run_name=names.export)
@with_run_lifecycle
@asked(
    retentions=("5-core", "cold-start"),
    models=None,
    seeds=5,
    without=("device", "gpus", "together", "pool", "store", "accept"),
)
def export(folder: Path, asked: Experiment, compile_for: Sequence[str] = ()) -> int:
    """Everything of `benchmark` up to training, for another machine. Returns how many trainings.

    `compile_for` names kinds of GPU, such as `sm_90`, for which kernels are compiled here.
    """
    refuse_unmakeable(folder)
    place = Home.at(asked.home)
    _, wanted = prepared(place, asked)
    missing = training.missing(place, wanted)
    training.export(place, folder, missing)
    if compile_for:
        training.compile_for(place, folder, compile_for)
    publishing.replace_readers_copy(place)
    return len(missing)


def _pipeline(asked: Experiment) -> Outcome:
    refuse_unready(asked)
    place = Home.at(asked.home)
    tag(asked.dataset, *asked.retentions, *asked.preset_names())
    before = publication(place)
    snapshots, wanted = prepared(place, asked)
    run_ids = train_and_audit(place, wanted, asked)
    publishing.replace_readers_copy(place)
    snapshot_ids = [snapshot.snapshot_id for snapshot in snapshots]
    changed = publication(place) != before
    if not changed:
        note(NOTHING_TO_DO)
    artifacts.show_results(place, snapshot_ids, asked.preset_names(), run_ids)
    return Outcome(tuple(snapshot_ids), tuple(run_ids), changed)


def prepared(place: Home, asked: Experiment) -> tuple[list[Snapshot], list[Training]]:
    """The steps before training: the snapshots, published, and the trainings wanted on them."""
    load_id = land_and_audit(place, asked.dataset, asked.source, asked.max_rejects)
    options = Options(asked.as_of)
    snapshots = [transform_and_audit(place, load_id, kind, options) for kind in asked.retentions]
    wanted = [
        Training(snapshot, config, seed)
        for kind, snapshot in zip(asked.retentions, snapshots, strict=True)
        for config, seed in asked.trainings_on(kind)
    ]
    refuse_unfit(place, wanted)
    return snapshots, wanted
