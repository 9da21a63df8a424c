"""What the warehouse keeps of published trainings: their folders are checked and mended by it."""

import json
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any

from warehouse.catalogue import fetch_all, reading
from warehouse.home import Home
from warehouse.list_figures import lost_lists

_COLUMNS = (
    "config, seed, snapshot_id, code_version, device, versions, started_at, finished_at, "
    "train_seconds, best_epoch, checkpoint_sha256"
)
_EPOCH = ("epoch", "train_loss", "valid_recall_10", "valid_ndcg_10", "seconds")


@dataclass(frozen=True)
class Kept:
    """A published training's facts, as its `run.json` and `epochs.jsonl` had them."""

    record: dict[str, Any]
    epochs: list[dict[str, Any]]


@dataclass(frozen=True)
class Needed:
    """What a published training needs to be asked, and what makes it again."""

    run_id: str
    model: str
    preset: str
    seed: int
    code_version: str
    checkpoint_sha256: str
    snapshot_id: str
    sequences_path: str
    sequences_sha256: str
    load_id: str
    retention: str
    as_of: date | None


def needed(home: Home) -> list[Needed]:
    """What all published trainings need."""
    columns = ", ".join(field.name for field in fields(Needed))
    query = (
        f"SELECT {columns} FROM mart.training_runs "
        "JOIN core.snapshots USING (snapshot_id) WHERE status = 'published' ORDER BY run_id"
    )
    return [Needed(*row) for row in fetch_all(home, query)]


def published_checkpoints(home: Home) -> dict[str, str]:
    """The checksum of each published training's weights, by its id; no file of it is lost."""
    query = (
        "SELECT run_id, checkpoint_sha256 FROM mart.training_runs "
        "SEMI JOIN mart.files ON table_name = 'mart.user_ranks' AND id = run_id "
        "WHERE status = 'published'"
    )
    with reading(home) as connection:
        known, lost = connection.execute(query).fetchall(), lost_lists(connection)
    return {run_id: checksum for run_id, checksum in known if run_id not in lost}


def kept(home: Home, run_id: str) -> Kept:
    """What is kept of a training that is published."""
    with reading(home) as connection:
        query = (
            f"SELECT {_COLUMNS}, n_interactions FROM mart.training_runs "
            "JOIN core.snapshots USING (snapshot_id) WHERE run_id = ?"
        )
        *values, interactions = connection.execute(query, [run_id]).fetchall()[0]
        query = f"SELECT {', '.join(_EPOCH)} FROM mart.epochs WHERE run_id = ? ORDER BY epoch"
        rows = connection.execute(query, [run_id]).fetchall()
    epochs = [dict(zip(_EPOCH, row, strict=True)) for row in rows]
    record = dict(zip(_COLUMNS.split(", "), values, strict=True))
    record["interactions"] = interactions
    record |= {name: json.loads(record[name]) for name in ("config", "versions")}
    record |= {name: _stamp(record[name]) for name in ("started_at", "finished_at")}
    if "chosen" in record["config"]:
        record["chosen"] = record["config"].pop("chosen")
    figures = [row["valid_ndcg_10"] for row in epochs if row["valid_ndcg_10"] is not None]
    return Kept(record | {"valid_ndcg_10": max(figures, default=0.0)}, epochs)


def _stamp(moment: datetime) -> str:
    return moment.replace(tzinfo=UTC).isoformat()
