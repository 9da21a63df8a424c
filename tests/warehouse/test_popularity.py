"""Popularity as a row beside the models: by hand, and against the scorer of the benchmarks."""

import math
import random

import pytest

from warehouse import popularity
from warehouse.catalogue import reading, writing
from warehouse.popularity import popularity_metrics
from warehouse.publishing import publish_runs
from warehouse.questions import ask
from warehouse.run_figures import bring_up_to_date

AT_10 = "FROM mart.popularity_metrics WHERE k = 10 ORDER BY split, protocol"


def test_popularity_by_hand(home, publish_rows, prepare_load):
    """Users 1, 2, 3 train on items 1 2, 1 2, 1 5; test items are 4, 6, 4, validation items 3, 3, 6.

    Items in training: 1 three times, 2 twice, 5 once, 3, 4 and 6 never.
    """
    histories = {1: [1, 2, 3, 4], 2: [1, 2, 3, 6], 3: [1, 5, 6, 4]}
    publish_rows(
        "load", [(u, item, 10 * at) for u, of in histories.items() for at, item in enumerate(of)]
    )
    snapshot = prepare_load("load", "cold-start")
    rows = ask(
        home,
        "SELECT split, k, recall, ndcg, mrr, n_users FROM mart.popularity_metrics "
        "WHERE protocol = 'full' AND k IN (1, 5) ORDER BY split, k",
    ).rows()
    # user 1 on 4 among 5, 6: rank 1 + 1 + 1/2; user 2 on 6 among 4, 5: 2.5; user 3 on 4 among 2, 3:
    # 2.5. The same on validation, but for user 3 on 6, which also loses to 2 and ties with 3.
    gain, share = 1 / math.log2(3.5), 1 / 2.5
    assert rows == [
        (split, k, float(k > 1), pytest.approx(gain * (k > 1)), pytest.approx(share * (k > 1)), 3)
        for split in ("test", "valid")
        for k in (1, 5)
    ]
    assert snapshot.n_items == 6


@pytest.mark.parametrize(("seed", "retention"), [(1, "5-core"), (2, "cold-start")])
def test_it_ranks_as_the_scorer_that_knows_counts_alone(
    home, publish_rows, prepare_load, seed, retention
):
    from fpt_model.data.sequences import load
    from fpt_model.evaluation.popularity import popularity as scorer
    from fpt_model.evaluation.ranks import rank

    rng = random.Random(seed)
    rows = [
        (user, item, 100 * at + user)
        for user in range(1, 61)
        for at, item in enumerate(
            dict.fromkeys(int(150 * rng.random() ** 2) for _ in range(rng.randint(1, 30)))
        )
    ]
    publish_rows("load", rows)
    snapshot = prepare_load("load", retention)
    sequences = load(snapshot.sequences)
    for split in ("valid", "test"):
        found = rank(scorer(sequences), sequences, split, 1)
        for protocol, ranks in found.ranks.items():
            query = (
                "SELECT recall, ndcg, n_users FROM mart.popularity_metrics "
                "WHERE split = ? AND protocol = ? AND k = 10"
            )
            gains = [1 / math.log2(r + 1) if r <= 10 else 0 for r in ranks.tolist()]
            n = len(gains)
            expected = (sum(r <= 10 for r in ranks.tolist()) / n, sum(gains) / n, n)
            assert ask(home, query, [split, protocol]).row(0) == pytest.approx(expected), protocol


def test_a_home_of_before_gets_its_figures_and_a_snapshot_that_goes_takes_them_along(
    home, published_snapshot
):
    before = ask(home, AT_10)
    assert before.height == 4
    with writing(home) as connection:
        connection.execute("DELETE FROM mart.popularity_metrics")
        bring_up_to_date(connection)
    assert ask(home, AT_10).equals(before)
    with writing(home) as connection:
        connection.execute("DELETE FROM core.snapshots")
        bring_up_to_date(connection)
    assert ask(home, AT_10).is_empty()


@pytest.mark.parametrize("rows_a_part", [1, 3, 7])
def test_some_users_after_others_rank_as_all_at_once(
    home, published_snapshot, monkeypatch, rows_a_part
):
    """Four users of five interactions each."""
    with reading(home) as connection:
        whole = popularity_metrics(connection, published_snapshot.snapshot_id)
        monkeypatch.setattr(popularity, "ROWS_A_PART", rows_a_part)
        assert len(list(popularity._ranks(connection, published_snapshot.snapshot_id))) > 1
        assert popularity_metrics(connection, published_snapshot.snapshot_id) == whole


def test_a_snapshot_whose_files_are_gone_has_no_figures(home):
    with reading(home) as connection:
        assert popularity_metrics(connection, "gone") is None


BOARD = "SELECT dataset, retention, preset, model, recall_10, seeds FROM leaderboard ORDER BY ALL"


def test_the_leaderboard_has_a_row_a_model_and_one_for_popularity(
    home, publish, published_snapshot, make_run
):
    publish("a0", [1.0, 1.0, 50.0, 50.0])
    publish("a1", [1.0, 1.0, 1.0, 50.0], seed=1)
    publish("p0", [1.0, 50.0, 50.0, 50.0], preset="paper", model="tisasrec")
    popular = ask(home, f"SELECT recall {AT_10}")["recall"][1]  # test, uniform_100
    row = ("ml-1m", "cold-start")
    assert ask(home, BOARD).rows() == [
        (*row, "paper", "TiSASRec", 0.25, 1),
        (*row, "paper", "popularity", popular, None),
        (*row, "quick", "SAS-FPT", 0.625, 2),
        (*row, "quick", "popularity", popular, None),
    ]
    deviation, full = ask(
        home, "SELECT recall_10_sd, full_recall_10 FROM leaderboard WHERE model = 'SAS-FPT'"
    ).row(0)
    assert (deviation, full) == (pytest.approx(math.sqrt(1 / 32)), 0.625)
    named = ask(home, "SELECT model, counts FROM runs ORDER BY run_id").rows()
    assert named == [("SAS-FPT", True), ("SAS-FPT", True), ("TiSASRec", True)]
    sliced = "SELECT DISTINCT preset, model, seeds FROM slices WHERE slice = 'history' ORDER BY ALL"
    assert ask(home, sliced).rows() == [("paper", "TiSASRec", 1), ("quick", "SAS-FPT", 2)]


def test_the_newest_snapshot_with_a_training_counts(
    home, publish, publish_rows, prepare_load, make_run
):
    publish("old", [1.0] * 4)
    rows = [(user, (user + step) % 7 + 1, 10 * step) for user in range(1, 5) for step in range(5)]
    publish_rows("other", rows)
    newer = prepare_load("other", "cold-start")
    board = "SELECT DISTINCT snapshot_id FROM leaderboard"
    assert ask(home, board).item() != newer.snapshot_id  # nothing is trained on it
    publish_runs(home, [make_run("new", newer.snapshot_id, [50.0] * 4, model="tisasrec")])
    assert ask(home, board).item() == newer.snapshot_id
    assert ask(home, "SELECT model FROM leaderboard ORDER BY 1").to_series().to_list() == [
        *("TiSASRec", "popularity")
    ]
    counts = ask(home, "SELECT run_id, counts FROM runs ORDER BY run_id").rows()
    assert counts == [("new", True), ("old", False)]
