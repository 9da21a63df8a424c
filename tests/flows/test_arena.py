"""`fpt import-scores` and `fpt export-ranks`, as a user types them."""

import duckdb
import numpy as np
import polars as pl
import pytest
import torch

from fpt_model.training.ranking import rank_run

SAME = """
    SELECT
        mine.split, mine.protocol, count(*),
        count(*) FILTER (mine.rank = ours.rank AND mine.n_candidates = ours.n_candidates)
    FROM mart.user_ranks AS mine JOIN mart.user_ranks AS ours USING (split, protocol, user_id)
    WHERE mine.run_id = ? AND ours.run_id = ? GROUP BY ALL ORDER BY ALL
"""


def published(home, query, *parameters):
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        return connection.execute(query, list(parameters)).fetchall()


def scores_of(home, run_id, folder) -> pl.DataFrame:
    """A training's own scores of every item, in the archive's ids."""
    sequences = next(home.glob("sequences/sequences-*.parquet"))
    path = folder / "scores.npy"
    rank_run(sequences, home / "runs" / run_id, folder / "ranks", torch.device("cpu"), path)
    scores = np.load(path)[:, 1:]
    users = dict(published(home, "SELECT user_id, raw_user_id FROM core.users"))
    items = dict(published(home, "SELECT item_id, raw_item_id FROM core.items"))
    n_users, n_items = scores.shape
    frame = pl.DataFrame(
        {
            "user": np.repeat([users[row + 1] for row in range(n_users)], n_items),
            "item": np.tile([items[row + 1] for row in range(n_items)], n_users),
            "score": scores.ravel(),
        }
    )
    return frame.filter(pl.col("score").is_not_nan())


@pytest.mark.slow
def test_our_own_scores_come_back_as_our_own_ranks(copy, fpt, lasting, tmp_path):
    (run_id,) = published(copy, "SELECT run_id FROM mart.training_runs WHERE model = 'sas_fpt'")[0]
    frame = scores_of(copy, run_id, tmp_path)
    file = tmp_path / "ours.parquet"
    frame.write_parquet(file)
    words = ("import-scores", file, "--name", "ours again", "--json")
    answer = fpt(*words, home=copy, told=lasting)
    assert answer.code == 0, answer.err
    assert "scores of all items (as the file tells), 8,400 rows, 60 held-out items" in answer.err
    assert "its owner must promise that no held-out item" in answer.err
    rows = {row["protocol"]: row for row in answer.rows}
    query = "SELECT protocol, recall, ndcg, mrr FROM mart.metrics WHERE run_id = ? "
    ours = published(copy, query + "AND split = 'test' AND k = 10", run_id)
    for protocol, *figures in ours:
        row = rows[protocol]
        assert [row["recall"], row["ndcg"], row["mrr"]] == [round(one, 4) for one in figures]
        assert (row["model"], row["warnings"]) == ("ours again (imported)", "training-unknown")
    mine = rows["full"]["run_id"]
    assert published(copy, SAME, mine, run_id) == [
        ("test", "full", 60, 60),
        ("test", "uniform_100", 60, 60),
    ]
    audited = "SELECT count(*) FROM mart.validation_results WHERE table_name = 'mart.user_ranks'"
    before = published(copy, audited)

    again = fpt(*words, home=copy, told=lasting)
    assert again.rows == answer.rows
    assert "ours again: unchanged, imported before" in again.err
    assert published(copy, audited) == before

    report = fpt("report", "--output", tmp_path / "report.html", home=copy)
    assert report.code == 0, report.err
    assert "ours again (imported)" in (tmp_path / "report.html").read_text()
    for question in ("leaderboard", "slices", "runs"):
        said = fpt("sql", question, "model=ours again (imported)", "--json", home=copy)
        assert {row["model"] for row in said.rows} == {"ours again (imported)"}
    refused = fpt("recommend", "--user", 1, "--model", "ours again", "--json", home=copy)
    assert refused.code == 2
    assert "ours again was imported" in refused.err
    assert fpt("doctor", home=copy).code == 0

    trec = fpt("export-ranks", "--run", mine, "--output", tmp_path / "trec", "--json", home=copy)
    assert trec.code == 0, trec.err
    assert trec.rows[0]["users"] == 60
    assert trec.rows[0]["ndcg_10"] == pytest.approx({row[0]: row[2] for row in ours}["full"])
    assert (tmp_path / "trec" / "run.trec").read_text().count("\n") == trec.rows[0]["lines"]


@pytest.mark.slow
def test_a_file_that_cannot_be_taken_leaves_nothing(copy, fpt, lasting, tmp_path):
    file = tmp_path / "bad.parquet"
    pl.DataFrame({"user": [1, 99_999], "item": [1, 2], "score": [0.5, 0.5]}).write_parquet(file)
    answer = fpt("import-scores", file, "--name", "x", home=copy, told=lasting)
    assert answer.code == 2
    assert "users that the data set has not: got 1 row, such as user 99999, item 2" in answer.err
    assert published(copy, "SELECT count(*) FROM mart.imports") == [(0,)]
    assert list((copy / "staging").iterdir()) == []


def test_what_is_refused_at_once(empty, fpt, tmp_path):
    """Before anything heavy is imported."""
    for name, said in (("sas-fpt", "One of our own models"), ("a/b", "no name for a model")):
        answer = fpt("import-scores", tmp_path / "no.parquet", "--name", name, home=empty)
        assert (answer.code, said in answer.err) == (2, True)
    answer = fpt("import-scores", tmp_path / "no.parquet", "--name", "x", home=empty)
    assert (answer.code, "There is no such file" in answer.err) == (2, True)
    for words in (("--kind", "some"), ("--trained-on", "test"), ("--split", "train")):
        assert fpt("import-scores", "x", "--name", "x", *words, home=empty).code == 2
    answer = fpt("export-ranks", "--output", tmp_path / "out", home=empty)
    assert (answer.code, "There are no such ranks" in answer.err) == (2, True)
    assert not (tmp_path / "out").exists()
