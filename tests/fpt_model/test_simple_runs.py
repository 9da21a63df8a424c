"""Simple models as run folders: what they leave, resumed, ranked, asked, refused."""

import json
import os
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest

from fpt_model.data.sequences import load
from fpt_model.evaluation.metrics import ndcg
from fpt_model.evaluation.ranks import rank
from fpt_model.files.checkpoints import read
from fpt_model.files.finished import problem, read_record
from fpt_model.simple.settings import SIMPLE, resolve_simple
from fpt_model.training import fitting
from fpt_model.training.fitting import read_fitted
from fpt_model.variants import any_from_dict


@pytest.fixture
def fit(run_command, learnable, tmp_path):
    """`train` a simple model on `learnable`."""

    def run(model: str, *words: object, preset: str = "quick"):
        places = ("--sequences", learnable, "--output", tmp_path / "run", "--model", model)
        return run_command("train", *places, "--preset", preset, "--device", "cpu", *words)

    return run


@pytest.mark.parametrize("model", SIMPLE)
def test_a_run_is_whole_and_ranked_by_what_it_says(model, fit, run_command, learnable, tmp_path):
    run = tmp_path / "run"
    ended = fit(model)
    assert (ended.code, [e["event"] for e in ended.events]) == (0, ["start", "epoch", "done"])
    assert problem(run) == ""
    record = read_record(run)
    assert any_from_dict(record["config"]) == resolve_simple(model, "quick")
    assert record["chosen"] == dict(SIMPLE[model].settings)
    ranked = run_command("evaluate", "--sequences", learnable, "--run", run, "--device", "cpu")
    assert (ranked.code, ranked.events[-1]["rows"]) == (0, 4 * 24)
    rows = pq.read_table(run / "ranks.parquet").to_pylist()
    sequences, fitted = load(learnable), read_fitted(read(run / "best.safetensors"))
    for split in ("valid", "test"):
        found = rank(fitted.scorer(), sequences, split, fitted.length or 12)
        for protocol, expected in found.ranks.items():
            part = [r for r in rows if (r["split"], r["protocol"]) == (split, protocol)]
            assert [r["rank"] for r in part] == expected.tolist()
    valid = rank(fitted.scorer(), sequences, "valid", fitted.length or 12).ranks["uniform_100"]
    assert record["valid_ndcg_10"] == ndcg(valid, 10)


def test_what_is_done_is_not_done_again_and_what_is_damaged_is(fit, tmp_path):
    run = tmp_path / "run"
    fit("markov_chain")
    before = (run / "best.safetensors").read_bytes()
    assert fit("markov_chain").events == [{"event": "done", "already": True, "seed": 0}]
    (run / "best.safetensors").write_bytes(before[:-1] + b"x")
    ended = fit("markov_chain")
    assert [e["event"] for e in ended.events] == ["lost", "start", "epoch", "done"]
    assert (run / "best.safetensors").read_bytes() == before
    other = fit("markov_chain", "--set", "lags=3")
    assert other.code == 2
    assert "belongs to another training: got another config" in other.stderr


def test_the_grid_is_searched_on_validation_among_all_items(fit, tmp_path):
    ended = fit("ridge", preset="paper")
    tried = ended.of("epoch")
    assert [one["epoch"] for one in tried] == [1, 2, 3, 4, 5, 6]
    assert [one["share"] for one in tried][-1] == 1
    best = max(tried, key=lambda one: one["valid_full_ndcg_10"])
    record = read_record(tmp_path / "run")
    assert (record["best_epoch"], record["chosen"]) == (best["epoch"], best["settings"])
    fitted = read_fitted(read(tmp_path / "run" / "best.safetensors"))
    assert {name: getattr(fitted.config, name) for name in best["settings"]} == best["settings"]
    lines = (tmp_path / "run" / "epochs.jsonl").read_text().splitlines()
    assert [json.loads(line)["settings"] for line in lines] == [one["settings"] for one in tried]


