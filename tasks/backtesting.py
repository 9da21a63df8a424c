"""Rank what really came after the day that a snapshot is of."""

import sys
from collections.abc import Sequence
from pathlib import Path

from prefect import task

from tasks.progress import note, report
from tasks.subprocesses import Event, follow
from tasks.trainings import Training
from warehouse import backtest
from warehouse.backtest import BacktestFiles
from warehouse.home import Home
from warehouse.records import Snapshot

RANKS = "ahead.parquet"  # in a run's folder


@task(task_run_name="look past {snapshot.label}")
def find_next(home: Home, snapshot: Snapshot) -> BacktestFiles:
    """What came next, as a sequences file and a table."""
    found = backtest.find_next(home, snapshot)
    note(f"{snapshot.label}: {found.n_ranked} users came back for an item that it knows")
    return found


@task(task_run_name="look for backtests")
def not_backtested(home: Home, asked: Sequence[Training]) -> list[Training]:
    """Those whose ranks of what came next are not published yet."""
    known = backtest.backtested(home)
    return [one for one in asked if one.run_id not in known]


@task(task_run_name="rank what came after {found.snapshot.label}")
def rank_next(
    home: Home, found: BacktestFiles, trained: Sequence[Training], device: str
) -> dict[str, Path]:
    """Rank it with each training, in a process of its own. Returns the files by run's id.

    Raises:
        RefusedError: the process failed.
    """
    folders = {one.run_id: home.run(one.run_id) for one in trained}
    files = ["--sequences", str(found.snapshot.sequences), "--ahead", str(found.sequences)]
    runs = ["--run", *map(str, folders.values())]
    command = [sys.executable, "-m", "fpt_model", "evaluate", *files, *runs, "--device", device]
    ranked: list[str] = []

    def tell(event: Event) -> None:
        if event["event"] == "done":
            ranked.append(event["run"])
            report(f"rank what came after {found.snapshot.as_of}", len(ranked), len(folders), "")

    follow(command, tell, log=home.log("training"))
    return {run_id: folder / RANKS for run_id, folder in folders.items()}


@task(task_run_name="publish what came after {found.snapshot.label}")
def publish_next(home: Home, found: BacktestFiles, ranks: dict[str, Path]) -> None:
    """Targets and ranks enter `mart`, all of them or none."""
    backtest.publish_next_ranks(home, found, ranks)
