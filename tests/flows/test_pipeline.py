"""The whole pipeline by its command line, as a user types it."""

import csv
import io
import json
import math
import os
import time

import duckdb
import numpy as np
import pytest

SAME_IN_SQL = """
    SELECT model, protocol, recall, ndcg, mrr FROM mart.metrics
    WHERE split = 'test' AND k = 10 ORDER BY model, protocol
"""


def published(home, query):
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_a_run_ends_with_its_metrics(finished):
    _, answer = finished
    assert answer.code == 0, answer.err
    assert [row["model"] for row in answer.rows] == ["popularity", "SASRec", "SAS-FPT"]
    for row in answer.rows[1:]:
        assert row["data"] == "ml-1m (unverified: small.zip)"
        assert row["seeds"] == 1
        assert row["paper_recall_10"] == {"SASRec": None, "SAS-FPT": 0.803}[row["model"]]
        assert 0.2 < row["recall_10"] <= 1  # chance is 0.1; the walk round the items is easy


def test_every_step_left_its_rows(finished):
    home, _ = finished
    n_ratings, n_users, n_items = published(
        home, "SELECT n_ratings, n_users, n_items FROM raw.loads"
    )[0]
    assert (n_ratings, n_users) == (840, 60)
    snapshot = published(home, "SELECT n_users, n_items, n_interactions FROM core.snapshots")
    assert snapshot == [(60, n_items, 840)]
    assert published(home, "SELECT count(*) FROM mart.training_runs") == [(2,)]
    assert published(home, "SELECT count(*) FROM mart.user_ranks") == [(2 * 2 * 2 * 60,)]
    audits = published(home, "SELECT count(*), bool_and(success) FROM mart.validation_results")
    assert audits[0][0] > 60
    assert audits[0][1]
    assert published(home, "SELECT count(*) FROM mart.epochs")[0][0] > 0


def naive_rank(scores: np.ndarray, target: int, candidates: list[int]) -> float:
    higher = sum(scores[item] > scores[target] for item in candidates)
    equal = sum(scores[item] == scores[target] for item in candidates)
    return 1 + higher + equal / 2


def test_metrics_in_sql_equal_a_naive_computation_from_scores(finished, forks, tmp_path):
    home, _ = finished
    expected = []
    runs = published(home, "SELECT model, run_id, snapshot_id FROM mart.training_runs ORDER BY 1")
    for model, run_id, snapshot_id in runs:
        scores = saved_scores(forks, home, run_id, snapshot_id, tmp_path / f"{model}.npy")
        ranks = {"full": [], "uniform_100": []}
        for user, target, history, candidates in held_out(home):
            others = set(range(1, scores.shape[1])) - set(history)
            ranks["full"].append(naive_rank(scores[user - 1], target, sorted(others)))
            ranks["uniform_100"].append(naive_rank(scores[user - 1], target, candidates))
        for protocol, found in ranks.items():
            gains = [1 / math.log2(rank + 1) if rank <= 10 else 0 for rank in found]
            expected.append(
                (
                    model,
                    protocol,
                    sum(rank <= 10 for rank in found) / len(found),
                    sum(gains) / len(found),
                    sum(1 / rank if rank <= 10 else 0 for rank in found) / len(found),
                )
            )
    for ours, naive in zip(published(home, SAME_IN_SQL), expected, strict=True):
        assert ours[:2] == naive[:2]
        assert ours[2:] == pytest.approx(naive[2:], abs=1e-12)


def saved_scores(forks, home, run_id, snapshot_id, path) -> np.ndarray:
    """Test scores of all users (rows, by id - 1) and items (columns, by id)."""
    command = ["python", "-m", "fpt_model", "evaluate", "--run", str(home / "runs" / run_id)]
    command += ["--sequences", str(home / "sequences" / f"sequences-{snapshot_id}.parquet")]
    command += ["--output", str(path.with_suffix(".parquet")), "--scores", str(path)]
    assert forks.run(command, os.environ, 120).code == 0
    return np.load(path)


def held_out(home):
    return published(
        home,
        """
        SELECT user_id, any_value(item_id) FILTER (split = 'test'), list(item_id),
               (SELECT item_ids FROM core.candidates AS c
                WHERE c.user_id = i.user_id AND c.split = 'test')
        FROM core.interactions AS i GROUP BY user_id ORDER BY user_id
        """,
    )


def test_a_second_run_does_nothing_and_says_so(finished, archive, fpt):
    home, first = finished
    before = (home / "published.duckdb").read_bytes(), sorted((home / "catalogue").iterdir())
    answer = fpt(
        *("run", "--dataset", "ml-1m", "--source", archive, "--retention", "cold-start"),
        *("--model", "sas_fpt", "--model", "sasrec", "--json"),
        home=home,
    )
    assert answer.code == 0, answer.err
    assert answer.err.lower().count("nothing to do") == 1
    assert answer.rows == first.rows
    after = (home / "published.duckdb").read_bytes(), sorted((home / "catalogue").iterdir())
    assert after == before


