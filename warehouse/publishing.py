"""What passed its audit enters the warehouse in one publication."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from warehouse.catalogue import reading, writing
from warehouse.database import connected, quoted, registered, statements, utc_now
from warehouse.described import raw_tables_of
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.identity import identify, sha256_of
from warehouse.list_figures import LISTS, figures_of_files, keep
from warehouse.popularity import keep_popularity, popularity_metrics
from warehouse.records import Snapshot
from warehouse.rehearsal import figures_of
from warehouse.run_figures import add_figures
from warehouse.staging import audited, staging_folder
from warehouse.store import has_files, list_files, place_all, stage_copy, staged_file
from warehouse.written import check_written

_TEXTS = ("audit_id", "table_name", "expectation", "severity", "observed", "sample", "reason")
_IDS = ("load_id", "snapshot_id", "run_id", "name")
OUTCOMES = pa.schema(
    [
        *((name, pa.string()) for name in (*_TEXTS, *_IDS)),
        ("success", pa.bool_()),
        ("unexpected_count", pa.int64()),
        ("checked_at", pa.timestamp("us")),
    ]
)


@dataclass(frozen=True)
class TrainedRun:
    """One training as `mart.training_runs` and `mart.epochs` keep it, and where its ranks are.

    `lists`: what it puts first for test users, where that is known.
    """

    run_id: str
    snapshot_id: str
    model: str
    preset: str
    seed: int
    config: dict[str, Any]
    device: str
    code_version: str
    versions: dict[str, str]
    started_at: datetime
    finished_at: datetime
    train_seconds: float
    best_epoch: int
    checkpoint_sha256: str
    epochs: tuple[dict[str, Any], ...]
    ranks: Path
    lists: Path | None = None


def publish_load(home: Home, folder: Path) -> None:
    """Take the audited tables staged in `folder` into `raw`; again replaces."""
    _take(home, folder, "publish/load")


def publish_snapshot(home: Home, snapshot: Snapshot, folder: Path) -> None:
    """Take the audited tables staged in `folder` into `core`; again replaces.

    Raises:
        RefusedError: the sequences file is not the one that was audited.
    """
    check_file(snapshot.sequences, snapshot.sequences_sha256)
    with connected(audited(folder), read_only=True) as staged:
        popular = popularity_metrics(staged, snapshot.snapshot_id)

    def add(connection: duckdb.DuckDBPyConnection) -> None:
        keep_popularity(connection, snapshot.snapshot_id, popular)

    _take(home, folder, "publish/snapshot", add)


def publish_runs(home: Home, runs: Sequence[TrainedRun]) -> None:
    """Write trainings with their epochs and ranks, all of them or none; again replaces.

    Raises:
        RefusedError: a file of ranks is not whole.
    """
    with staging_folder(home, "publish") as folder:
        for run in runs:
            stage_run(run, folder)
        of_lists = _list_figures(home, runs, folder)
        files = place_all(home, folder)
        run_ids = [run.run_id for run in runs]
        made = figures_of(home, folder, files, lambda into: _write(into, runs), run_ids)
    with writing(home) as connection:
        _write(connection, runs)
        list_files(connection, home, files)
        add_figures(connection, run_ids, made)
        keep(connection, run_ids, of_lists)


def _write(connection: duckdb.DuckDBPyConnection, runs: Sequence[TrainedRun]) -> None:
    """Their rows, without ranks."""
    for run in runs:
        connection.execute("DELETE FROM mart.epochs WHERE run_id = ?", [run.run_id])
        connection.execute(statements("publish/training_run"), _row(run))
        with registered(connection, _epochs(run)):
            connection.execute(statements("publish/epochs"), [run.run_id])


def stage_run(run: TrainedRun, folder: Path) -> None:
    """Stage the ranks and lists of a training.

    Raises:
        RefusedError: a file is not whole.
    """
    stage_whole(run.ranks, staged_file(folder, "mart.user_ranks", run.run_id))
    if run.lists is not None:
        stage_whole(run.lists, staged_file(folder, LISTS, run.run_id))


def _list_figures(home: Home, runs: Sequence[TrainedRun], folder: Path) -> pa.Table | None:
    """Computed before the lock is taken: of many trainings it takes seconds."""
    by_snapshot: dict[str, dict[str, Path]] = {}
    for run in runs:
        if run.lists is not None:
            of = by_snapshot.setdefault(run.snapshot_id, {})
            of[run.run_id] = staged_file(folder, LISTS, run.run_id)
    if not by_snapshot:
        return None
    with reading(home) as connection:
        return pa.concat_tables(figures_of_files(connection, *one) for one in by_snapshot.items())


def stage_whole(source: Path, target: Path) -> None:
    """Stage what a training left, as it was written.

    Raises:
        RefusedError: the file is not whole.
    """
    check_written(source)
    stage_copy(source, target)


def store_outcomes(home: Home, outcomes: Sequence[dict[str, Any]], **ids: str | None) -> str:
    """Keep an audit's outcomes (`load_id`, `snapshot_id`, `run_id` say of what); return its id."""
    now = utc_now()
    scope = {name: ids.get(name) for name in ("load_id", "snapshot_id", "run_id")}
    audit = {"audit_id": identify("audit", ids, now.isoformat()), **scope, "checked_at": now}
    rows = [outcome | {"sample": json.dumps(outcome["sample"])} | audit for outcome in outcomes]
    frame = pa.Table.from_pylist(rows, OUTCOMES)
    # one statement: one for each row takes twice as long as the whole rest
    with writing(home) as connection, registered(connection, frame):
        connection.execute(statements("publish/validation_results"))
    return str(audit["audit_id"])


