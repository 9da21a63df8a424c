"""What passed its audit enters the warehouse in one transaction; readers get a copy."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from warehouse.database import (
    connected,
    create_schema,
    literal_glob,
    locked,
    quoted,
    reading,
    statements,
    writing,
)
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.identity import identify, sha256_of
from warehouse.placing import put_in_place
from warehouse.records import Published, Snapshot
from warehouse.written import check_written

_TEXTS = ("audit_id", "table_name", "expectation", "severity", "observed", "sample", "reason")
OUTCOMES = pa.schema(
    [
        *((name, pa.string()) for name in (*_TEXTS, "load_id", "snapshot_id", "run_id")),
        ("success", pa.bool_()),
        ("unexpected_count", pa.int64()),
        ("checked_at", pa.timestamp("us")),
    ]
)


@dataclass(frozen=True)
class TrainedRun:
    """One training as `mart.training_runs` and `mart.epochs` keep it, and where its ranks are."""

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


def publish_load(home: Home, load_id: str) -> None:
    """Take the audited tables of `staging/<load_id>.duckdb` into `raw`; once is enough."""
    _take(home, load_id, "publish/load", "SELECT 1 FROM raw.loads WHERE load_id = ?")


def publish_snapshot(home: Home, snapshot: Snapshot) -> None:
    """Take the audited tables of `staging/<snapshot_id>.duckdb` into `core`; once is enough.

    Raises:
        RefusedError: the sequences file is not the one that was audited.
    """
    check_file(snapshot.sequences, snapshot.sequences_sha256)
    known = "SELECT 1 FROM core.snapshots WHERE snapshot_id = ?"
    _take(home, snapshot.snapshot_id, "publish/snapshot", known)


def publish_runs(home: Home, runs: Sequence[TrainedRun]) -> None:
    """Write trainings with their epochs and ranks, all of them or none; again replaces.

    Raises:
        RefusedError: a file of ranks is not whole.
    """
    for run in runs:
        check_written(run.ranks)
    with writing(home) as connection:
        for run in runs:
            _forget(connection, run.run_id)
            connection.execute(statements("publish/training_run"), _row(run))
            connection.register("frame", _epochs(run))
            connection.execute(statements("publish/epochs"), [run.run_id])
            connection.unregister("frame")
            ranks = literal_glob(run.ranks)
            connection.execute(statements("publish/user_ranks"), [run.run_id, ranks])


def store_outcomes(home: Home, outcomes: Sequence[dict[str, Any]], **ids: str | None) -> None:
    """Keep an audit's outcomes (`load_id`, `snapshot_id` or `run_id` says of what)."""
    now = datetime.now(UTC).replace(tzinfo=None)
    scope = {name: ids.get(name) for name in ("load_id", "snapshot_id", "run_id")}
    audit = {"audit_id": identify("audit", ids, now.isoformat()), **scope, "checked_at": now}
    rows = [outcome | {"sample": json.dumps(outcome["sample"])} | audit for outcome in outcomes]
    with writing(home) as connection:
        # one statement: one for each row takes twice as long as the whole rest
        connection.register("frame", pa.Table.from_pylist(rows, OUTCOMES))
        connection.execute(statements("publish/validation_results"))
        connection.unregister("frame")


def has_load(home: Home, load_id: str) -> bool:
    """Whether the load is published."""
    query = "SELECT 1 FROM raw.loads WHERE load_id = ?"
    with reading(home) as connection:
        return connection.execute(query, [load_id]).fetchone() is not None


def published_runs(home: Home) -> set[str]:
    """Ids of the trainings that are published."""
    query = "SELECT run_id FROM mart.training_runs WHERE status = 'published'"
    with reading(home) as connection:
        return {run_id for (run_id,) in connection.execute(query).fetchall()}


def replace_readers_copy(home: Home) -> Published:
    """Give readers the warehouse as it is now: a whole new file in place of the old one.

    The copy keeps the warehouse's time of change, so equal times mean that nothing is new.
    """
    with locked(home, "warehouse"):
        with connected(home.warehouse) as connection:
            create_schema(connection)  # views may be newer than the last thing written
            connection.execute("CHECKPOINT")
        now = home.warehouse.stat()
        if home.published.exists():
            before = home.published.stat()
            if (before.st_mtime_ns, before.st_size) == (now.st_mtime_ns, now.st_size):
                return Published(changed=False, size=before.st_size)
        partial = home.root / "published.partial"
        shutil.copy2(home.warehouse, partial)
        put_in_place(partial, home.published)
    return Published(changed=True, size=now.st_size)


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


def _take(home: Home, identity: str, script: str, known: str) -> None:
    staged = home.staged(identity)
    with writing(home) as connection:
        if connection.execute(known, [identity]).fetchone() is None:
            connection.execute(f"ATTACH {quoted(str(staged))} AS staged (READ_ONLY)")
            connection.execute(statements(script))
    staged.unlink(missing_ok=True)


def _forget(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    for table in ("epochs", "user_ranks"):
        connection.execute(f"DELETE FROM mart.{table} WHERE run_id = ?", [run_id])


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
