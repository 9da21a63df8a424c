"""Figures that are kept, against the naive SQL over every rank, and by hand."""

import math
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse import figures
from warehouse.catalogue import reading, writing
from warehouse.database import statements, table_files, view_files
from warehouse.errors import RefusedError
from warehouse.questions import ask
from warehouse.run_figures import add_figures, bring_up_to_date, figure_files
from warehouse.saved_queries import sql_of

NAIVE = Path(__file__).parent / "naive"
KEYS = {
    "mart.metrics": ["run_id", "split", "protocol", "k"],
    "mart.leaderboard": ["snapshot_id", "preset", "model", "split", "protocol", "k"],
    "mart.significance": [
        *("snapshot_id", "preset", "model", "baseline"),
        *("split", "protocol", "metric"),
    ],
    "mart.slices": ["run_id", "split", "protocol", "slice", "bucket"],
    "mart.backtest": ["snapshot_id", "preset", "model", "protocol", "waited"],
    "cold-start": ["dataset", "preset", "model", "trained_on"],
    "scores": ["snapshot_id", "preset", "model", "protocol"],
}
MAY_BE_EMPTY = {"mart.significance", "mart.backtest", "cold-start"}  # of one model, of no day
ROOTS = ("low", "high", "standard_error", "user_error", "seed_error")
ROOTS += ("recall_margin", "ndcg_margin", "mrr_margin")
# see test_suspicions, test_significance, importing/test_import_life
ADDED = ["warnings", "best_simple", "imported", "has_no_seed"]
MODELS = ["sasrec", "tisasrec", "sas_fpt"]


