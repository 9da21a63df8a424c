"""Models on one snapshot: train, rank, audit, publish."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from prefect import flow

from flows import names
from flows.chosen import chosen_id
from flows.parameters import Experiment, asked
from flows.unfit import refuse_unfit
from tasks import artifacts, auditing, pools, publishing, training
from tasks.flow_runs import tag, with_run_lifecycle
from tasks.progress import note
from tasks.trainings import Training, is_ranked
from warehouse.database import is_held, locked
from warehouse.errors import StepError
from warehouse.home import Home
from warehouse.preparing import known_snapshot
from warehouse.publishing import TrainedRun
from warehouse.visible import counted


@flow(flow_run_name=names.training)
@with_run_lifecycle
@asked(without=("dataset", "source", "retentions", "max_rejects", "as_of"))
def train(snapshot_id: str | None = None, *, asked: Experiment) -> list[str]:
    """Train and rank on a published snapshot, or the newest one. Returns the trainings' ids."""
    place = Home.at(asked.home)
    tag(asked.preset)
    snapshot = known_snapshot(place, chosen_id(place, "snapshot", snapshot_id))
    kind: Any = snapshot.retention
    wanted = [Training(snapshot, config, seed) for config, seed in asked.trainings_on(kind)]
    refuse_unfit(place, wanted)
    refuse_unready(asked)
    run_ids = train_and_audit(place, wanted, asked)
    publishing.replace_readers_copy(place)
    artifacts.show_results(place, [snapshot.snapshot_id], asked.preset_names(), run_ids)
    return run_ids


def train_and_audit(place: Home, wanted: Sequence[Training], asked: Experiment) -> list[str]:
    """The steps of `train`: what is missing is trained, then all of it is published together."""
    run_ids = [one.run_id for one in wanted]
    missing = training.missing(place, wanted)
    with _alone(place, missing) as waited:
        if waited:  # what the other run trained it has published
            missing = training.missing(place, missing)
        if len(missing) < len(wanted):
            done = counted(len(wanted) - len(missing), "training")
            note(f"{done}: unchanged, published before")
        if missing:
            trained = _train_and_rank(place, missing, asked)
            auditing.audit_runs(place, trained, asked.accept)
            publishing.publish_runs(place, trained)
    if asked.accept:
        auditing.accept_warnings(place, run_ids, asked.accept)
    return run_ids


def refuse_unready(asked: Experiment) -> None:
    """Before any work: a pool that is asked for has workers, and a store that we may use.

    Raises:
        RefusedError: it has not.
    """
    if asked.pool:
        pools.refuse_unready(asked.pool, asked.store)


@contextmanager
def _alone(place: Home, missing: Sequence[Training]) -> Iterator[bool]:
    """Hold the locks of trainings until they are published; whether another run had one of them.

    Always taken in the same order: of two runs that wait, neither has what the other waits for.
    """
    names = sorted({one.lock for one in missing})
    held = [is_held(place, name) for name in names]
    with ExitStack() as locks:
        for name in names:
            locks.enter_context(locked(place, name, wait_seconds=5))
        yield any(held)


def _train_and_rank(
    place: Home, missing: Sequence[Training], asked: Experiment
) -> list[TrainedRun]:
    unranked = [one for one in missing if not is_ranked(place, one)]
    if len(unranked) < len(missing):
        note(f"{counted(len(missing) - len(unranked), 'training')}: trained before")
    failures = {}
    if unranked:
        failures = _train(place, missing, unranked, asked)
    else:
        training.sweep_kernels(place)  # they may have come from the same machine
    states = [
        training.collect_run(place, one, failures.get(one.run_id), return_state=True)
        for one in missing
    ]
    if failures:
        names = {one.run_id: one.name for one in missing}
        causes = [f"{names[run_id]}: {cause}" for run_id, cause in failures.items()]
        kept = "The others are kept: the" if len(causes) < len(missing) else "Then the"
        raise StepError(
            f"{len(causes)} of {counted(len(missing), 'training')} failed, so none was published",
            got="; ".join(causes),
            to_do=f"Mend the cause. {kept} same command trains what is left",
        )
    return [state.result() for state in states]


def _train(
    place: Home, missing: Sequence[Training], unranked: Sequence[Training], asked: Experiment
) -> dict[str, str]:
    """Here, or by a pool; that is told of ranked ones too, as its groups are known by all of it."""
    if asked.pool:
        where = asked.device, asked.gpus, asked.together
        return pools.train(place, missing, asked.pool, asked.store, *where)
    return training.train(place, unranked, asked.device, asked.gpus, together=asked.together)
