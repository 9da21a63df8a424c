"""A backtest's files and rows: what came after a snapshot, and how it was ranked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from warehouse.database import (
    literal_glob,
    reading,
    statements,
    writing,
)
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.preparing import raw_tables, write_sequences
from warehouse.ranks import beside_core
from warehouse.records import Snapshot
from warehouse.transforms.ahead import ahead_of
from warehouse.transforms.candidates import draw_candidates
from warehouse.transforms.core import core_tables
from warehouse.transforms.options import Options
from warehouse.written import check_written


@dataclass(frozen=True)
class AheadFile:
    """What came after a snapshot, as files.

    Attributes:
        sequences: in the format of the snapshot's own, with what came next as test item.
        targets: Parquet, see `Ahead.targets`.
        n_ranked: users whose next item the snapshot knows.
    """

    snapshot: Snapshot
    sequences: Path
    targets: Path
    n_ranked: int


def look_ahead(home: Home, snapshot: Snapshot) -> AheadFile:
    """Write what came after a snapshot, beside its sequences.

    Raises:
        RefusedError: it is of no day, or nobody came back for an item that it knows.
    """
    if snapshot.as_of is None:
        raise RefusedError(f"Snapshot {snapshot.snapshot_id} is of no day", to_do="Give --as-of")
    ratings, items = raw_tables(home, snapshot.load_id)
    options = Options(snapshot.as_of)
    before = core_tables(ratings, items, snapshot.retention, options)
    ahead = ahead_of(ratings, before, options)
    n_ranked = ahead.targets.height - ahead.targets["item_id"].null_count()
    if n_ranked == 0:
        raise RefusedError(
            f"Nobody is known to have come back on or after {snapshot.as_of}",
            expected="a day with ratings of known users and items after it",
        )
    interactions = ahead.tables.interactions.lazy()
    drawn = draw_candidates(interactions, n_items=before.items.height).collect()
    path = home.sequences / f"ahead-{snapshot.snapshot_id}.parquet"
    targets = path.with_name(f"targets-{snapshot.snapshot_id}.parquet")
    write_sequences(path, ahead.tables, drawn, snapshot.snapshot_id)
    ahead.targets.write_parquet(targets)
    return AheadFile(snapshot, path, targets, n_ranked)


def looked_back(home: Home) -> set[str]:
    """Trainings whose ranks of what came next are published."""
    with reading(home) as connection:
        rows = connection.execute("SELECT DISTINCT run_id FROM mart.next_ranks").fetchall()
    return {run_id for (run_id,) in rows}


def stage_next_ranks(home: Home, ahead: AheadFile, ranks: Mapping[str, Path]) -> Path:
    """A database of a snapshot's users and items and of new ranks, for their audit.

    Args:
        home: of the pipeline.
        ahead: what was ranked.
        ranks: a file a training.

    Raises:
        RefusedError: a file of ranks is not whole.
    """
    path = home.staged(f"next-{ahead.snapshot.snapshot_id}")
    identity = ahead.snapshot.snapshot_id
    with beside_core(home, path, identity, ("users", "items")) as connection:
        _insert(connection, ahead, ranks)
    return path


def publish_next_ranks(home: Home, ahead: AheadFile, ranks: Mapping[str, Path]) -> None:
    """Write targets and ranks, all of them or none; again replaces.

    Raises:
        RefusedError: a file of ranks is not whole.
    """
    with writing(home) as connection:
        snapshot = ahead.snapshot.snapshot_id
        connection.execute("DELETE FROM mart.next_targets WHERE snapshot_id = ?", [snapshot])
        for run_id in ranks:
            connection.execute("DELETE FROM mart.next_ranks WHERE run_id = ?", [run_id])
        _insert(connection, ahead, ranks)


def _insert(
    connection: duckdb.DuckDBPyConnection, ahead: AheadFile, ranks: Mapping[str, Path]
) -> None:
    connection.register("frame", pl.read_parquet(ahead.targets).to_arrow())
    connection.execute(statements("ahead/targets"), [ahead.snapshot.snapshot_id])
    connection.unregister("frame")
    for run_id, path in ranks.items():
        check_written(path)
        connection.execute(statements("ahead/ranks"), [run_id, literal_glob(path)])