@pytest.fixture
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty warehouse in memory, its bulky tables as tables too, to be filled by INSERT."""
    with duckdb.connect() as connection:
        yield fresh(connection)


def fresh(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    connection.execute("SET threads = 2")
    for path in (*table_files(), *view_files()):
        connection.execute(path.read_text(encoding="utf-8"))
    return connection


def naive(connection: duckdb.DuckDBPyConnection, name: str) -> pl.DataFrame:
    metrics = (NAIVE / "metrics.sql").read_text(encoding="utf-8")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW naive_metrics AS {metrics}")
    return connection.sql((NAIVE / f"{name.removeprefix('mart.')}.sql").read_text()).pl()


def kept(connection: duckdb.DuckDBPyConnection, name: str) -> pl.DataFrame:
    if name == "scores":
        return connection.sql(statements("report/scores")).pl()
    view = name.startswith("mart.")
    return connection.sql(f"SELECT * FROM {name}" if view else sql_of(name)).pl()


def assert_equal(
    ours: pl.DataFrame, reference: pl.DataFrame, keys: list[str], root_noise: float
) -> None:
    """Row by row: numbers to 1e-9 of themselves, or 1e-12 where they are as good as nothing.

    Args:
        root_noise: as good as nothing for roots: in few users a component of variance often is
            nothing but rounding, in either way to compute it, and the root of 1e-18 is 1e-9.
    """
    assert ours.schema == reference.schema
    ours, reference = ours.sort(keys), reference.sort(keys)
    for name, dtype in ours.schema.items():
        if dtype == pl.Float64:
            mine, theirs = (
                frame[name].fill_null(math.nan).to_numpy() for frame in (ours, reference)
            )
            nothing = root_noise if name in ROOTS else 1e-12
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=nothing, err_msg=name)
        elif name != "verdict":
            assert ours[name].equals(reference[name]), name
    if "verdict" in ours.columns:  # of a difference that is nothing but rounding it is chance
        sure = (ours["difference"].abs() > 1e-12) | (ours["standard_error"] > 1e-8)
        assert ours["verdict"].filter(sure).equals(reference["verdict"].filter(sure))


def assert_naive(
    connection: duckdb.DuckDBPyConnection, *names: str, root_noise: float = 1e-12
) -> None:
    for name in names or KEYS:
        ours = kept(connection, name).drop(ADDED, strict=False)
        assert len(ours) > 0 or name in MAY_BE_EMPTY
        assert_equal(ours, naive(connection, name), KEYS[name], root_noise)


def add_snapshot(
    connection: duckdb.DuckDBPyConnection, name: str, users: int, chance: np.random.Generator
) -> None:
    """A snapshot whose users, held-out items and weeks fall into all parts of the slices."""
    items = 30
    connection.execute(
        "INSERT INTO raw.loads SELECT $1, 'ml-1m', 'x.zip', 'abc', true, TIMESTAMP '2026-01-01',"
        " 1, 0, 0, 1 WHERE NOT EXISTS (FROM raw.loads WHERE load_id = $1)",
        ["load"],
    )
    retention = "cold-start" if name.startswith("cold") else "5-core"
    connection.execute(
        "INSERT INTO core.snapshots BY NAME SELECT $1 AS snapshot_id, 'load' AS load_id,"
        " $2 AS retention, 1 AS n_users, 1 AS n_items, 1 AS n_interactions, 0 AS n_duplicates,"
        " '' AS sequences_path, '' AS sequences_sha256, TIMESTAMP '2026-01-01' AS created_at,"
        " 1 AS publication",
        [name, retention],
    )
    trained = chance.choice([0, 3, 7, 30, 100, 700], items)
    insert(
        connection,
        "core.items",
        {"snapshot_id": [name] * items, "item_id": range(1, items + 1), "raw_item_id": range(items)}
        | {"title": [None] * items, "genres": [None] * items, "n_train": trained},
    )
    lengths = chance.choice([2, 6, 12, 30, 100, 300], users)
    ids = np.arange(1, users + 1)
    insert(
        connection,
        "core.users",
        {"snapshot_id": [name] * users, "user_id": ids, "raw_user_id": ids}
        | {"n_interactions": lengths + 2, "n_train": lengths, "time_scale": [1] * users},
    )
    for split in ("train", "valid", "test"):
        insert(
            connection,
            "core.interactions",
            {"snapshot_id": [name] * users, "user_id": ids}
            | {"item_id": chance.integers(1, items + 1, users), "rating": [4.0] * users}
            | {"timestamp": ids, "position": ids, "split": [split] * users}
            | {"scaled_interval": [1] * users, "week": chance.integers(1, 53, users)},
        )


def insert(connection: duckdb.DuckDBPyConnection, table: str, columns: dict) -> None:
    connection.register("rows", pl.DataFrame(columns).to_arrow())
    connection.execute(f"INSERT INTO {table} BY NAME FROM rows")
    connection.unregister("rows")


def add_run(
    connection: duckdb.DuckDBPyConnection,
    run_id: str,
    ranks: np.ndarray,
    *,
    snapshot: str = "s",
    preset: str = "paper",
    model: str = "sas_fpt",
    seed: int = 0,
    day: int = 1,
    status: str = "published",
) -> None:
    """A training with ranks by split, protocol and user."""
    connection.execute(
        "INSERT INTO mart.training_runs VALUES ($1, $2, $3, $4, $5, '{}', 'cpu', 'c', '{}', $6, $6,"
        " 1, 1, 'abc', $7, NULL, $8)",
        [run_id, snapshot, model, preset, seed, datetime(2026, 1, day), status, day],
    )
    users = ranks.shape[-1]
    shuffled = np.random.default_rng(users).permutation(users)
    for split, by_protocol in zip(("valid", "test"), ranks, strict=True):
        for protocol, of_users in zip(("uniform_100", "full"), by_protocol, strict=True):
            insert(
                connection,
                "mart.user_ranks",
                {"run_id": [run_id] * users, "split": [split] * users}
                | {"protocol": [protocol] * users, "user_id": shuffled + 1}
                | {"rank": of_users[shuffled], "n_candidates": np.take([101, 10, 4], shuffled % 3)},
            )


def random_ranks(chance: np.random.Generator, users: int) -> np.ndarray:
    """Half ranks, many of them about the cut at 10."""
    near = chance.integers(2, 26, (2, 2, users)) / 2
    return np.where(
        chance.random((2, 2, users)) < 0.7, near, chance.integers(2, 202, near.shape) / 2
    )


def fill(connection: duckdb.DuckDBPyConnection, seed: int, users: int, seeds: int) -> None:
    """Two snapshots, two presets, models with one to `seeds` seeds, and one that was replaced."""
    chance = np.random.default_rng(seed)
    for snapshot in ("s", "cold"):
        add_snapshot(connection, snapshot, users, chance)
        for preset in ("paper", "best"):
            for model in MODELS[: chance.integers(1, 4)]:
                for number in range(chance.integers(1, seeds + 1)):
                    for day in range(1, 3 if chance.random() < 0.2 else 2):
                        run_id = f"{chance.integers(1 << 40):x}"  # of any order
                        ranks = random_ranks(chance, users)
                        changes = {"snapshot": snapshot, "preset": preset, "model": model}
                        add_run(connection, run_id, ranks, seed=number, day=day, **changes)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from([1, 2, 3, 40]), st.integers(1, 4))
def test_views_are_the_naive_sql(seed, users, seeds):
    with duckdb.connect() as connection:
        fill(fresh(connection), seed, users, seeds)
        bring_up_to_date(connection)
        assert len(kept(connection, "cold-start")) > 0
        assert_naive(connection, root_noise=1e-7)


def test_a_backtest_is_the_naive_sql(warehouse):
    fill(warehouse, 5, 40, 3)
    warehouse.execute(
        "INSERT INTO mart.next_ranks SELECT run_id, protocol, user_id, 1 + rank / 2, 101"
        " FROM mart.user_ranks WHERE split = 'test' AND user_id % 3 > 0"
    )
    warehouse.execute(
        "INSERT INTO mart.next_targets SELECT snapshot_id, user_id, 1, 1, 900, user_id * 9000"
        " FROM core.users"
    )
    bring_up_to_date(warehouse)
    assert len(kept(warehouse, "mart.backtest")) > 10
    assert_naive(warehouse, "mart.backtest")


@pytest.mark.parametrize("seeds", [1, 4])
@pytest.mark.parametrize("changed", [1, 3])
def test_models_that_are_nearly_equal_differ_by_as_much_as_in_the_naive_sql(
    warehouse, seeds, changed
):
    """Of 6,040 users a few have rank 9.5 in place of 10, in the second model's last seed alone."""
    chance, users = np.random.default_rng(0), 6040
    add_snapshot(warehouse, "s", users, chance)
    for seed in range(seeds):
        ranks = random_ranks(chance, users)
        ranks[:, :, :changed] = 10
        add_run(warehouse, f"a{seed}", ranks, model="tisasrec", seed=seed)
        if seed == seeds - 1:
            ranks[:, :, :changed] = 9.5
        add_run(warehouse, f"b{seed}", ranks, seed=seed)
    bring_up_to_date(warehouse)
    rows = kept(warehouse, "mart.significance").filter(metric="ndcg_10", model="sas_fpt")
    step = 1 / math.log2(10.5) - 1 / math.log2(11)
    np.testing.assert_allclose(rows["difference"], step * changed / users / seeds, rtol=1e-9)
    deviation = np.std([step / seeds] * changed + [0] * (users - changed), ddof=1)
    np.testing.assert_allclose(rows["user_error"], deviation / math.sqrt(users), rtol=1e-9)
    assert_naive(warehouse, "mart.significance")


