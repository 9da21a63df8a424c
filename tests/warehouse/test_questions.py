"""Reading metrics: right numbers, and no way out of the published tables."""

import math
from datetime import datetime
from pathlib import Path

import pytest

from warehouse.catalogue import reading
from warehouse.errors import RefusedError
from warehouse.kept_catalogues import catalogues
from warehouse.questions import ask


def test_metrics_by_hand(home, publish):
    publish("run", [1.0, 2.5, 10.0, 10.5])
    row = ask(
        home,
        "SELECT * FROM mart.metrics WHERE split = 'test' AND protocol = 'full' AND k = 10",
    ).row(0, named=True)
    assert row["recall"] == pytest.approx(3 / 4)
    assert row["ndcg"] == pytest.approx((1 + 1 / math.log2(3.5) + 1 / math.log2(11)) / 4)
    assert row["mrr"] == pytest.approx((1 + 1 / 2.5 + 1 / 10) / 4)
    assert row["n_users"] == 4
    assert row["display_name"] == "SAS-FPT"
    assert row["data"] == "ml-1m"


def test_leaderboard_is_the_mean_over_seeds(home, publish):
    publish("a", [1.0] * 4, seed=0)
    publish("b", [1.0, 1.0, 50.0, 50.0], seed=1)
    row = ask(
        home,
        "SELECT * FROM mart.leaderboard WHERE split = 'test' AND protocol = 'full' AND k = 1",
    ).row(0, named=True)
    assert row["recall"] == pytest.approx(0.75)
    assert row["recall_sd"] == pytest.approx(math.sqrt(0.125))  # of 1 and 0.5
    assert row["n_seeds"] == 2


def test_paper_gap_is_ours_minus_the_papers(home, publish):
    publish("a", [1.0, 1.0, 50.0, 50.0])
    row = ask(home, "SELECT * FROM mart.paper_gap").row(0, named=True)
    assert (row["model"], row["retention"]) == ("sas_fpt", "cold-start")
    assert row["recall_gap"] == pytest.approx(0.5 - 0.8030)
    assert row["ndcg_gap"] == pytest.approx(0.5 - 0.5778)
    assert row["reached"] is False


def test_a_training_done_again_replaces_the_one_before_in_means(home, publish):
    publish("old", [50.0] * 4, finished_at=datetime(2026, 1, 1))
    publish("new", [1.0] * 4, finished_at=datetime(2026, 1, 2), code_version="0ther")
    question = (
        "SELECT DISTINCT run_id, n_seeds, l.recall FROM mart.leaderboard AS l, mart.latest_runs"
    )
    assert ask(home, question).rows() == [("new", 1, 1.0)]


def test_slices_add_up_to_the_users(home, publish):
    publish("a", [1.0, 2.0, 3.0, 50.0])
    rows = ask(
        home,
        "SELECT slice, sum(n_users)::INT AS n, sum(recall_10 * n_users) / sum(n_users) AS recall"
        " FROM mart.slices WHERE split = 'test' AND protocol = 'full' GROUP BY 1 ORDER BY 1",
    ).rows()
    assert rows == [("history", 4, 0.75), ("popularity", 4, 0.75), ("season", 4, 0.75)]


def test_lineage_reaches_the_archives_checksum(home, publish):
    publish("a", [1.0] * 4)
    row = ask(home, "SELECT load_id, source, source_sha256 FROM mart.lineage").row(0)
    assert row == ("load", "ml-1m.zip", "abc")


def test_every_table_view_and_column_is_documented(home):
    silent = """
        SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL
        UNION ALL SELECT table_name, '' FROM duckdb_tables() WHERE NOT internal AND comment IS NULL
        UNION ALL SELECT view_name, '' FROM duckdb_views() WHERE NOT internal AND comment IS NULL
    """
    with reading(home) as connection:
        assert connection.execute(silent).fetchall() == []
        documented = "SELECT count(*) FROM duckdb_columns() WHERE NOT internal"
        assert connection.execute(documented).fetchone()[0] > 100


def content(home) -> dict[Path, bytes]:
    """Every file that is published."""
    folders = home.catalogue, home.store
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in (*paths, home.published)}


@pytest.mark.parametrize(
    "question",
    ["DROP VIEW mart.models", "DELETE FROM raw.loads", "CREATE TABLE mine AS SELECT 1", "nonsense"],
)
def test_our_own_questions_change_nothing_either(home, publish, question):
    """People's are in test_published and test_answers: those reach no other file besides."""
    publish("a", [1.0] * 4)
    before = content(home)
    with pytest.raises(RefusedError, match="The question was refused"):
        ask(home, question)
    assert content(home) == before


def test_a_question_without_end_is_stopped(home, publish):
    publish("a", [1.0] * 4)
    bomb = "SELECT count(*) FROM range(1000000000) AS a, range(1000000000) AS b"
    with pytest.raises(RefusedError, match="took too long"):
        ask(home, bomb, timeout_seconds=0.5)


def test_before_the_first_run_there_is_a_hint(home):
    with pytest.raises(RefusedError, match="Run `fpt run` first"):
        ask(home, "SELECT 1")


def test_files_are_not_for_everybody(home, publish):
    publish("a", [1.0] * 4)
    stored = list(home.store.rglob("*.parquet"))
    assert stored
    for path in (*catalogues(home), home.published, *stored):
        assert path.stat().st_mode & 0o777 == 0o440, path
    for folder in (home.root, home.catalogue, *home.store.rglob("*/")):
        assert folder.stat().st_mode & 0o777 == 0o750, folder
