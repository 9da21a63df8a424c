"""Trials: from a table of settings to a table of validation figures, the test split untouched."""

import importlib
import json
import math
from pathlib import Path

import harness
import pyarrow.parquet as pq
import pytest
import torch

from fpt_model.config import resolve
from fpt_model.data.sequences import load
from fpt_model.training.jobs import read_jobs

ROOT = Path(__file__).parents[2]
TABLE = """
question = "What is learnt in two epochs?"
data = "a small world"
model = "sas_fpt"
preset = "paper"
seeds = [0, 1]
set = { item_width = 8, week_width = 4, user_width = 4, max_length = 8, epochs = 2 }

[trials]
"as it is" = {}
"no user, one seed" = { model = "tisasrec_plus_plus", user_width = 0, seeds = [1] }
"""
SHARED = {"item_width": 8, "week_width": 4, "user_width": 4, "max_length": 8, "epochs": 2}


@pytest.fixture
def trials():
    return importlib.import_module("trials")


@pytest.fixture
def small(trials, monkeypatch, tmp_path):
    monkeypatch.setattr(trials, "TABLES", tmp_path)
    path = tmp_path / "small.toml"
    path.write_text(TABLE)
    return path


@pytest.fixture
def trained(trials, small, learnable, run_command, tmp_path):
    folder = tmp_path / "there"
    trials.write_folder([trials.read_table(small)], learnable, folder)
    assert run_command("train-all", "--jobs", folder / "jobs.json", "--device", "cpu").code == 0
    return folder


def test_a_trial_has_the_settings_of_its_table_and_its_own(trials, small):
    first, second = trials.read_table(small).trials
    assert (first.seeds, second.seeds) == ((0, 1), (1,))
    assert first.config == resolve("sas_fpt", "paper", SHARED)
    assert second.config == resolve("tisasrec_plus_plus", "paper", SHARED | {"user_width": 0})


def test_the_figures_are_those_of_validation(trials, small, trained):
    rows = trials.rows_of(trials.read_table(small), trained)
    assert [(row["trial"], row["seed"]) for row in rows] == [
        ("as it is", 0),
        ("as it is", 1),
        ("no user, one seed", 1),
    ]
    runs = {job.config.model + str(job.seed): job for job in read_jobs(trained / "jobs.json")}
    for row in rows:
        job = runs[row["model"] + str(row["seed"])]
        ranks = pq.read_table(job.ranks).to_pylist()
        assert {rank["split"] for rank in ranks} == {"valid"}
        record = json.loads((job.output / "run.json").read_text())
        assert row["valid_ndcg_10"] == pytest.approx(record["valid_ndcg_10"], abs=1e-6)
        for protocol, name in (("uniform_100", ""), ("full", "full_")):
            places = [rank["rank"] for rank in ranks if rank["protocol"] == protocol]
            gains = [1 / math.log2(place + 1) if place <= 10 else 0.0 for place in places]
            hits = sum(place <= 10 for place in places)
            assert row[f"{name}valid_recall_10"] == pytest.approx(hits / len(places), abs=1e-6)
            assert row[f"{name}valid_ndcg_10"] == pytest.approx(sum(gains) / len(gains), abs=1e-6)


def test_shortened_histories_are_tried_on_what_was_validation(
    trials, small, learnable, run_command, tmp_path
):
    small.write_text("shortened = true\n" + TABLE.replace("epochs = 2", "epochs = 2, refit = true"))
    table, folder = trials.read_table(small), tmp_path / "there"
    trials.write_folder([table], learnable, folder)
    whole, short = load(learnable), load(folder / "sequences" / learnable.name)
    rows = short.evaluated()
    assert torch.isin(rows, whole.evaluated()).all()
    held_out = [
        known.items[known.starts[rows] + known.held_out(rows, split)]
        for known, split in ((whole, "valid"), (short, "test"))
    ]
    assert torch.equal(*held_out)
    assert torch.equal(short.candidates["test"][rows], whole.candidates["valid"][rows])
    assert torch.equal(short.n_train[rows], whole.n_train[rows] - 1)
    assert run_command("train-all", "--jobs", folder / "jobs.json", "--device", "cpu").code == 0
    read = trials.rows_of(table, folder)
    assert [row["trial"] for row in read] == ["as it is", "as it is", "no user, one seed"]
    for job in read_jobs(folder / "jobs.json"):
        assert set(pq.read_table(job.ranks)["split"].to_pylist()) == {"test"}