def test_one_for_all_users_has_no_deviation(warehouse):
    """Rank 1 against rank 2 for everybody: squares of sums would leave a deviation of rounding."""
    add_snapshot(warehouse, "s", 1000, np.random.default_rng(0))
    add_run(warehouse, "a", np.full((2, 2, 1000), 1.0))
    add_run(warehouse, "b", np.full((2, 2, 1000), 2.0), model="tisasrec")
    bring_up_to_date(warehouse)
    rows = kept(warehouse, "mart.significance").filter(metric="ndcg_10", model="sas_fpt")
    np.testing.assert_allclose(rows["difference"], 1 - 1 / math.log2(3), atol=1e-12)
    assert rows["user_error"].max() < 1e-15
    assert_naive(warehouse, "mart.significance")


BOUNDS = {
    "history": {
        **{0: "1: under 5", 4: "1: under 5", 5: "2: 5 to 19", 19: "2: 5 to 19"},
        **{20: "3: 20 to 49", 49: "3: 20 to 49", 50: "4: 50 to 199", 199: "4: 50 to 199"},
        **{200: "5: 200 and more", 999: "5: 200 and more"},
    },
    "short_history": {
        **{4: "1: under 5", 5: "2: 5 to 9", 9: "2: 5 to 9", 10: "3: 10 to 19"},
        **{19: "3: 10 to 19", 20: "4: 20 and more", 999: "4: 20 and more"},
    },
    "popularity": {
        **{0: "1: never", 1: "2: under 5", 4: "2: under 5", 5: "3: 5 to 49", 49: "3: 5 to 49"},
        **{50: "4: 50 to 499", 499: "4: 50 to 499", 500: "5: 500 and more", 999: "5: 500 and more"},
    },
    "season": {
        **{1: "1: winter", 9: "1: winter", 10: "2: spring", 22: "2: spring", 23: "3: summer"},
        **{35: "3: summer", 36: "4: autumn", 48: "4: autumn", 49: "1: winter", 52: "1: winter"},
    },
}


