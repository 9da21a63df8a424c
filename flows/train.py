"""Models on one snapshot: train, rank, audit, publish."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from prefect import flow

from flows import names
from flows.parameters import HEADLINE, Device, Model, Preset, Seeds, Suspicion
from tasks import artifacts, auditing, publishing, training
from tasks.flow_runs import operated, tag
from tasks.progress import note
from tasks.training import Training
from warehouse.database import locked
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.lookup import full_id
from warehouse.preparing import known_snapshot
from warehouse.publishing import TrainedRun


@flow(flow_run_name=names.training)
@operated
def train(
    snapshot_id: str,
    models: Sequence[Model] = HEADLINE,
    preset: Preset = "quick",
    seeds: Seeds = 1,
    device: Device = "auto",
    home: Path | None = None,
    accept: Sequence[Suspicion] = (),
) -> list[str]:
    """Train and rank with models on a published snapshot. Returns the trainings' ids.

    What audits may suspect is named in `accept`, as in `Experiment`.
    """
    place = Home.at(home)
    tag(preset)
    snapshot = known_snapshot(place, full_id(place, "snapshot", snapshot_id))
    asked = training.trainings(snapshot, models, preset, seeds)
    run_ids = train_and_audit(place, asked, device, accept)
    publishing.replace_readers_copy(place)
    artifacts.show_results(place, [snapshot.snapshot_id], preset, run_ids)
    return run_ids


def train_and_audit(
    place: Home, asked: Sequence[Training], device: str, accept: Sequence[str] = ()
) -> list[str]:
    """The steps of `train`: what is missing is trained, then all of it is published together."""
    run_ids = [one.run_id for one in asked]
    missing = training.missing(place, asked)
    if len(missing) < len(asked):
        note(f"{len(asked) - len(missing)} trainings: unchanged, published before")
    done = _train_and_rank(place, missing, device)
    if done:
        auditing.audit_runs(place, done, accept)
        publishing.publish_runs(place, done)
    if accept:
        auditing.accept_warnings(place, run_ids, accept)
    return run_ids


def _train_and_rank(place: Home, missing: Sequence[Training], device: str) -> list[TrainedRun]:
    with ExitStack() as locks:
        for name in dict.fromkeys(one.lock for one in missing):
            locks.enter_context(locked(place, name, wait_seconds=5))
        unranked = [one for one in missing if not training.is_ranked(place, one)]
        if len(unranked) < len(missing):
            note(f"{len(missing) - len(unranked)} trainings: trained before")
        failures = training.train(place, unranked, device) if unranked else {}
    states = [
        training.take_in(place, one, failures.get(one.run_id), return_state=True) for one in missing
    ]
    if failures:
        names = {one.run_id: one.name for one in missing}
        causes = [f"{names[run_id]}: {cause}" for run_id, cause in failures.items()]
        kept = "The others are kept: the" if len(causes) < len(missing) else "Then the"
        raise RefusedError(
            f"{len(causes)} of {len(missing)} trainings failed, so none was published",
            got="; ".join(causes),
            to_do=f"Mend the cause. {kept} same command trains what is left",
        )
    return [state.result() for state in states]
