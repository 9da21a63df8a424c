"""Ranks on their way to the warehouse: staged beside the tables that they must agree with."""

from collections.abc import Sequence
from pathlib import Path

from warehouse.catalogue import reading
from warehouse.home import Home
from warehouse.publishing import TrainedRun, stage_run
from warehouse.staging import auditable, audited
from warehouse.store import stored_files


def stage_ranks(home: Home, snapshot_id: str, runs: Sequence[TrainedRun], folder: Path) -> Path:
    """Stage the ranks and lists of one snapshot's new trainings beside its core tables.

    Returns:
        The database whose `mart.user_ranks`, `mart.top_lists` and `core` tables an audit reads.

    Raises:
        RefusedError: a file of ranks is not whole.
    """
    for run in runs:
        stage_run(run, folder)
    with auditable(folder, core_files(home, snapshot_id)):
        return audited(folder)


def core_files(home: Home, snapshot_id: str) -> dict[str, list[Path]]:
    """The files of a published snapshot, by table."""
    with reading(home) as connection:
        return {
            table: [path]
            for table, path in stored_files(connection, home, snapshot_id).items()
            if table.startswith("core.")
        }