def test_jobs_of_both_kinds_are_done_side_by_side(learnable, small_config, run_command, tmp_path):
    configs = [resolve_simple(model, "quick") for model in SIMPLE] + [small_config("sasrec")]
    jobs = [
        {"sequences": learnable.name, "output": c.model, "config": c.to_dict(), "seed": 0}
        for c in configs
    ]
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps({"jobs": jobs}))
    ended = run_command("train-all", "--jobs", path, "--device", "cpu", "--threads", 1)
    assert ended.code == 0, ended.stderr
    for config in configs:
        assert problem(tmp_path / config.model) == ""
        assert pq.read_table(tmp_path / config.model / "ranks.parquet").num_rows == 4 * 24
    again = run_command("train-all", "--jobs", path, "--device", "cpu", "--threads", 1)
    assert {event["event"] for event in again.events} == {"done", "ranked", "finished"}


def test_one_that_fails_does_not_disturb_the_others(learnable, run_command, tmp_path, monkeypatch):
    monkeypatch.setattr("fpt_model.simple.memory.free_bytes", lambda: 100)
    jobs = [
        {"sequences": learnable.name, "output": model, "seed": 0,
         "config": resolve_simple(model, "quick").to_dict()}
        for model in ("ridge", "markov_chain")
    ]  # fmt: skip
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": jobs}))
    ended = run_command("train-all", "--jobs", tmp_path / "jobs.json", "--device", "cpu")
    assert ended.code == 2
    (failed,) = ended.of("failed")
    assert failed["run"] == "ridge"
    assert "Ridge does not fit the memory" in failed["message"]
    assert problem(tmp_path / "markov_chain") == ""


def ask(run_command, command: str, learnable, tmp_path, *words: object):
    asked = [
        {"user_id": 3},
        {"item_ids": [5, 6], "timestamps": [1, 2], "weeks": [1, 1], "time_scale": 1},
    ]
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    places = ("--sequences", learnable, "--run", tmp_path / "run")
    files = ("--asked", tmp_path / "asked.json", "--output", tmp_path / "top.parquet")
    return run_command(command, *places, *files, "--device", "cpu", *words)


@pytest.mark.parametrize("model", SIMPLE)
def test_it_recommends_what_it_scores_highest(model, fit, run_command, learnable, tmp_path):
    fit(model)
    assert ask(run_command, "recommend", learnable, tmp_path, "--top", 3).code == 0
    top = pq.read_table(tmp_path / "top.parquet").to_pylist()
    assert [(row["asked"], row["rank"]) for row in top] == [
        (a, r) for a in (0, 1) for r in (1, 2, 3)
    ]
    new = [row["item_id"] for row in top if row["asked"] == 1]
    assert not {5, 6} & set(new)
    if model in ("markov_chain", "ridge"):  # who know what comes next; see `learnable_rows`
        assert new[0] == 7


def test_a_simple_model_attends_to_nothing(fit, run_command, learnable, tmp_path):
    fit("ridge")
    ended = ask(run_command, "explain", learnable, tmp_path)
    assert ended.code == 2
    assert "Ridge is no neural model: got a simple one, which attends to nothing" in ended.stderr


def test_a_signal_ends_it_at_once_and_it_is_begun_anew(fit, monkeypatch, tmp_path):
    def interrupted(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        yield from ()

    whole = fitting.tries
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(fitting, "tries", interrupted)
    ended = fit("ridge")
    assert (ended.code, ended.events[-1]["event"]) == (128 + signal.SIGTERM, "interrupted")
    assert signal.getsignal(signal.SIGTERM) == before
    assert problem(tmp_path / "run") != ""
    monkeypatch.setattr(fitting, "tries", whole)
    assert fit("ridge").code == 0


def test_scores_are_saved_like_those_of_a_neural_model(fit, run_command, learnable, tmp_path):
    fit("item_knn")
    places = ("--sequences", learnable, "--run", tmp_path / "run")
    ended = run_command("evaluate", *places, "--device", "cpu", "--scores", tmp_path / "s.npy")
    assert ended.code == 0
    scores = np.load(tmp_path / "s.npy")
    assert scores.shape == (26, 31)
    assert np.isnan(scores[24:]).all()
    assert np.isfinite(scores[:24]).all()
