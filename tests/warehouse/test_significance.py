"""A beats B, by how much, with which interval: paired over users, over seeds of both."""

import math

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from warehouse.catalogue import writing
from warehouse.publishing import publish_runs
from warehouse.questions import ask
from warehouse.run_figures import bring_up_to_date

HIT, MISS = 1.0, 50.0


@pytest.fixture
def publish_seeds(home, make_run, published_snapshot):
    """Publish a training for each seed's list of hits, by user."""
    snapshot_id = published_snapshot.snapshot_id

    def go(model: str, *seeds: list[int], **changes) -> None:
        ranks = [[HIT if hit else MISS for hit in hits] for hits in seeds]
        runs = [
            make_run(f"{model}-{seed}", snapshot_id, own, model=model, seed=seed, **changes)
            for seed, own in enumerate(ranks)
        ]
        publish_runs(home, runs)

    return go


@pytest.fixture
def compare(home):
    """SAS-FPT against TiSASRec on test, full, recall@10."""

    def go(view: str = "significance") -> dict:
        return ask(
            home,
            f"SELECT * FROM mart.{view} WHERE model = 'sas_fpt' AND baseline = 'tisasrec'"
            " AND split = 'test' AND protocol = 'full' AND metric = 'recall_10'",
        ).row(0, named=True)

    return go


def test_by_hand(publish_seeds, compare):
    publish_seeds("sas_fpt", [1, 1, 1, 0], [1, 0, 0, 0])
    publish_seeds("tisasrec", [1, 0, 0, 0], [0, 0, 1, 0])
    row = compare()
    # users: means over seeds 1, .5, .5, 0 less .5, 0, .5, 0, hence .5, .5, 0, 0
    assert row["difference"] == pytest.approx(0.25)
    users = 4 * 0.25**2 / 3 / 4
    assert row["user_error"] == pytest.approx(math.sqrt(users))
    # SAS-FPT's seeds .75 and .25 spread by 1/8, its users by 0, 1/2, 1/2, 0, on average by 1/4:
    # (1/4 - 1/8) / 3 of the 1/8 is theirs, and the mean of two seeds has half of the rest.
    # TiSASRec's seeds are alike.
    seeds = (1 / 8 - (1 / 4 - 1 / 8) / 3) / 2
    assert row["seed_error"] == pytest.approx(math.sqrt(seeds))
    assert row["standard_error"] == pytest.approx(math.sqrt(users + seeds))
    freedom = (users + seeds) ** 2 / (users**2 / 3 + seeds**2 / 1)
    assert freedom == pytest.approx(2.077, abs=0.001)
    students = 4.15  # its quantile there
    assert row["high"] - 0.25 == pytest.approx(students * row["standard_error"], rel=0.03)
    assert row["low"] == pytest.approx(2 * 0.25 - row["high"])
    assert (row["verdict"], row["n_users"], row["n_seeds"]) == ("undecided", 4, 2)


def of_pair(home, model: str, baseline: str) -> dict:
    """On test, full, recall@10."""
    return ask(
        home,
        f"SELECT * FROM mart.significance WHERE model = '{model}' AND baseline = '{baseline}'"
        " AND split = 'test' AND protocol = 'full' AND metric = 'recall_10'",
    ).row(0, named=True)


def test_the_seed_of_a_simple_model_is_all_there_is(home, publish_seeds):
    publish_seeds("sas_fpt", [1, 1, 1, 0], [1, 0, 0, 0])
    publish_seeds("ridge", [1, 0, 0, 0])
    publish_seeds("ease", [1, 1, 0, 0])
    row = of_pair(home, "sas_fpt", "ridge")
    assert row["difference"] == pytest.approx(0.25)  # 1, .5, .5, 0 less 1, 0, 0, 0
    # SAS-FPT's alone, as in `test_by_hand`
    assert row["seed_error"] == pytest.approx(math.sqrt((1 / 8 - (1 / 4 - 1 / 8) / 3) / 2))
    assert row["n_seeds"] == 2
    simple = of_pair(home, "ridge", "ease")
    assert (simple["seed_error"], simple["n_seeds"]) == (0, 1)


def test_the_simple_model_to_beat_is_the_best_on_validation(home, publish_seeds):
    publish_seeds("sas_fpt", [1, 1, 1, 0])
    publish_seeds("ridge", [1, 0, 0, 0])
    publish_seeds("ease", [1, 1, 0, 0])
    publish_seeds("sasrec", [1, 1, 1, 1])  # better, but not simple
    told = ask(home, "SELECT DISTINCT baseline, best_simple FROM mart.significance ORDER BY ALL")
    assert told.rows() == [
        ("ease", True), ("ridge", False), ("sas_fpt", False), ("sasrec", False)
    ]  # fmt: skip


@pytest.mark.parametrize(("users", "quantile"), [(5, 2.7764), (9, 2.3060), (31, 2.0423)])
def test_with_one_seed_the_interval_is_students_over_users(publish_seeds, compare, users, quantile):
    publish_seeds("sas_fpt", [1, 0, *[1] * (users - 2)])
    publish_seeds("tisasrec", [0, 1, *[0] * (users - 2)])
    row = compare()
    deviation = np.std([1, -1, *[1] * (users - 2)], ddof=1)
    assert row["standard_error"] == pytest.approx(deviation / math.sqrt(users))
    assert row["high"] - row["difference"] == pytest.approx(
        quantile * row["standard_error"], rel=4e-3
    )
    assert row["seed_error"] is None
    assert row["verdict"] == ("better" if row["low"] > 0 else "undecided")


