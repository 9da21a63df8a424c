"""The benchmark of the departures: its files, its statistics, its table."""

import importlib
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fpt_model.data.sequences import load
from fpt_model.training.jobs import read_jobs
from warehouse.synthetic.world import SyntheticWorld
from warehouse.synthetic.writer import write_archive


@pytest.fixture(scope="module")
def sensitivity():
    return importlib.import_module("sensitivity")


@pytest.fixture(scope="module")
def folder(sensitivity, tmp_path_factory):
    """Sequences and jobs of a small world of which two timestamps are estimated."""
    home = tmp_path_factory.mktemp("sensitivity")
    world = SyntheticWorld(seed=0, n_users=60, n_items=40, mean_length=20)
    write_archive(world, home / "world.zip", name="synthetic", layout="double-colon")
    ratings = sensitivity.raw_tables("synthetic", home / "world.zip")[0].collect()
    last = ratings.filter(raw_user_id=ratings["raw_user_id"][0]).sort("timestamp").tail(1)
    estimated = pl.DataFrame(
        {
            "file_row": last["source_row"] - 1,
            "timestamp_low": [None],
            "timestamp_high": last["timestamp"] + 7_000_000,
        },
        schema_overrides={"timestamp_low": pl.Int64},
    )
    estimated.write_parquet(home / "estimated.parquet")
    asked = {"dataset": "synthetic", "source": home / "world.zip", "seeds": 2}
    asked |= {"estimated": home / "estimated.parquet", "output": home / "out"}
    sensitivity.prepare(Namespace(**asked))
    return home / "out"


def test_every_switch_has_its_trainings(folder):
    files = sorted(path.name for path in folder.glob("jobs*.json"))
    assert files == ["jobs-on-test.json", "jobs-plain-0.json", "jobs-plain-1.json", "jobs.json"]
    counts = [len(read_jobs(folder / name)) for name in files]
    assert counts == [4, 2, 2, 28]  # seven of both models, two of SAS-FPT alone; two seeds
    assert {job.config.mask for job in read_jobs(folder / "jobs-plain-1.json")} == {"queries"}
    for path in {job.sequences for name in files for job in read_jobs(folder / name)}:
        load(path)


def test_estimated_rows_move_and_nothing_else(folder):
    correct, low, high = (
        pl.read_parquet(folder / "sequences" / f"{name}.parquet")
        for name in ("correct", "restored-low", "restored-high")
    )
    assert low.equals(correct)  # its low end is not known
    assert high["item_ids"].equals(correct["item_ids"])
    moved = high["timestamps"].explode() - correct["timestamps"].explode()
    assert moved.sort(descending=True).head(2).to_list() == [7_000_000, 0]


def test_rows_of_one_bracket_keep_their_order(sensitivity):
    rows = {"source_row": [1, 2, 3], "raw_user_id": [1, 1, 1], "timestamp": [30, 20, 10]}
    estimated = pl.DataFrame(
        {"file_row": [0, 1], "timestamp_low": [10, 10], "timestamp_high": [40, 40]}
    )
    found = sensitivity.at_brackets(
        pl.LazyFrame(rows | {"raw_item_id": [7, 8, 9]}), estimated, "low"
    )
    ordered = found.collect().sort("timestamp", "source_row")
    assert ordered["raw_item_id"].to_list() == [9, 8, 7]
    assert ordered["timestamp"].to_list() == [10, 10, 10]


def test_table_says_the_paired_differences(sensitivity, folder, monkeypatch, tmp_path):
    """Ranks by hand: the switch loses the place of one of four users."""
    ranks = {"correct": [1.0, 2.0, 3.0, 20.0], "ties-item": [1.0, 2.0, 20.0, 20.0]}
    for name, values in ranks.items():
        for seed in range(2):
            write_run(tmp_path / "runs" / f"{name}-tisasrec-{seed}", values, sensitivity)
    monkeypatch.setattr(sensitivity, "MODELS", ("tisasrec",))
    switch = sensitivity.SWITCHES[1]
    row = sensitivity.row_of(tmp_path, switch, "tisasrec", 2)
    assert row["recall_10"] == 0.5
    assert row["recall_10_difference"][0] == -0.25
    assert row["ndcg_10_difference"][0] == pytest.approx(-1 / np.log2(4) / 4, abs=1e-5)
    text = sensitivity.markdown([row])
    assert "| ties by item id, not by file row | tisasrec | .5000 | -0.2500 (" in text


def write_run(run: Path, ranks: list[float], sensitivity) -> None:
    run.mkdir(parents=True)
    rows = {"split": "test", "protocol": "uniform_100", "user_id": [1, 2, 3, 4], "rank": ranks}
    pl.DataFrame(rows).write_parquet(run / "ranks.parquet")
    checksum = sensitivity.sha256_of(run / "ranks.parquet")
    (run / "ranks.parquet.sha256").write_text(f"{checksum}  ranks.parquet\n")


def test_epoch_chosen_on_test_is_one_that_was_validated(sensitivity, folder, tmp_path):
    """The training itself is that of the correct form; only another epoch is read."""
    import choose_on_test
    import torch

    path = tmp_path / "jobs.json"
    config = {"model": "tisasrec", "preset": "quick", "epochs": 4, "validate_every": 1}
    config |= {"max_length": 10, "item_width": 8}
    row = {"sequences": str(folder / "sequences" / "correct.parquet"), "output": "run", "seed": 0}
    path.write_text(json.dumps({"jobs": [row | {"config": config}]}))
    choose_on_test.train(read_jobs(path), torch.device("cpu"))
    chosen = json.loads((tmp_path / "run" / "chosen.json").read_text())
    gain = sensitivity.gains(tmp_path / "run" / "ranks.parquet")["ndcg_10"]
    assert chosen["test_ndcg_10"] == pytest.approx(gain.mean())
    assert 1 <= chosen["on_test"] <= 4
