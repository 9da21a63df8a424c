"""Trained anew on all but the test item, for as long as validation chose."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from fpt_model.data.negatives import NegativeSampler
from fpt_model.data.sequences import load
from fpt_model.errors import ModelError
from fpt_model.evaluation.ranks import rank
from fpt_model.evaluation.scorer import scorer
from fpt_model.files.checkpoints import read
from fpt_model.model.cold_start_users import has_cold_start_users
from fpt_model.training.jobs import read_jobs, run_jobs
from fpt_model.training.ranking import load_run, rank_run
from fpt_model.training.run import InterruptedTrainingError, train
from fpt_model.training.trainer import Trainer, trainer_of

CPU = torch.device("cpu")
SETTINGS = {"refit": True, "epochs": 6, "validate_every": 2, "ema_decay": 0.5, "windows": "random"}


@pytest.fixture
def refitted(learnable, small_config, tmp_path):
    """A finished training of that kind: its folder and its events."""
    events: list[dict] = []
    config = small_config("sas_fpt", **SETTINGS)
    train(learnable, {3: tmp_path / "run"}, config, CPU, events.append, "reference")
    return tmp_path / "run", events


def record_of(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def test_the_validation_item_joins_the_training_part(user, make_sequences):
    known = make_sequences([user([1, 2, 3, 4, 5]), user([2, 3, 4]), user([4, 5])], 5)
    joined = known.with_validation()
    assert known.n_train.tolist() == [3, 1, 2]
    assert joined.n_train.tolist() == [4, 2, 2]
    assert joined.trainable().tolist() == [0, 1, 2]
    assert joined.evaluated().tolist() == known.evaluated().tolist() == [0, 1]
    rows = joined.evaluated()
    assert joined.items[joined.starts[rows] + joined.held_out(rows, "test")].tolist() == [5, 4]
    drawn = NegativeSampler(joined).draw(torch.tensor([1]), (1, 500))
    assert set(drawn.flatten().tolist()) == {5}  # of user 1, nothing but the test item is new


def test_nobody_whose_validation_item_is_trained_on_is_a_cold_start_user(
    user, make_sequences, small_config
):
    known = make_sequences([user([1, 2, 3]), user([1, 2, 3, 4])], 4)
    config = small_config("sas_fpt")
    assert has_cold_start_users(config, known)
    assert not has_cold_start_users(config, known.with_validation())


def test_the_weights_are_those_of_a_training_that_long_on_all_but_the_test_item(
    learnable, small_config, refitted
):
    folder, _ = refitted
    alone = trainer_of(small_config("sas_fpt", **SETTINGS), 3, load(learnable).with_validation())
    for _ in range(record_of(folder / "search")["best_epoch"]):
        for _ in range(alone.steps):
            alone.step()
        alone._update_ema()
        alone.progress.epoch, alone.progress.step = alone.progress.epoch + 1, 0
    kept = read(folder / "best.safetensors").tensors
    assert set(kept) == set(alone.ema_weights)
    for name, value in alone.ema_weights.items():
        torch.testing.assert_close(kept[name], value)


def test_its_record_says_what_validation_chose(refitted):
    folder, events = refitted
    final, search = record_of(folder), record_of(folder / "search")
    for name in ("best_epoch", "valid_ndcg_10", "config", "seed"):
        assert final[name] == search[name]
    assert final["train_seconds"] > search["train_seconds"]
    assert final["checkpoint_sha256"] != search["checkpoint_sha256"]
    assert (folder / "epochs.jsonl").read_text() == (folder / "search/epochs.jsonl").read_text()
    assert [event["event"] for event in events].count("done") == 1
    shares = [event["share"] for event in events if event["event"] == "epoch"]
    assert shares[5] == 0.5
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    assert all(event["valid_ndcg_10"] is None for event in events[-3:-1])


def test_no_step_depends_on_a_test_item(learnable_rows, write_sequences, small_config, tmp_path):
    changed = [dict(row) for row in learnable_rows]
    for row in changed:
        if len(row["item_ids"]) >= 3:
            row["item_ids"] = [*row["item_ids"][:-1], row["item_ids"][-1] % 30 + 1]
    config = small_config("sas_fpt", **SETTINGS)
    weights = []
    for name, rows in (("one", learnable_rows), ("two", changed)):
        path = write_sequences(rows, 30, name=f"{name}.parquet")
        train(path, {0: tmp_path / name}, config, CPU, lambda _: None)
        weights.append(read(tmp_path / name / "best.safetensors").tensors)
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_validation_is_ranked_by_the_search_and_test_by_the_second_training(
    learnable, small_config, refitted, tmp_path
):
    folder, _ = refitted
    rank_run(learnable, folder, tmp_path / "ranks.parquet", CPU)
    table = pq.read_table(tmp_path / "ranks.parquet")
    known = load(learnable)
    for split, run in (("valid", folder / "search"), ("test", folder)):
        model, _ = load_run(run, known)
        seen = known if split == "valid" else known.with_validation()
        expected = rank(scorer(model, seen), seen, split, model.config.max_length)
        for protocol, ranks in expected.ranks.items():
            chosen = [("split", "==", split), ("protocol", "==", protocol)]
            found = pq.read_table(tmp_path / "ranks.parquet", filters=chosen)
            assert found["rank"].to_pylist() == ranks.tolist()
    assert table.num_rows == 4 * len(known.evaluated())


def test_without_its_search_nothing_is_ranked_on_validation(learnable, refitted, tmp_path):
    """Its own weights were trained on those items."""
    shutil.copytree(refitted[0], tmp_path / "alone", ignore=shutil.ignore_patterns("search"))
    with pytest.raises(ModelError, match="search"):
        rank_run(learnable, tmp_path / "alone", tmp_path / "ranks.parquet", CPU)
    assert not (tmp_path / "ranks.parquet").exists()


def test_jobs_leave_the_same_ranks_as_the_weights_give(learnable, small_config, tmp_path):
    config = small_config("sas_fpt", **SETTINGS)
    rows = [
        {"sequences": str(learnable), "output": f"runs/{seed}", "seed": seed}
        | {"config": config.to_dict()}
        for seed in (0, 1)
    ]
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": rows}))
    jobs = read_jobs(tmp_path / "jobs.json")
    for job in jobs:
        assert not job.is_trained
    assert run_jobs(jobs, CPU, lambda _: None, "reference") == {}
    for job in jobs:
        rank_run(learnable, job.output, tmp_path / "again.parquet", CPU)
        again, first = (pq.read_table(path) for path in (tmp_path / "again.parquet", job.ranks))
        assert first.select(["split", "protocol", "user_id"]).equals(
            again.select(["split", "protocol", "user_id"])
        )
        same = [
            a == b
            for a, b in zip(first["rank"].to_pylist(), again["rank"].to_pylist(), strict=True)
        ]
        assert sum(same) >= 0.98 * len(same)  # the ranking of several threads rounds otherwise


@pytest.mark.parametrize("lost", ["search/ranks-valid.parquet", "ranks.parquet", "run.json"])
def test_what_a_crash_left_undone_is_done_again(lost, learnable, small_config, tmp_path):
    row = {"sequences": str(learnable), "output": "run", "seed": 0}
    row |= {"config": small_config("sas_fpt", **SETTINGS).to_dict()}
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": [row]}))
    (job,) = read_jobs(tmp_path / "jobs.json")
    assert run_jobs([job], CPU, lambda _: None, "reference") == {}
    before = pq.read_table(job.ranks)
    for left in {lost, "ranks.parquet"}:
        (job.output / left).unlink()
    assert run_jobs([job], CPU, lambda _: None, "reference") == {}
    assert (job.output / lost).exists()
    assert pq.read_table(job.ranks).equals(before)


@pytest.mark.parametrize("place", [2, 10, 20, 23])
def test_a_signal_in_either_half_costs_nothing(
    place, learnable, small_config, monkeypatch, tmp_path, refitted
):
    """18 steps are the search's."""
    config = small_config("sas_fpt", **SETTINGS)
    whole, _ = refitted
    count = iter(range(1, 1000))
    original = Trainer.step

    def step(trainer: Trainer) -> None:
        original(trainer)
        if next(count) == place:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", step)
        with pytest.raises(InterruptedTrainingError):
            train(learnable, {3: tmp_path / "parts"}, config, CPU, lambda _: None, "reference")
    train(learnable, {3: tmp_path / "parts"}, config, CPU, lambda _: None, "reference")
    for part in ("best.safetensors", "search/best.safetensors"):
        assert (tmp_path / "parts" / part).read_bytes() == (whole / part).read_bytes()


def test_a_preset_that_does_not_refit_leaves_no_search(learnable, small_config, tmp_path):
    config = replace(small_config("tisasrec"), epochs=1)
    train(learnable, {0: tmp_path / "run"}, config, CPU, lambda _: None)
    assert not (tmp_path / "run" / "search").exists()