def test_the_users_error_is_that_of_a_paired_bootstrap(publish_seeds, compare):
    chance = np.random.default_rng(0)
    ease = chance.random(300)
    ours, theirs = (chance.random((2, 3, 300)) < ease).astype(int)
    publish_seeds("sas_fpt", *ours.tolist())
    publish_seeds("tisasrec", *theirs.tolist())
    differences = (ours - theirs).mean(0)
    drawn = [chance.choice(differences, 300).mean() for _ in range(4000)]
    assert compare()["user_error"] == pytest.approx(np.std(drawn), rel=0.04)


@pytest.mark.parametrize("seed_effect", [0.0, 0.03])
def test_the_interval_covers_the_truth_in_19_of_20_worlds(home, published_snapshot, seed_effect):
    """Each preset is a world of its own: users who differ, and seeds that do, or don't."""
    worlds, seeds, users, truth = 300, 5, 200, 0.05
    chance = np.random.default_rng(1)
    ease = chance.uniform(0.2, 0.8, (worlds, 1, 1, users))
    luck = seed_effect * chance.normal(size=(worlds, 2, seeds, 1))
    better = np.array([0.0, truth])[:, None, None]
    hits = chance.random((worlds, 2, seeds, users)) < ease + luck + better
    runs = pl.DataFrame(
        list(np.ndindex(worlds, 2, seeds)), ["world", "model", "seed"], orient="row"
    ).with_columns(run=pl.format("{} {} {}", "world", "model", "seed"))
    ranks = pl.DataFrame(
        {
            "run": np.repeat(runs["run"], users),
            "user": np.tile(range(1, users + 1), len(runs)),
            "rank": np.where(hits, HIT, MISS).reshape(-1),
        }
    )
    with writing(home) as connection:
        insert(connection, published_snapshot.snapshot_id, runs.to_arrow(), ranks.to_arrow())
        bring_up_to_date(connection)
    found = ask(
        home,
        "SELECT difference, low, high, standard_error FROM mart.significance"
        " WHERE model = 'sas_fpt' AND metric = 'recall_10'",
    )
    assert len(found) == worlds
    covered = ((found["low"] <= truth) & (truth <= found["high"])).mean()
    assert 0.92 < covered < 0.98
    errors = math.sqrt((found["standard_error"] ** 2).mean())
    assert errors == pytest.approx(found["difference"].std(), rel=0.12)


def insert(connection, snapshot_id: str, runs: pa.Table, ranks: pa.Table) -> None:
    """The ranks as a table in place of its view: of so many trainings, files take minutes."""
    connection.register("runs", runs)
    connection.register("ranks", ranks)
    connection.execute("DROP VIEW mart.user_ranks")
    connection.execute(
        "CREATE TABLE mart.user_ranks AS SELECT run AS run_id, 'test' AS split,"
        " 'full' AS protocol, \"user\"::INTEGER AS user_id, rank::FLOAT AS rank,"
        " 101 AS n_candidates FROM ranks"
    )
    connection.execute(
        "INSERT INTO mart.training_runs SELECT run, $1, ['tisasrec', 'sas_fpt'][model + 1], world,"
        " seed, '{}', 'cpu', 'c0de', '{}', TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-01', 1, 1,"
        " 'abc', 'published', NULL, 1 FROM runs",
        [snapshot_id],
    )
    connection.unregister("runs")
    connection.unregister("ranks")


def test_equal_models_are_undecided(publish_seeds, compare):
    publish_seeds("sas_fpt", [1, 0, 1, 0], [1, 0, 1, 0])
    publish_seeds("tisasrec", [1, 0, 1, 0], [1, 0, 1, 0])
    row = compare()
    assert (row["difference"], row["low"], row["high"]) == (0, 0, 0)
    assert row["verdict"] == "undecided"


def test_presets_are_not_mixed(publish_seeds, compare):
    publish_seeds("sas_fpt", [1, 1, 1, 0], preset="paper")
    publish_seeds("tisasrec", [0, 0, 0, 0], preset="paper")
    publish_seeds("tisasrec_plus", [0, 0, 0, 0], preset="best")
    row = compare()
    assert (row["preset"], row["difference"]) == ("paper", 0.75)


def test_the_ladder_has_its_rungs_beside_the_papers_differences(home, publish_seeds, compare):
    for model in ("sasrec", "tisasrec", "tisasrec_plus", "tisasrec_plus_plus", "sas_fpt"):
        publish_seeds(model, [1, 1, 1, 0])
    assert compare("ladder")["paper_difference"] is None  # of the full ranking it prints none
    rows = ask(
        home,
        "SELECT model, baseline, paper_difference FROM mart.ladder WHERE split = 'test'"
        " AND protocol = 'uniform_100' AND metric = 'ndcg_10' ORDER BY model, baseline",
    ).rows()
    assert [row[:2] for row in rows] == [
        ("sas_fpt", "tisasrec"),
        ("sas_fpt", "tisasrec_plus_plus"),
        ("tisasrec", "sasrec"),
        ("tisasrec_plus", "tisasrec"),
        ("tisasrec_plus_plus", "tisasrec_plus"),
    ]
    assert [row[2] for row in rows] == [pytest.approx(0.5778 - 0.5645), None, None, None, None]


def test_one_user_has_no_interval(publish_seeds, compare):
    publish_seeds("sas_fpt", [1])
    publish_seeds("tisasrec", [0])
    row = compare()
    assert (row["difference"], row["low"], row["verdict"]) == (1.0, None, "undecided")
