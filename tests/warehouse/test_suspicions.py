"""Suspicions of trainings: kept with each, shown wherever it is, silent once accepted."""

import json
import math
from dataclasses import replace
from datetime import datetime

import polars as pl
import pytest

from warehouse.following import publication
from warehouse.identity import sha256_of
from warehouse.publishing import publish_runs, store_outcomes
from warehouse.questions import ask
from warehouse.saved_queries import sql_of
from warehouse.suspicions import accept, store_warnings
from warehouse.watching import failed_audits

LONG_AGO = datetime(2020, 1, 1)
OUTCOME = {
    "table_name": "mart.user_ranks",
    "expectation": "not everybody first",
    "severity": "warning",
    "success": False,
    "observed": None,
    "unexpected_count": 1,
    "reason": "Nobody predicts everybody.",
    "sample": [],
}


def row(run_id: str, split: str = "test", protocol: str = "uniform_100", **more: object) -> dict:
    return {"run_id": run_id, "split": split, "protocol": protocol, "users": 60, **more}


@pytest.fixture
def suspect(home):
    """An audit that suspects something of trainings."""

    def go(found: dict[str, list[dict]], accepted: tuple[str, ...] = ()) -> str:
        outcomes = [OUTCOME | {"name": name} for name in found]
        audit_id = store_outcomes(home, outcomes, snapshot_id="s")
        run_ids = sorted({one["run_id"] for rows in found.values() for one in rows})
        store_warnings(home, audit_id, run_ids, ["valid", "test"], found, accepted)
        return audit_id

    return go


@pytest.fixture
def board(home):
    """Warnings of the leaderboard on test, by protocol and cut-off."""

    def go() -> dict[tuple[str, int], str | None]:
        question = (
            "SELECT protocol, k, warnings FROM mart.leaderboard "
            "WHERE split = 'test' AND model = 'sas_fpt'"
        )
        return {(protocol, k): said for protocol, k, said in ask(home, question).rows()}

    return go


def test_a_mark_stands_at_the_figures_it_concerns(publish, suspect, board):
    """A cut-off's at that figure; what is suspected of the training, on validation, at all."""
    publish("a", [1.0, 2.0])
    publish("b", [1.0, 2.0], model="sasrec")
    suspect({"few-candidates": [row("a", k=k) for k in (10, 20)]})
    plain = {(protocol, k): None for protocol in ("uniform_100", "full") for k in (1, 5, 10, 20)}
    few = {("uniform_100", k): "few-candidates" for k in (10, 20)}
    assert board() == plain | few
    suspect({"too-good": [row("a", split="valid")]})
    assert board() == dict.fromkeys(plain, "too-good")


def test_acceptance_is_shown_once_every_seed_has_it(home, publish, suspect, board):
    publish("a", [1.0, 2.0])
    publish("b", [1.0, 2.0], seed=1)
    suspect({"too-good": [row("a"), row("b")]})
    assert accept(home, ["a"], ["too-good", "few-candidates"]) == ["too-good"]
    assert board()["uniform_100", 1] == "too-good"
    assert accept(home, ["a", "b"], ["too-good"]) == ["too-good"]
    assert board()["uniform_100", 1] == "too-good (accepted)"


def test_nothing_to_accept_writes_nothing(home, publish, suspect):
    publish("a", [1.0])
    suspect({"too-good": [row("a")]})
    before = publication(home)
    assert accept(home, ["a"], ["below-chance"]) == []
    assert accept(home, ["other"], ["too-good"]) == []
    assert publication(home) == before


def test_an_alarm_is_for_what_nobody_accepted(home, suspect):
    suspect({"too-good": [row("a")], "below-chance": [row("a")]}, accepted=("too-good",))
    suspect({"few-candidates": [row("b", k=10), row("c", k=10)]})
    assert len(failed_audits(home, LONG_AGO)) == 2  # below-chance of a; few-candidates of b and c
    accept(home, ["a", "b"], ["below-chance", "few-candidates"])
    assert len(failed_audits(home, LONG_AGO)) == 1  # c's is not accepted
    accept(home, ["c"], ["few-candidates"])
    assert failed_audits(home, LONG_AGO) == []


def test_what_is_exact_has_no_name_and_always_an_alarm(home):
    store_outcomes(home, [OUTCOME, OUTCOME | {"severity": "critical"}], snapshot_id="s")
    assert {one["severity"] for one in failed_audits(home, LONG_AGO)} == {"critical", "warning"}


def test_a_later_audit_replaces_what_an_earlier_one_suspected(home, publish, suspect, board):
    publish("a", [1.0])
    suspect({"too-good": [row("a")]})
    suspect({"below-chance": [row("a")]})
    assert board()["uniform_100", 1] == "below-chance"
    store_warnings(home, "x", ["a"], ["next"], {}, [])  # of a backtest: leaves these alone
    assert board()["uniform_100", 1] == "below-chance"


def test_every_table_of_runs_shows_the_mark(home, publish, suspect):
    publish("a", [1.0, 2.0])
    suspect({"too-good": [row("a", users=60)]}, accepted=("too-good",))
    for name in ("leaderboard", "seeds", "lineage"):
        found = ask(home, sql_of(name)).rows(named=True)
        assert "too-good (accepted)" in {one["warnings"] for one in found}, name
    (one,) = ask(home, sql_of("warnings")).rows(named=True)
    assert (one["name"], one["accepted"]) == ("too-good", True)
    assert json.loads(one["seen"]) == {"users": 60}


def test_figures_that_hold_whatever_the_model_are_told_for_each_k(
    home, make_run, published_snapshot, tmp_path
):
    """The last of two candidates, of seven and of 101."""
    run = make_run("few", published_snapshot.snapshot_id, [2.0, 7.0, 101.0])
    ranks = tmp_path / "few.parquet"
    counts = pl.col("rank").cast(pl.Int32).alias("n_candidates")
    pl.read_parquet(run.ranks).with_columns(counts).write_parquet(ranks)
    (tmp_path / "few.parquet.sha256").write_text(f"{sha256_of(ranks)}  few.parquet\n")
    publish_runs(home, [replace(run, ranks=ranks)])
    question = (
        "SELECT k, least_recall, least_ndcg FROM mart.metrics "
        "WHERE split = 'test' AND protocol = 'full' ORDER BY k"
    )
    two, seven = 1 / math.log2(3), 1 / 3  # 1 / log2(8)
    rows = ask(home, question).rows()
    assert rows == [
        (1, 0, 0),
        (5, pytest.approx(1 / 3), pytest.approx(two / 3)),
        (10, pytest.approx(2 / 3), pytest.approx((two + seven) / 3)),
        (20, pytest.approx(2 / 3), pytest.approx((two + seven) / 3)),
    ]
