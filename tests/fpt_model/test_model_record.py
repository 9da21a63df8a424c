"""What a finished training tells and leaves: all that the pipeline reads of it."""

import json

import pytest
import torch

from fpt_model.files.checkpoints import read

EPOCH = {"event", "epoch", "epochs", "train_loss", "valid_recall_10", "valid_ndcg_10"}
EPOCH |= {"seconds", "eta_seconds", "share", "seed"}
NAMED = {"model", "preset"}  # have options of their own


def test_a_run_leaves_its_record_and_tells_as_it_goes(slug, learnable, train_small, tmp_path):
    ended = train_small(learnable, tmp_path / "run", slug, seed=3, epochs=3, validate_every=2)
    assert ended.code == 0
    kinds = [event["event"] for event in ended.events]
    assert kinds == ["start", "epoch", "epoch", "epoch", "done"]
    start, *epochs, done = ended.events
    known = {"event": "start", "model": slug, "seed": 3, "device": "cpu"}
    known["engine"] = "reference" if slug == "hstu" else "cpu"
    assert start == known
    assert all(set(event) == EPOCH for event in epochs)
    assert [(event["epoch"], event["epochs"]) for event in epochs] == [(1, 3), (2, 3), (3, 3)]
    assert epochs[0]["valid_ndcg_10"] is None
    assert epochs[-1]["eta_seconds"] == 0 < epochs[0]["eta_seconds"]

    lines = (tmp_path / "run" / "epochs.jsonl").read_text().splitlines()
    stored = [{"event", "epochs", "eta_seconds", "share", "seed"} ^ set(event) for event in epochs]
    assert [set(json.loads(line)) for line in lines] == stored

    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["config"]["model"] == slug
    assert (record["seed"], record["snapshot_id"], record["device"]) == (3, "abc", "cpu")
    assert record["best_epoch"] == done["best_epoch"] in (2, 3)
    assert record["valid_ndcg_10"] == done["valid_ndcg_10"]
    assert record["started_at"] < record["finished_at"]
    assert record["train_seconds"] == pytest.approx(sum(event["seconds"] for event in epochs))
    assert record["versions"]["torch"] == torch.__version__
    sha256 = (tmp_path / "run" / "best.safetensors.sha256").read_text().split()[0]
    assert record["checkpoint_sha256"] == sha256
    assert read(tmp_path / "run" / "best.safetensors").facts["epoch"] == record["best_epoch"]
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_finished_training_is_not_repeated(learnable, train_small, tmp_path):
    train_small(learnable, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    again = train_small(learnable, tmp_path / "run")
    assert (again.code, again.events) == (0, [{"event": "done", "already": True, "seed": 0}])
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_the_record_says_all_that_a_repetition_needs(learnable, train_small, tmp_path):
    train_small(learnable, tmp_path / "run", "tisasrec", seed=3, dropout=0.1)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    sets = {name: value for name, value in record["config"].items() if name not in NAMED}
    again = train_small(learnable, tmp_path / "again", "tisasrec", seed=record["seed"], **sets)
    assert again.code == 0
    repeated = json.loads((tmp_path / "again" / "run.json").read_text())
    assert repeated["checkpoint_sha256"] == record["checkpoint_sha256"]
    assert repeated["sequences_sha256"] == record["sequences_sha256"]
    assert repeated["code_version"] == record["code_version"]
