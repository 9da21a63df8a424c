"""What came after a day, by hand: its targets, its file, and the view that compares."""

import math
from datetime import UTC, date, datetime

import polars as pl
import pytest

from warehouse.backtest import BacktestFiles, backtested, find_next, publish_next_ranks
from warehouse.errors import RefusedError
from warehouse.identity import sha256_of
from warehouse.publishing import publish_runs
from warehouse.questions import ask
from warehouse.transforms.options import Options

DAY = date(2001, 1, 8)
MIDNIGHT = int(datetime(2001, 1, 8, tzinfo=UTC).timestamp())
# (user, item, seconds after midnight), and stars where they are not 4
ROWS = [
    *((10, item, -100 + item) for item in (1, 2, 3, 4)),
    (10, 2, 5),  # had before: no news
    (10, 5, 50, 1.5),  # the next
    (10, 6, 60),
    *((20, item, -200_000 + item) for item in (2, 3, 5)),
    (20, 6, 0),  # at midnight already
    *((30, item, -50 + item) for item in (6, 1, 2)),  # never came back
    *((40, item, -50 + item) for item in (3, 4)),
    (40, 9, 7),  # nobody had it before
    (40, 1, 8),
    (50, 1, 9),  # came after the day
]


@pytest.fixture
def snapshot(publish_rows, prepare_load):
    rows = [(user, item, MIDNIGHT + second, *stars) for user, item, second, *stars in ROWS]
    publish_rows("load", rows)
    return prepare_load("load", "cold-start", Options(DAY))


@pytest.fixture
def ahead(home, snapshot) -> BacktestFiles:
    return find_next(home, snapshot)


def test_targets_are_the_first_new_items_from_the_day_on(ahead):
    targets = pl.read_parquet(ahead.targets)
    assert targets.rows() == [
        (1, 5, 5, MIDNIGHT + 50, 146),  # after item 4, 96 seconds before midnight
        (2, 6, 6, MIDNIGHT, 199_995),
        (4, 9, None, MIDNIGHT + 7, 53),
    ]
    assert ahead.n_ranked == 2


def test_the_file_ends_histories_with_their_targets(ahead, snapshot):
    found = pl.read_parquet(ahead.sequences)
    assert found["user_id"].to_list() == [1, 2, 3, 4]
    assert found["item_ids"].to_list() == [[1, 2, 3, 4, 5], [2, 3, 5, 6], [1, 2, 6], [3, 4]]
    assert found["ratings"].to_list() == [[8, 8, 8, 8, 3], [8] * 4, [8] * 3, [8] * 2]
    assert found["n_train"].to_list() == [3, 2, 3, 2]  # those without a target only train
    before = pl.read_parquet(snapshot.sequences)
    assert found["time_scale"].equals(before["time_scale"])
    for items, drawn in found.select("item_ids", "test_candidates").rows():
        assert not set(items) & set(drawn)
    assert [len(drawn) for drawn in found["test_candidates"]] == [1, 2, 0, 0]  # of six items


def test_the_snapshot_knows_nothing_of_the_day(snapshot):
    stamps = pl.read_parquet(snapshot.sequences)["timestamps"].explode()
    assert stamps.max() < MIDNIGHT
    assert (snapshot.n_users, snapshot.n_items, snapshot.label) == (
        4,
        6,
        "cold-start as of 2001-01-08",
    )


def write_ranks(path, ranks: dict[int, float]):
    rows = [
        {"split": "next", "protocol": protocol, "user_id": user, "rank": rank, "n_candidates": 3}
        for protocol in ("uniform_100", "full")
        for user, rank in ranks.items()
    ]
    schema = {"user_id": pl.Int32, "rank": pl.Float32, "n_candidates": pl.Int32}
    pl.DataFrame(rows, schema_overrides=schema).write_parquet(path)
    path.with_name(f"{path.name}.sha256").write_text(f"{sha256_of(path)}  {path.name}\n")
    return path


def test_both_figures_are_of_the_same_weights_and_users(home, snapshot, ahead, make_run, tmp_path):
    left_out = {"a": [1.0, 2.0, 1.0], "b": [1.0, 50.0, 1.0]}  # users 1, 2, 3
    runs = [
        make_run(name, snapshot.snapshot_id, ranks, seed=seed)
        for seed, (name, ranks) in enumerate(left_out.items())
    ]
    publish_runs(home, runs)
    ranks = {
        "a": write_ranks(tmp_path / "a.parquet", {1: 2.0, 2: 50.0}),
        "b": write_ranks(tmp_path / "b.parquet", {1: 1.0, 2: 50.0}),
    }
    publish_next_ranks(home, ahead, ranks)
    publish_next_ranks(home, ahead, ranks)  # again replaces
    assert backtested(home) == {"a", "b"}
    rows = ask(home, "SELECT * FROM mart.backtest WHERE protocol = 'full' ORDER BY waited").rows(
        named=True
    )
    assert [row["waited"] for row in rows] == ["a day and more", "all", "under a day"]
    second = 1 / math.log2(3)
    every = rows[1]
    assert every["as_of"] == DAY
    assert every["recall_10"] == 0.5
    assert every["ndcg_10"] == pytest.approx((second + 1) / 2 / 2)
    assert every["left_out_recall_10"] == 0.75
    assert every["left_out_ndcg_10"] == pytest.approx((1 + second / 2) / 2)
    gaps = [1 - (second + 1) / 2, second / 2]
    assert every["ndcg_gap"] == pytest.approx(sum(gaps) / 2)
    half = 1.96 * abs(gaps[0] - gaps[1]) / math.sqrt(2) / math.sqrt(2)
    assert every["low"] == pytest.approx(sum(gaps) / 2 - half)
    assert (every["n_users"], every["n_new_items"], every["n_seeds"]) == (2, 1, 2)
    assert rows[2]["recall_10"] == 1
    assert (rows[0]["n_new_items"], rows[2]["n_new_items"]) == (0, 1)


def test_a_snapshot_of_no_day_has_nothing_ahead(home, published_snapshot):
    with pytest.raises(RefusedError, match="is of no day"):
        find_next(home, published_snapshot)


def test_a_day_after_which_nothing_came_is_refused(home, snapshot, prepare_load):
    late = prepare_load("load", "cold-start", Options(date(2002, 1, 1)))
    with pytest.raises(RefusedError, match="No user rated a known item"):
        find_next(home, late)