def test_plan_says_what_is_done_and_changes_nothing(finished, archive, fpt, tmp_path):
    home, _ = finished
    options = ("--dataset", "ml-1m", "--source", archive, "--retention", "cold-start", "--json")
    rows = fpt("plan", *options, "--model", "sas_fpt", "--seeds", 2, home=home).rows
    assert [(row["step"], row["what"], row["state"]) for row in rows] == [
        ("land", "ml-1m from small.zip", "done"),
        ("prepare", "cold-start", "done"),
        ("train", "sas_fpt seed 0", "done"),
        ("train", "sas_fpt seed 1", "to do"),
        ("total", "1 training of 2; what is not training comes on top", "to do"),
    ]
    assert rows[4]["seconds"] == rows[3]["seconds"]
    assert rows[3]["seconds"] > 0  # from the past run
    nowhere = tmp_path / "nowhere"
    rows = fpt("plan", *options, home=nowhere).rows
    assert {row["state"] for row in rows} == {"to do"}
    assert not nowhere.exists()


def test_another_seed_trains_only_that_seed(copy, archive, fpt, lasting):
    before = set((copy / "runs").iterdir())
    answer = fpt(
        *("run", "--dataset", "ml-1m", "--source", archive, "--retention", "cold-start"),
        *("--model", "sasrec", "--seeds", 2, "--json"),
        home=copy,
        told=lasting,
    )
    assert answer.code == 0, answer.err
    assert len(set((copy / "runs").iterdir()) - before) == 1
    assert {row["model"]: row["seeds"] for row in answer.rows} == {
        **{"popularity": None, "SASRec": 2, "SAS-FPT": 1}
    }


def test_sql_in_every_format(finished, fpt):
    home, _ = finished
    query = "SELECT model, seed FROM mart.training_runs ORDER BY model"
    expected = [{"model": "sas_fpt", "seed": 0}, {"model": "sasrec", "seed": 0}]
    assert json.loads(fpt("sql", query, "--format", "json", home=home).out) == expected
    rows = list(csv.DictReader(io.StringIO(fpt("sql", query, "--format", "csv", home=home).out)))
    assert [row["model"] for row in rows] == ["sas_fpt", "sasrec"]
    assert "sas_fpt" in fpt("sql", query, home=home).out
    assert json.loads(fpt("sql", f"{query} LIMIT 0", "--format", "json", home=home).out) == []


def test_sql_refuses_in_one_clear_line(finished, fpt):
    home, _ = finished
    answer = fpt("sql", "DROP TABLE mart.user_ranks", home=home)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("error: The question was refused")
    assert "Traceback" not in answer.err


def test_records_keep_the_figures_and_no_user(finished, fpt, tmp_path):
    home = finished[0]
    words = ("records", tmp_path / "results", "--dataset", "ml-1m", "--json")
    answer = fpt(*words, "--preset", "quick", home=home)
    assert [row["rows"] for row in answer.rows] == [2, 2, 0]
    runs = json.loads((tmp_path / "results" / "runs.json").read_text())
    question = "SELECT ndcg FROM mart.metrics WHERE split = 'test' AND k = 10 AND protocol = 'full'"
    ndcg = fpt("sql", f"{question} ORDER BY model", "--format", "json", home=home).rows
    assert [row["variant"] for row in runs] == ["sas_fpt", "sasrec"]
    assert [row["full_ndcg_10"] for row in runs] == [round(row["ndcg"], 6) for row in ndcg]
    refused = fpt(*words, "--preset", "paper", home=home)
    assert refused.code == 2
    assert "No training on ml-1m with preset paper is published" in refused.err


def test_doctor_finds_a_finished_home_well(finished, fpt):
    home, _ = finished
    answer = fpt("doctor", "--json", home=home)
    assert answer.code == 0
    states = {row["check"]: row["state"] for row in answer.rows}
    assert states["warehouse"] == states["published"] == states["packages"] == "good"


def test_doctor_finds_a_damaged_warehouse(copy, fpt):
    newest = max((copy / "catalogue").glob("*.duckdb"))
    newest.chmod(0o640)
    newest.write_bytes(b"x" * 5000)
    answer = fpt("doctor", "--json", home=copy)
    assert answer.code == 1
    bad = {row["check"]: row["to do"] for row in answer.rows if row["state"] == "bad"}
    assert "`fpt doctor --mend`" in bad["warehouse"]


def test_a_bad_archive_ends_in_one_clear_error(
    copy, content, fpt, lasting, write_archive, lines, tmp_path
):
    before = content(copy)
    broken = [*lines[:99], "5::abc::3::960000000", *lines[99:]]
    source = write_archive(tmp_path / "broken.zip", broken)
    started = time.monotonic()
    answer = fpt("run", "--dataset", "ml-1m", "--source", source, home=copy, told=lasting)
    assert time.monotonic() - started < 60
    assert answer.code == 2
    assert answer.err.count("error:") == 1
    assert "raw.rejects" in answer.err
    assert "5::abc::3::960000000" in answer.err
    assert "Traceback" not in answer.err
    assert content(copy) == before
    worst = fpt("sql", "worst-audits", "--format", "json", home=copy).rows[0]
    assert (worst["severity"], worst["table_name"]) == ("critical", "raw.rejects")


@pytest.mark.parametrize(
    "options",
    [
        ("--dataset", "ml-2m"),
        ("--model", "gpt"),
        ("--preset", "huge"),
        ("--retention", "6-core"),
        ("--seeds", "0"),
        ("--device", "tpu"),
        ("--nonsense", "1"),
    ],
)
def test_an_unknown_word_is_named(options, fpt, tmp_path):
    answer = fpt("run", *options, home=tmp_path / "home")
    assert answer.code == 2
    # any name may be that of own data: it is the name that nobody knows, not the word
    assert ("got 'ml-2m'" if options[0] == "--dataset" else options[0]) in answer.err
    assert not (tmp_path / "home").exists()
