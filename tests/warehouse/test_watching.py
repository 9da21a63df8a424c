"""What the monitoring asks: rows made by hand, answers worked out by hand."""

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from warehouse.catalogue import writing
from warehouse.home import Home
from warehouse.run_figures import bring_up_to_date
from warehouse.watching import failed_audits, freshness, outlier_metrics

NOON = datetime(2026, 3, 1, 12)
LONG_AGO = datetime(2020, 1, 1)
UNIFORM = pl.DataFrame({"split": ["test"], "protocol": ["uniform_100"], "n_candidates": [101]})


@pytest.fixture
def home(tmp_path) -> Home:
    home = Home.at(tmp_path / "home")
    with writing(home) as connection:
        connection.execute(
            "INSERT INTO raw.loads VALUES ('l', 'ml-1m', 's', 'x', true, ?, 1, 1, 1, 1)", [NOON]
        )
        for name, day in {"s": None, "past": date(2000, 6, 13)}.items():
            connection.execute(
                "INSERT INTO core.snapshots VALUES"
                " (?, 'l', '5-core', 1, 1, 1, 0, 'p', 'x', ?, ?, 1, 'first')",
                [name, NOON, day],
            )
    return home


@pytest.fixture
def train(home, store_frames):
    """A training an hour, each with one user and that rank: its NDCG is 1 / log2(rank + 1)."""

    def go(ranks: list[float], *, model: str = "sas_fpt", snapshot: str = "s") -> None:
        names = [f"{model} {snapshot} {place}" for place in range(len(ranks))]
        frames = {
            ("mart.user_ranks", run_id): UNIFORM.with_columns(user_id=1, rank=rank)
            for run_id, rank in zip(names, ranks, strict=True)
        }
        store_frames(frames)
        with writing(home) as connection:
            for place, run_id in enumerate(names):
                at = NOON + timedelta(hours=place)
                connection.execute(
                    "INSERT INTO mart.training_runs SELECT $1, $2, $3, 'quick', $4, '{}', 'cpu',"
                    " 'c', '{}', $5, $5, 1, 1, 'x', 'published', NULL, publication"
                    " FROM mart.catalogue",
                    [run_id, snapshot, model, place, at],
                )
            bring_up_to_date(connection)

    return go


def odd(home: Home, since: datetime = LONG_AGO) -> list[str]:
    return [row["run_id"] for row in outlier_metrics(home, since)]


def test_a_metric_far_from_its_history_is_found(home, train):
    """NDCG of rank 1 is 1, of rank 3 is 1 / 2."""
    train([1, 1, 1, 1, 1, 3])
    (row,) = outlier_metrics(home, LONG_AGO)
    assert row["run_id"] == "sas_fpt s 5"
    assert (row["ndcg_10"], row["usual"], row["spread"], row["n_earlier"]) == (0.5, 1.0, 0.0, 5)
    assert (row["model"], row["dataset"], row["retention"]) == ("SAS-FPT", "ml-1m", "5-core")


def test_five_earlier_ones_make_a_history_and_four_do_not(home, train):
    train([1, 1, 1, 1, 3])
    assert odd(home) == []


def test_what_varies_may_vary(home, train):
    """Three times 1 and twice 1/2: mean .8, deviation .27; five of them reach below 0."""
    train([1, 3, 1, 3, 1, 9])
    assert odd(home) == []


def test_a_hundredth_of_the_mean_is_never_odd(home, train):
    """Rank 1.01 gives 1 / log2(2.01) = .9928, less than 1 % off; rank 1.1 gives .9343."""
    train([1, 1, 1, 1, 1, 1.01])
    assert odd(home) == []
    train([1, 1, 1, 1, 1, 1.1], model="sasrec")
    assert odd(home) == ["sasrec s 5"]


def test_models_have_histories_of_their_own(home, train):
    train([1, 1, 1, 1, 1])
    train([3, 3, 3, 3, 3], model="sasrec")
    assert odd(home) == []


def test_a_past_day_has_a_history_of_its_own(home, train):
    train([1, 1, 1, 1, 1])
    train([3, 3, 3, 3, 3], snapshot="past")
    assert odd(home) == []


def test_what_is_old_is_not_told_again(home, train):
    train([1, 1, 1, 1, 1, 3])
    assert odd(home, NOON + timedelta(hours=4)) == ["sas_fpt s 5"]
    assert odd(home, NOON + timedelta(hours=5)) == []


def test_failed_audits_of_weight_are_found(home):
    with writing(home) as connection:
        for name, severity, success in (
            ("held", "critical", True),
            ("for reading", "info", False),
            ("warns", "warning", False),
            ("stops", "critical", False),
        ):
            connection.execute(
                "INSERT INTO mart.validation_results VALUES "
                "('a', 't', ?, ?, ?, NULL, 2, '[]', 'why', 'l', NULL, NULL, ?, NULL)",
                [name, severity, success, NOON],
            )
    found = [(row["expectation"], row["checked"]) for row in failed_audits(home, LONG_AGO)]
    assert found == [("stops", "l"), ("warns", "l")]
    assert failed_audits(home, NOON) == []


def test_ages_are_those_of_the_newest(home, train):
    assert freshness(home) == [{"dataset": "ml-1m", "landed_at": NOON, "trained_at": None}]
    train([1, 1])
    (row,) = freshness(home)
    assert row["trained_at"] == NOON + timedelta(hours=1)
