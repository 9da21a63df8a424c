"""mart.slices by hand: who is in which part, and what it scores."""

import math

import pytest

from warehouse.publishing import publish_runs
from warehouse.questions import ask

JUNE = 962_000_000  # the 26th week of 2000
HISTORIES = {
    1: [1, 2, 3],  # trains on one item; the test item 3 is never trained on
    2: [4, 5, 6, 7, 8, 2, 1],  # trains on five; item 1 is trained on by five users
    3: [1, 4, 5, 6, 9, 7],  # trains on four; item 7 is trained on by one user
    4: [1, 4],  # too short to hold anything out
    5: [1],
    6: [1],
}


@pytest.fixture
def slices(home, publish_rows, prepare_load, make_run):
    """Recall, NDCG and users of a slice's parts, for the test ranks 50, 1 and 2."""
    rows = [
        (user, item, JUNE + 60 * place)
        for user, items in HISTORIES.items()
        for place, item in enumerate(items)
    ]
    publish_rows("load", rows)
    snapshot = prepare_load("load", "cold-start")
    publish_runs(home, [make_run("run", snapshot.snapshot_id, [50.0, 1.0, 2.0])])
    question = (
        "SELECT bucket, recall_10, ndcg_10, n_users FROM mart.slices "
        "WHERE split = 'test' AND protocol = 'full' AND slice = ? ORDER BY bucket"
    )
    return lambda name: [
        (bucket, recall, pytest.approx(ndcg), users)
        for bucket, recall, ndcg, users in ask(home, question, [name]).rows()
    ]


def test_by_the_length_of_the_training_history(slices):
    second = 1 / math.log2(3)
    assert slices("history") == [("1: under 5", 0.5, second / 2, 2), ("2: 5 to 19", 1.0, 1.0, 1)]


def test_by_how_often_training_saw_the_item(slices):
    assert slices("popularity") == [
        ("1: never", 0.0, 0.0, 1),
        ("2: under 5", 1.0, 1 / math.log2(3), 1),
        ("3: 5 to 49", 1.0, 1.0, 1),
    ]


def test_by_season(slices):
    assert slices("season") == [("3: summer", 2 / 3, (1 + 1 / math.log2(3)) / 3, 3)]


def test_the_inverse_rank_by_part(slices, home):
    slices("season")  # publishes
    question = (
        "SELECT mrr_10 FROM mart.slices WHERE protocol = 'full' AND split = 'test' AND slice = ?"
    )
    (season,) = ask(home, question, ["season"])["mrr_10"]
    assert season == pytest.approx((0 + 1 + 1 / 2) / 3)
    assert sorted(ask(home, question, ["history"])["mrr_10"]) == pytest.approx([1 / 4, 1])
