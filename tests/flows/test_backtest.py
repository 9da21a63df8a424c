"""`fpt backtest` and `--as-of` on the small archive, as a user types them."""

import json
from datetime import date

import duckdb
import pytest

from flows.backtest import backtest
from flows.backtest_command import days_between
from warehouse.errors import RefusedError

FIRST = 960_000_000  # 2000-06-03; everybody rates one item every 25 hours


def test_days_are_months_apart():
    assert days_between(date(2000, 1, 15), date(2000, 6, 1), 2) == [
        date(2000, 1, 15),
        date(2000, 3, 15),
        date(2000, 5, 15),
    ]
    with pytest.raises(RefusedError, match="No day to look back from"):
        days_between(date(2000, 6, 1), date(2000, 1, 15), 2)


@pytest.mark.slow
def test_what_came_next_is_ranked_once_and_compared(copy, archive, fpt, lasting):
    words = ["backtest", "--dataset", "ml-1m", "--source", archive, "--retention", "cold-start"]
    words += ["--model", "sas_fpt", "--on", "2000-06-13", "--json"]
    answer = fpt(*words, home=copy, told=lasting)
    assert answer.code == 0, answer.err
    rows = {row["waited"]: row for row in answer.rows}
    assert set(rows) == {"all", "a day and more"}
    # 10 interactions before the day, and the 11th is known to the others of the round
    assert rows["all"]["users"] + rows["all"]["new_items"] == 60
    assert 0 <= rows["all"]["ndcg"] <= 1
    with duckdb.connect(str(copy / "published.duckdb"), read_only=True) as connection:
        known, next_ = connection.execute(
            "SELECT max(timestamp), (SELECT min(timestamp) FROM mart.next_targets) "
            "FROM core.interactions JOIN core.snapshots USING (snapshot_id) "
            "WHERE as_of = DATE '2000-06-13'"
        ).fetchone()
        assert known < 960_854_400 <= next_
        ranked = connection.execute("SELECT count(*) FROM mart.next_ranks").fetchone()[0]
    assert ranked == 2 * rows["all"]["users"]
    again = fpt(*words, home=copy, told=lasting)
    assert json.loads(again.out) == json.loads(answer.out)
    assert "what came next was ranked before" in again.err


def test_plan_and_refusals_know_the_day(finished, archive, fpt):
    home, _ = finished
    words = ("--dataset", "ml-1m", "--source", archive, "--retention", "cold-start", "--json")
    rows = fpt("plan", *words, "--model", "sas_fpt", "--as-of", "2000-06-13", home=home).rows
    assert [(row["what"], row["state"]) for row in rows] == [
        ("ml-1m from small.zip", "done"),
        ("cold-start as of 2000-06-13", "to do"),
        ("sas_fpt seed 0", "to do"),
        ("1 training of 1; what is not training comes on top", "to do"),
    ]
    wrong = fpt("plan", "--as-of", "June", home=home)
    assert wrong.code == 2
    assert "--as-of" in wrong.err
    nothing = fpt("backtest", *words[:-1], home=home)
    assert nothing.code == 2
    assert "No day to look back from. Give --from and --to, or --on" in nothing.err


def test_a_day_after_which_nothing_came_is_refused_before_any_training(prefect, archive, tmp_path):
    """The ratings end on 2000-06-16: the first day could be ranked, the last one can't."""
    home = tmp_path / "home"
    days = [date(2000, 6, 13), date(2000, 7, 1)]
    words = {"dataset": "ml-1m", "source": archive, "retention": "cold-start"}
    with pytest.raises(RefusedError, match=r"on or after 2000-07-01.*Leave 2000-07-01 out"):
        backtest(days, models=["sasrec"], home=home, **words)
    assert not list((home / "runs").iterdir())
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        prepared = connection.execute("SELECT as_of FROM core.snapshots ORDER BY 1").fetchall()
        assert prepared == [(day,) for day in days]
        assert connection.execute("SELECT count(*) FROM mart.backtest").fetchone() == (0,)