@pytest.mark.parametrize("name", BOUNDS)
def test_parts_of_a_slice_end_where_their_names_say(warehouse, name):
    """A user and an item for each number, and another snapshot that must not matter."""
    numbers = list(BOUNDS[name])
    ids = range(1, len(numbers) + 1)
    for snapshot, shift in (("s", 0), ("other", 1)):
        same = {"snapshot_id": [snapshot] * len(numbers), "user_id": ids}
        trained = [0 if name == "season" else number + 7 * shift for number in numbers]
        insert(
            warehouse,
            "core.users",
            same
            | {"raw_user_id": ids, "n_interactions": ids, "time_scale": ids, "n_train": trained},
        )
        items = {
            "item_id": ids,
            "raw_item_id": ids,
            "title": [None] * len(ids),
            "genres": [None] * len(ids),
        }
        insert(
            warehouse,
            "core.items",
            {"snapshot_id": same["snapshot_id"], "n_train": trained} | items,
        )
        weeks = [(number + 20 * shift) if name == "season" else 1 for number in numbers]
        for split in ("train", "valid", "test"):
            rest = {"rating": [4.0] * len(ids), "timestamp": ids, "position": ids, "week": weeks}
            insert(
                warehouse,
                "core.interactions",
                same | rest | {"item_id": ids, "split": [split] * len(ids), "scaled_interval": ids},
            )
    found = warehouse.sql(statements("figures/users"), params=["s"]).pl()
    for split in ("valid", "test"):
        of = found.filter(split=split).sort("user_id")
        assert of[name].to_list() == list(BOUNDS[name].values())
    assert len(found) == 2 * len(numbers)


