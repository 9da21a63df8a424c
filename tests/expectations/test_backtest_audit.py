"""The audit of a backtest on what is really staged for it: a leak in any file stops it."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from expectations.facts import Facts
from expectations.runner import audit
from expectations.suites import NEXT
from warehouse.backtest import BacktestFiles, find_next, stage_next_ranks
from warehouse.home import Home
from warehouse.identity import sha256_of
from warehouse.preparing import prepare
from warehouse.publishing import publish_load, publish_snapshot
from warehouse.staging import auditable, stage_frame, staging_folder
from warehouse.transforms.options import Options

DAY = date(2001, 1, 8)
MIDNIGHT = int(datetime(2001, 1, 8, tzinfo=UTC).timestamp())
# (user, item, minutes after midnight): 10 and 20 come back for known items, 30 for an unknown one
ROWS = [
    *((10, item, item - 9) for item in (1, 2, 3, 4)),
    (10, 6, 5),
    *((20, item, item - 9) for item in (2, 3, 5, 6)),
    (20, 1, 0),
    *((30, item, item - 9) for item in (1, 4, 6)),
    (30, 7, 1),
]


@pytest.fixture
def home(tmp_path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def ahead(home) -> BacktestFiles:
    rows = [
        (number, user, item, 4.0, MIDNIGHT + 60 * minute)
        for number, (user, item, minute) in enumerate(ROWS, start=1)
    ]
    columns = ("source_row", "raw_user_id", "raw_item_id", "rating", "timestamp")
    empty = {
        "raw.items": ("raw_item_id", "title", "genres"),
        "raw.users": ("raw_user_id", "gender", "age", "occupation"),
        "raw.rejects": ("member", "source_row", "line", "reason"),
    }
    with staging_folder(home, "load") as folder:
        stage_frame(folder, "raw.ratings", "load", pl.DataFrame(rows, columns, orient="row"))
        for table, names in empty.items():
            stage_frame(folder, table, "load", pl.DataFrame([], names))
        with auditable(folder) as connection:
            connection.execute(
                "INSERT INTO raw.loads VALUES "
                "('load', 'ml-1m', 'x', 'abc', true, now(), 14, 0, 0, 0)"
            )
        publish_load(home, folder)
    with staging_folder(home, "snapshot") as folder:
        snapshot = prepare(home, "load", "cold-start", folder, Options(DAY))
        publish_snapshot(home, snapshot, folder)
    return find_next(home, snapshot)


@pytest.fixture
def failed(home, ahead, tmp_path):
    """Expectations that do not hold where users 1 and 2 have these targets' ranks."""

    def go(found: BacktestFiles) -> set[str]:
        counts = {"uniform_100": (2, 2), "full": (2, 2)}  # two items outside each history
        rows = [
            {"split": "next", "protocol": name, "user_id": user, "rank": 1.0, "n_candidates": n}
            for name, both in counts.items()
            for user, n in zip((1, 2), both, strict=True)
        ]
        schema = {"user_id": pl.Int32, "rank": pl.Float32, "n_candidates": pl.Int32}
        ranks = sign(pl.DataFrame(rows, schema_overrides=schema), tmp_path / "ranks.parquet")
        facts = Facts(
            snapshot_id=ahead.snapshot.snapshot_id,
            run_ids=("run",),
            timestamp_min=MIDNIGHT,
            n_kept_users=3,
        )
        with staging_folder(home, "ahead") as folder:
            staged = stage_next_ranks(home, found, {"run": ranks}, folder)
            outcomes = audit(staged, NEXT, facts)
        return {o.expectation for o in outcomes if not o.success and o.severity == "critical"}

    return go


def sign(frame: pl.DataFrame, path: Path) -> Path:
    frame.write_parquet(path)
    Path(f"{path}.sha256").write_text(f"{sha256_of(path)}  {path.name}\n")
    return path


def test_what_is_staged_passes_and_each_leak_stops_it(ahead, failed):
    assert failed(ahead) == set()
    rows = pl.read_parquet(ahead.sequences)
    schema = rows.schema

    def changed(**columns: pl.Expr) -> BacktestFiles:
        frame = rows.with_columns(**columns).cast(schema)
        return replace(ahead, sequences=sign(frame, ahead.sequences.with_name("changed.parquet")))

    assert failed(changed(time_scale=pl.col("time_scale") + 1)) == {
        "time_scale as in core.sequences"
    }
    first = pl.col("item_ids").list.head(1)
    candidates = pl.concat_list(first, pl.col("test_candidates").list.slice(1))
    assert failed(changed(test_candidates=candidates)) == {
        "no candidate in the user's history, nor what came next among them"
    }
    assert failed(changed(n_train=pl.col("n_train") + 1)) == {
        "n_train leaves out what came next and the one before, or nothing"
    }


def test_training_that_has_seen_what_came_next_is_proved(ahead, failed):
    """The snapshot's own file already ends with the target of user 1."""
    known = pl.read_parquet(ahead.snapshot.sequences)
    target = pl.read_parquet(ahead.targets).row(0, named=True)["item_id"]
    seen = pl.when(pl.col("user_id") == 1).then(
        pl.concat_list("item_ids", pl.lit(target, pl.Int32))
    )
    leaked = known.with_columns(item_ids=seen.otherwise(pl.col("item_ids")))
    file = sign(leaked, ahead.sequences.with_name("leaked.parquet"))
    found = replace(ahead, snapshot=replace(ahead.snapshot, sequences=file))
    assert "what came next is not in what was trained on" in failed(found)