def has_load(home: Home, load_id: str) -> bool:
    """Whether the load is published, and all of its files are there."""
    with reading(home) as connection:
        return has_files(connection, raw_tables_of(connection, load_id), load_id)


def check_file(path: Path, expected: str) -> None:
    """Refuse a file whose bytes are not the ones that were written.

    A flipped bit in a Parquet file is read back as a wrong number, without an error.

    Raises:
        RefusedError: missing, or another checksum.
    """
    actual = sha256_of(path) if path.exists() else "no such file"
    if actual != expected:
        raise RefusedError(
            f"{path.name} is not whole",
            got=actual,
            expected=f"SHA-256 {expected}",
            to_do="Run the command again: it makes it anew",
        )


def _take(
    home: Home,
    folder: Path,
    script: str,
    add: Callable[[duckdb.DuckDBPyConnection], None] = lambda _: None,
) -> None:
    files = place_all(home, folder)  # before the lock: what takes long keeps nobody waiting
    with writing(home) as connection:
        connection.execute(f"ATTACH {quoted(str(audited(folder)))} AS staged (READ_ONLY)")
        connection.execute(statements(script))
        list_files(connection, home, files)
        add(connection)


def _row(run: TrainedRun) -> list[Any]:
    return [
        run.run_id,
        run.snapshot_id,
        run.model,
        run.preset,
        run.seed,
        json.dumps(run.config),
        run.device,
        run.code_version,
        json.dumps(run.versions),
        run.started_at,
        run.finished_at,
        run.train_seconds,
        run.best_epoch,
        run.checkpoint_sha256,
        "published",
        None,
    ]


def _epochs(run: TrainedRun) -> pa.Table:
    schema = pa.schema(
        [
            ("epoch", pa.int32()),
            ("train_loss", pa.float64()),
            ("valid_recall_10", pa.float64()),
            ("valid_ndcg_10", pa.float64()),
            ("seconds", pa.float64()),
        ]
    )
    names = set(schema.names)
    rows = [{name: row.get(name) for name in names} for row in run.epochs]
    return pa.Table.from_pylist(rows, schema=schema)