def test_metrics_of_expected_ranks_by_hand(home, publish):
    """Ranks with a half are of targets that tie with another item."""
    publish("a", [1.0, 2.5, 10.0, 10.5])
    found = ask(
        home,
        "SELECT k, recall, precision, mrr, ndcg FROM mart.metrics"
        " WHERE split = 'test' AND protocol = 'full' ORDER BY k",
    ).rows()
    gains = [1, 1 / math.log2(3.5), 1 / math.log2(11), 1 / math.log2(11.5)]
    assert found == [
        (1, 1 / 4, 1 / 4, pytest.approx(1 / 4), pytest.approx(1 / 4)),
        (5, 2 / 4, 2 / 4 / 5, pytest.approx((1 + 0.4) / 4), pytest.approx(sum(gains[:2]) / 4)),
        (10, 3 / 4, 3 / 4 / 10, pytest.approx(1.5 / 4), pytest.approx(sum(gains[:3]) / 4)),
        (20, 1, 1 / 20, pytest.approx((1.5 + 1 / 10.5) / 4), pytest.approx(sum(gains) / 4)),
    ]
    (board,) = ask(
        home, "SELECT mrr_10, full_mrr_10, mrr_10_sd FROM leaderboard WHERE model <> 'popularity'"
    ).rows()
    assert board == (pytest.approx(1.5 / 4), pytest.approx(1.5 / 4), None)


def test_users_may_stand_in_any_order_in_their_slices():
    ranks = np.array([[1, 3, 50, 10]], np.float32)
    of = figures.Ranks(("run",), np.array([2, 4, 6, 8]), ranks, ranks)
    parts = pa.table({"user_id": [8, 3, 2, 6], "half": ["a", "a", "b", "b"]})
    (a, b) = pl.DataFrame(figures.slices(of, parts)).sort("bucket").rows(named=True)
    assert (a["bucket"], a["n_users"], a["recall_10"]) == ("a", 1, 1.0)
    assert (b["bucket"], b["n_users"], b["recall_10"], b["ndcg_10"]) == ("b", 2, 0.5, 0.5)
    assert (a["mrr_10"], b["mrr_10"]) == (0.1, 0.5)  # of rank 10; of ranks 1 and 50


def test_of_ranks_that_are_known_to_some_place_no_more_is_told():
    """Of the list to place 5 Recall@5 is a fact, and Recall@10 is not; MRR@k is cut at k too."""
    ranks = np.array([[1, 3, np.inf, np.inf], [1, 3, 50, 7]], np.float32)
    among = np.full((2, 4), 101, np.float32)
    of = figures.Ranks(("list", "whole"), np.arange(4), ranks, among, {"list": 5})
    rows = {(row["run_id"], row["k"]): row for row in pl.DataFrame(figures.metrics(of)).to_dicts()}
    known = rows["list", 5]
    assert (known["recall"], known["ndcg"], known["mrr"]) == (
        0.5,
        (1 + 1 / 2) / 4,
        pytest.approx((1 + 1 / 3) / 4),
    )
    assert known["mrr_sd"] is not None
    unknown = rows["list", 10]
    names = ("recall", "ndcg", "mrr", "recall_sd", "ndcg_sd", "mrr_sd")
    assert [unknown[name] for name in names] == [None] * 6
    assert (unknown["n_users"], unknown["least_recall"]) == (4, 0)
    whole = rows["whole", 10]
    assert (whole["recall"], whole["mrr"]) == (0.75, pytest.approx((1 + 1 / 3 + 1 / 7) / 4))
    parts = pa.table({"user_id": [0, 1, 2, 3], "half": ["a", "a", "b", "b"]})
    assert set(figures.slices(of, parts)["run_id"].to_pylist()) == {"whole"}
    wanted = [("list", "list"), ("list", "whole"), ("whole", "whole")]
    assert set(figures.pairs(of, wanted)["run_id"].to_pylist()) == {"whole"}
    longer = figures.Ranks(of.run_ids, of.users, of.ranks, of.candidates, {"list": 20})
    found = figures.slices(longer, parts).to_pylist()
    inverse = {(row["run_id"], row["bucket"]): row["mrr_10"] for row in found}
    assert inverse["list", "a"] == pytest.approx((1 + 1 / 3) / 2)
    assert inverse["list", "b"] == 0
    assert inverse["whole", "b"] == pytest.approx(1 / 7 / 2)
    compared = figures.pairs(longer, wanted).to_pylist()
    by_metric = {(row["metric"], row["run_id"]) for row in compared}
    metrics = ("recall_10", "ndcg_10", "mrr_10")
    assert by_metric == {(metric, run) for metric in metrics for run in ("list", "whole")}


