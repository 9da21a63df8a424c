"""Walk forward over days: train on what was known, then rank what really came next."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from prefect import flow

from flows import names
from flows.parameters import Experiment, asked
from flows.run import prepared
from flows.train import refuse_unready, train_and_audit
from tasks import auditing, backtesting, publishing
from tasks.flow_runs import tag, with_run_lifecycle
from tasks.progress import note
from tasks.trainings import Training
from warehouse.backtest import BacktestFiles
from warehouse.database import locked
from warehouse.home import Home
from warehouse.records import Snapshot
from warehouse.visible import counted


@flow(flow_run_name=names.backtest)
@with_run_lifecycle
@asked(single=True, without=("as_of",))
def backtest(days: Sequence[date], asked: Experiment) -> list[str]:
    """Train on what was known on each day and rank what came next; other parameters as in `run`.

    What is published already is not done again. Returns the snapshots' ids.
    """
    refuse_unready(asked)
    place = Home.at(asked.home)
    tag(asked.dataset, *asked.retentions, *asked.preset_names())
    wanted = [
        one for day in sorted(set(days)) for one in prepared(place, replace(asked, as_of=day))[1]
    ]
    missing = backtesting.not_backtested(place, wanted)
    files = _find_next(place, missing)  # a day after which nothing came is refused now
    train_and_audit(place, wanted, asked)
    if len(missing) < len(wanted):
        note(f"{counted(len(wanted) - len(missing), 'training')}: what came next was ranked before")
    for found in files:
        trained = [one for one in missing if one.snapshot == found.snapshot]
        _rank(place, found, trained, asked)
    publishing.replace_readers_copy(place)
    return list(dict.fromkeys(one.snapshot.snapshot_id for one in wanted))


def _find_next(place: Home, wanted: Sequence[Training]) -> list[BacktestFiles]:
    """What came after each snapshot.

    Raises:
        RefusedError: nothing came after one of them.
    """
    found = []
    for snapshot in dict.fromkeys(one.snapshot for one in wanted):
        with locked(place, _lock(snapshot)):
            found.append(backtesting.find_next(place, snapshot))
    return found


def _lock(snapshot: Snapshot) -> str:
    return f"ahead-{snapshot.snapshot_id}"


def _rank(
    place: Home, found: BacktestFiles, trained: Sequence[Training], asked: Experiment
) -> None:
    """Rank with all trainings of one snapshot, audit, publish."""
    with locked(place, _lock(found.snapshot)):
        ranks = backtesting.rank_next(place, found, trained, asked.device)
        auditing.audit_next(place, found, ranks, asked.accept)
        backtesting.publish_next(place, found, ranks)
