"""A backtest's files and rows: what came after a snapshot, and how it was ranked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from warehouse.catalogue import fetch_all, writing
from warehouse.database import rows_of
from warehouse.described import rules_of
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.preparing import raw_tables
from warehouse.publishing import stage_whole
from warehouse.ranks import core_files
from warehouse.records import Snapshot
from warehouse.sequences_file import write_sequences
from warehouse.staging import auditable, audited, stage_frame, staging_folder
from warehouse.store import list_files, place_all, staged_file
from warehouse.transforms.core import candidates_of, core_tables
from warehouse.transforms.next_interaction import next_interactions
from warehouse.transforms.options import Options
from warehouse.written import check_sequences


@dataclass(frozen=True)
class BacktestFiles:
    """What came after a snapshot, as files.

    Attributes:
        sequences: in the format of the snapshot's own, with what came next as test item.
        targets: Parquet, see `NextInteractions.targets`.
        n_ranked: users whose next item the snapshot knows.
    """

    snapshot: Snapshot
    sequences: Path
    targets: Path
    n_ranked: int


def find_next(home: Home, snapshot: Snapshot) -> BacktestFiles:
    """Write what came after a snapshot, beside its sequences.

    Raises:
        RefusedError: it is of no day, or nobody came back for an item that it knows.
    """
    if snapshot.as_of is None:
        raise RefusedError(f"Snapshot {snapshot.snapshot_id} is of no day", to_do="Give --as-of")
    ratings, items = raw_tables(home, snapshot.load_id)
    rules = rules_of(home, snapshot.load_id)
    options = Options(snapshot.as_of)
    before = core_tables(ratings, items, snapshot.retention, options, rules)
    ahead = next_interactions(ratings, before, options)
    n_ranked = ahead.targets.height - ahead.targets["item_id"].null_count()
    if n_ranked == 0:
        raise RefusedError(
            f"No user rated a known item on or after {snapshot.as_of}",
            got=f"{ahead.targets.height} users came back, all for items that are new",
            expected="a day with ratings of known users and items on it or after it",
            to_do=f"Leave {snapshot.as_of} out, or give an earlier day",
        )
    drawn = candidates_of(ahead.tables)
    path = home.sequences / f"ahead-{snapshot.snapshot_id}.parquet"
    targets = path.with_name(f"targets-{snapshot.snapshot_id}.parquet")
    write_sequences(path, ahead.tables, drawn, snapshot.snapshot_id)
    ahead.targets.write_parquet(targets)
    return BacktestFiles(snapshot, path, targets, n_ranked)


def backtested(home: Home) -> set[str]:
    """Trainings whose ranks of what came next are published."""
    rows = fetch_all(home, "SELECT DISTINCT run_id FROM mart.next_ranks")
    return {run_id for (run_id,) in rows}


def stage_next_ranks(
    home: Home, ahead: BacktestFiles, ranks: Mapping[str, Path], folder: Path
) -> Path:
    """Stage new ranks of what came next beside the snapshot's tables.

    Args:
        home: of the pipeline.
        ahead: what was ranked.
        ranks: a file a training.
        folder: a staging folder.

    Returns:
        The database that an audit reads.

    Raises:
        RefusedError: a file of ranks is not whole.
    """
    _stage(ahead, ranks, folder)
    with auditable(folder, core_files(home, ahead.snapshot.snapshot_id)) as connection:
        for name, file in (("ahead", ahead.sequences), ("sequences", ahead.snapshot.sequences)):
            check_sequences(file)
            connection.execute(f"CREATE VIEW core.{name} AS FROM {rows_of(file)}")
    return audited(folder)


def publish_next_ranks(home: Home, ahead: BacktestFiles, ranks: Mapping[str, Path]) -> None:
    """Write targets and ranks, all of them or none; again replaces.

    Raises:
        RefusedError: a file of ranks is not whole.
    """
    with staging_folder(home, "publish") as folder:
        _stage(ahead, ranks, folder)
        files = place_all(home, folder)
    with writing(home) as connection:
        list_files(connection, home, files)


def _stage(ahead: BacktestFiles, ranks: Mapping[str, Path], folder: Path) -> None:
    targets = pl.read_parquet(ahead.targets)
    stage_frame(folder, "mart.next_targets", ahead.snapshot.snapshot_id, targets)
    for run_id, path in ranks.items():
        stage_whole(path, staged_file(folder, "mart.next_ranks", run_id))