def test_pairs_by_hand():
    ranks = np.array([[1, 3, 50], [3, 3, 10.5], [1, 1, 1]], np.float32)
    found = figures.pairs(figures.Ranks(("a", "b", "c"), np.arange(3), ranks, ranks), [("a", "b")])
    hits, gains, inverse = pl.DataFrame(found).rows(named=True)
    assert (hits["run_id"], hits["other_id"], hits["metric"]) == ("a", "b", "recall_10")
    assert (hits["difference"], hits["squares"], hits["n_users"]) == (0, 0, 3)
    # a has 1, 1/2, 0; b has 1/2, 1/2, 0
    assert gains["difference"] == Decimal("0.5")
    squares = (1 / 2 - 1 / 6) ** 2 + 2 * (1 / 6) ** 2
    assert float(gains["squares"]) == pytest.approx(squares, rel=1e-15)
    # a has 1, 1/3, 0; b has 1/3, 1/3, 0
    assert inverse["metric"] == "mrr_10"
    assert float(inverse["difference"]) == pytest.approx(2 / 3, abs=1e-12)
    assert float(inverse["squares"]) == pytest.approx(2 / 3 * (2 / 3) ** 2, rel=1e-11)


def test_figures_are_the_same_to_the_bit_alone_and_beside_others():
    chance = np.random.default_rng(3)
    ranks = (chance.integers(2, 40, (30, 997)) / 2).astype(np.float32)
    ids = tuple(f"{number:02}" for number in range(30))
    users = np.arange(1, 998)
    every = figures.Ranks(ids, users, ranks, ranks)
    parts = pa.table({"user_id": users, "half": pa.array(["a", "b"] * 498 + ["a"])})
    wanted = [(one, other) for one in ids for other in ids if one <= other]
    together = [figures.metrics(every), figures.slices(every, parts), figures.pairs(every, wanted)]
    metrics, slices, pairs = (pl.DataFrame(table) for table in together)
    for run in ("00", "17"):
        alone = every.only({run})
        assert pl.DataFrame(figures.metrics(alone)).equals(metrics.filter(run_id=run))
        assert pl.DataFrame(figures.slices(alone, parts)).equals(slices.filter(run_id=run))
    two = pl.DataFrame(figures.pairs(every.only({"00", "17"}), [("00", "17")]))
    assert two.equals(pairs.filter(run_id="00", other_id="17"))


def test_published_one_by_one_or_at_once_the_figures_are_the_same(warehouse):
    fill(warehouse, 11, 40, 3)
    bring_up_to_date(warehouse)
    at_once = everything(warehouse)
    for table in ("run_metrics", "run_slices", "run_pairs"):
        warehouse.execute(f"DELETE FROM mart.{table}")
    runs = warehouse.execute("FROM mart.training_runs ORDER BY finished_at, run_id").fetchall()
    warehouse.execute("DELETE FROM mart.training_runs")
    for row in runs:
        marks = ", ".join("?" * len(row))
        warehouse.execute(f"INSERT INTO mart.training_runs VALUES ({marks})", row)
        add_figures(warehouse, [row[0]])
    assert everything(warehouse) == at_once
    add_figures(warehouse, [row[0] for row in runs[:3]])  # again replaces
    assert everything(warehouse) == at_once
    bring_up_to_date(warehouse)
    assert everything(warehouse) == at_once


def everything(connection: duckdb.DuckDBPyConnection) -> list[list[tuple]]:
    return [
        connection.execute(f"FROM mart.{table} ORDER BY ALL").fetchall()
        for table in ("run_metrics", "run_slices", "run_pairs")
    ]