def test_tables_of_both_kinds_do_not_share_a_folder(trials, small, learnable, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("shortened = true\n" + TABLE)
    tables = [trials.read_table(path) for path in (small, other)]
    with pytest.raises(ValueError, match="a folder of their own"):
        trials.write_folder(tables, learnable, tmp_path / "there")


def test_a_run_of_older_code_counts_with_the_defaults_of_what_it_did_not_know(
    trials, small, trained
):
    path = next(trained.glob("runs/*/run.json"))
    record = json.loads(path.read_text())
    assert record["config"].pop("windows") == "latest"
    record["config"]["average"] = record["config"].pop("ema_decay")  # as version 0.1.0 named it
    path.write_text(json.dumps(record))
    assert len(trials.rows_of(trials.read_table(small), trained)) == 3
    small.write_text(TABLE.replace("epochs = 2", 'epochs = 2, windows = "random"'))
    assert trials.rows_of(trials.read_table(small), trained) == []


def test_ranks_of_validation_alone_are_not_taken_for_those_of_both(trained, run_command):
    jobs = json.loads((trained / "jobs.json").read_text())
    (trained / "both.json").write_text(json.dumps(jobs | {"rank": ["test", "valid"]}))
    ended = run_command("train-all", "--jobs", trained / "both.json", "--device", "cpu")
    assert [event["event"] for event in ended.events] == ["done", "ranked"] * 3 + ["finished"]
    for job in read_jobs(trained / "both.json"):
        table = pq.read_table(job.output / "ranks.parquet")
        assert set(table["split"].to_pylist()) == {"valid", "test"}


def test_whoever_asks_for_no_ranks_gets_none(trained, run_command):
    jobs = json.loads((trained / "jobs.json").read_text())
    (trained / "none.json").write_text(json.dumps(jobs | {"rank": False}))
    ended = run_command("train-all", "--jobs", trained / "none.json", "--device", "cpu")
    assert [event["event"] for event in ended.events] == ["done"] * 3 + ["finished"]


def test_an_unknown_split_is_refused(trained, run_command):
    jobs = json.loads((trained / "jobs.json").read_text())
    (trained / "odd.json").write_text(json.dumps(jobs | {"rank": ["train"]}))
    (error,) = run_command("train-all", "--jobs", trained / "odd.json").of("error")
    assert error["message"].startswith("Unknown split to rank: got ['train']")


def row(trial: str, seed: int, ndcg: float, **others) -> dict:
    figures = {
        "valid_recall_10": 0.5,
        "valid_ndcg_10": ndcg,
        "full_valid_recall_10": 0.25,
        "full_valid_ndcg_10": 0.125,
    }
    return {
        "table": "small",
        "trial": trial,
        "model": "sas_fpt",
        "preset": "paper",
        "settings": {},
        "data": "a small world",
        "sequences_sha256": "abc",
        "seed": seed,
        **figures,
        "best_epoch": 5 * (seed + 1),
        "epochs": 20,
        "train_seconds": 3.0,
        "device": "cpu",
        "code_version": "c0de",
    } | others


def stored(path: Path) -> list[tuple[str, int, float]]:
    rows = json.loads(path.read_text())
    return [(row["trial"], row["seed"], row["valid_ndcg_10"]) for row in rows]


def test_seeds_are_added_and_replaced(trials, tmp_path):
    path = tmp_path / "results" / "trials.json"
    trials.merge(path, [row("a", 0, 0.1), row("b", 0, 0.2)])
    trials.merge(path, [row("a", 1, 0.3), row("a", 0, 0.4)])
    assert stored(path) == [("a", 0, 0.4), ("b", 0, 0.2), ("a", 1, 0.3)]


def test_a_trial_of_other_settings_replaces_all_its_seeds(trials, tmp_path):
    path = tmp_path / "trials.json"
    trials.merge(path, [row("a", 0, 0.1), row("a", 1, 0.2), row("b", 0, 0.3)])
    trials.merge(path, [row("a", 1, 0.4, settings={"average": 0.5})])
    assert stored(path) == [("b", 0, 0.3), ("a", 1, 0.4)]
    trials.merge(path, [row("a", 2, 0.5, settings={"ema_decay": 0.5})])  # the same by its new name
    assert stored(path) == [("b", 0, 0.3), ("a", 1, 0.4), ("a", 2, 0.5)]


def test_the_page_has_a_line_for_each_trial(trials, small, tmp_path):
    results, page = tmp_path / "trials.json", tmp_path / "page.md"
    page.write_text("Before.\n<!-- trials: begin, made -->\nold\n<!-- trials: end -->\nAfter.\n")
    heads = {"settings": {"heads": 2}}
    trials.merge(results, [row("a", 0, 0.57), row("b", 0, 0.5, **heads), row("a", 1, 0.59)])
    trials.put(page, "trials", trials.shown(results))
    text = page.read_text()
    assert "## What is learnt in two epochs?\n" in text
    assert text.startswith("Before.\n")
    assert text.endswith("<!-- trials: end -->\nAfter.\n")
    assert "old" not in text
    same = ".5000 ± .0000 | .5800 ± .0141 | .2500 ± .0000 | .1250 ± .0000"
    assert f"| a | model sas_fpt, preset paper | 2 | {same} | 5 to 10 | 3 |" in text
    assert "| b | model sas_fpt, preset paper, heads 2 | 1 | .5000 | .5000 | .2500 |" in text
    trials.put(page, "trials", trials.shown(results))
    assert page.read_text() == text


def test_what_is_not_finished_is_named(trials, small, tmp_path, capsys):
    assert trials.rows_of(trials.read_table(small), tmp_path) == []
    assert "0 runs of as it is, seed 0, not one" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "trials").glob("*.toml")), ids=str)
def test_every_table_of_trials_can_be_asked(trials, path):
    table = trials.read_table(path)
    configs = [trial.config for trial in table.trials]
    assert len(set(configs)) == len(configs) > 1
    if path.stem.startswith("width"):
        assert len({config.width for config in configs}) == 1


def test_the_page_shows_the_results_that_are_kept(trials):
    text = trials.PAGE.read_text()
    assert harness.replaced(text, "trials", trials.shown(trials.KEPT)) == text, (
        "python benchmarks/trials.py show"
    )
