"""What benchmarks share: gains by hand, intervals against what is known of them, jobs, tables."""

import doctest
import math

import harness
import numpy as np
import polars as pl
import pytest

from fpt_model.training.jobs import read_jobs
from warehouse.identity import sha256_of


def test_its_examples_hold():
    assert doctest.testmod(harness).failed == 0


def test_gains_are_of_one_split_and_protocol_in_the_order_of_users(tmp_path):
    rows = [
        *(("test", "uniform_100", 3, 11.0), ("test", "uniform_100", 1, 1.0)),
        *(("test", "uniform_100", 2, 10.0), ("valid", "uniform_100", 1, 9.0)),
        ("test", "full", 1, 9.0),
    ]
    path = tmp_path / "ranks.parquet"
    columns = ["split", "protocol", "user_id", "rank"]
    pl.DataFrame(rows, columns, orient="row").write_parquet(path)
    path.with_name("ranks.parquet.sha256").write_text(f"{sha256_of(path)}  ranks.parquet\n")
    found = harness.gains(path)
    assert found["recall_10"].tolist() == [1, 1, 0]
    assert found["ndcg_10"].tolist() == pytest.approx([1, 1 / math.log2(11), 0])
    assert harness.gains(path, "test", "full")["recall_10"].tolist() == [1]


@pytest.mark.parametrize("degrees", [1, 2, 4, 9, 19, 400])
@pytest.mark.parametrize("share", [0.95, 0.975, 0.5, 0.01])
def test_quantiles_are_students(degrees, share):
    from scipy.stats import t

    assert harness.t_quantile(share, degrees) == pytest.approx(t.ppf(share, degrees), abs=2e-4)


def test_drawn_intervals_cover_seeds_and_users():
    rng = np.random.default_rng(1)
    assert harness.drawn_interval(np.full((5, 400), 0.25), 50) == (0.25, 0.25)
    users = np.broadcast_to(rng.normal(size=400), (5, 400))
    low, high = harness.drawn_interval(users, 500)
    assert high - low == pytest.approx(2 * 1.96 * users[0].std() / 20, rel=0.15)
    seeds = np.broadcast_to(rng.normal(size=5)[:, None], (5, 400))
    low, high = harness.drawn_interval(seeds, 500)
    assert high - low == pytest.approx(2 * 1.96 * seeds[:, 0].std() / 5**0.5, rel=0.25)


def test_a_jobs_file_is_what_the_command_reads(tmp_path):
    config = {"model": "sasrec", "preset": "paper"}
    rows = [harness.job("s.parquet", f"runs/{seed}", config, seed) for seed in (3, 4)]
    harness.write_jobs(tmp_path / "sub" / "jobs.json", rows, rank=["valid"])
    jobs = read_jobs(tmp_path / "sub" / "jobs.json")
    assert [job.seed for job in jobs] == [3, 4]
    assert jobs[0].sequences == tmp_path / "sub" / "s.parquet"
    assert {job.splits for job in jobs} == {("valid",)}


def test_a_text_without_the_comments_is_left_alone():
    with pytest.raises(ValueError, match="No comments <!-- x: begin -->"):
        harness.replaced("# Page\n<!-- y: begin -->\n<!-- y: end -->\n", "x", "body")