def test_a_training_that_was_replaced_is_compared_again_when_its_successor_goes(warehouse):
    chance = np.random.default_rng(2)
    add_snapshot(warehouse, "s", 20, chance)
    add_run(warehouse, "old", random_ranks(chance, 20), day=1)
    add_run(warehouse, "other", random_ranks(chance, 20), model="tisasrec")
    bring_up_to_date(warehouse)
    before = everything(warehouse)
    add_run(warehouse, "new", random_ranks(chance, 20), day=2)
    add_figures(warehouse, ["new"])
    assert_naive(warehouse)
    ids = "SELECT DISTINCT run_id FROM mart.{} ORDER BY 1"
    assert warehouse.execute(ids.format("run_pairs")).fetchall() == [("new",), ("other",)]
    assert len(warehouse.execute(ids.format("run_metrics")).fetchall()) == 3
    for table in ("training_runs", "user_ranks"):
        warehouse.execute(f"DELETE FROM mart.{table} WHERE run_id = 'new'")
    bring_up_to_date(warehouse)
    assert everything(warehouse) == before
    assert_naive(warehouse)


def test_failed_trainings_have_no_figures(warehouse):
    chance = np.random.default_rng(2)
    add_snapshot(warehouse, "s", 20, chance)
    add_run(warehouse, "good", random_ranks(chance, 20))
    add_run(warehouse, "bad", random_ranks(chance, 20), model="tisasrec", status="failed")
    bring_up_to_date(warehouse)
    assert {row[0] for rows in everything(warehouse) for row in rows} == {"good"}
    assert_naive(warehouse)
    warehouse.execute("UPDATE mart.training_runs SET status = 'failed'")
    for view in ("mart.metrics", "mart.slices", "mart.significance"):
        assert kept(warehouse, view).is_empty()
    bring_up_to_date(warehouse)
    assert everything(warehouse) == [[], [], []]


def test_other_users_are_refused(warehouse):
    chance = np.random.default_rng(2)
    add_snapshot(warehouse, "s", 20, chance)
    add_run(warehouse, "a", random_ranks(chance, 20))
    add_run(warehouse, "b", random_ranks(chance, 19), model="tisasrec")
    with pytest.raises(RefusedError, match=r"same users: got user 20 0 times in training b"):
        bring_up_to_date(warehouse)


def test_a_user_who_is_ranked_twice_is_refused():
    rows = pa.table({"place": [0, 0, 0], "user_id": [1, 2, 2], "rank": [1.0, 2.0, 3.0]})
    with pytest.raises(RefusedError, match="user 2 2 times in training run"):
        figures.arrange(["run"], rows)


def test_figures_of_other_code_are_made_again(home, publish):
    publish("a", [1.0, 2.5, 10.0, 10.5])
    with writing(home) as connection:
        before = everything(connection)
        connection.execute("UPDATE mart.run_metrics SET ndcg = 0")
        connection.execute("UPDATE mart.figures_version SET version = 'older'")
        connection.execute("UPDATE mart.catalogue SET version = 'older'")
    with reading(home) as connection:
        assert everything(connection) == before


def test_a_home_of_before_figures_gets_them(home, publish):
    publish("a", [1.0, 2.5, 10.0, 10.5])
    with writing(home) as connection:
        before = everything(connection)
        for table in ("figures_version", "run_metrics", "run_slices", "run_pairs"):
            connection.execute(f"DROP TABLE mart.{table}")
        connection.execute("UPDATE mart.catalogue SET version = 'older'")
    with reading(home) as connection:
        assert everything(connection) == before


def test_every_file_that_defines_figures_counts():
    names = {path.name for path in figure_files()}
    assert {"figures.py", "ranks.sql", "users.sql", "runs.sql", "pairs.sql"} <= names
    assert all(path.exists() for path in figure_files())
