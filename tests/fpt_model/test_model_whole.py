"""A finished training is one whose files are there and whole; everything else is made again."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from fpt_model.files import checkpoints as checkpoint_module
from fpt_model.files.finished import problem, read_record
from fpt_model.training.jobs import read_jobs, run_jobs

CPU = torch.device("cpu")
NAMES = ("best.safetensors", "epochs.jsonl", "ranks.parquet")


@pytest.fixture
def run_all(learnable, small_config, tmp_path):
    """Train and rank one small training in `run`; returns what it told."""

    def go(output: str = "run", **settings) -> list[dict]:
        config = small_config("sasrec", **{"epochs": 1} | settings).to_dict()
        row = {"sequences": str(learnable), "output": output, "seed": 0, "config": config}
        (tmp_path / "jobs.json").write_text(json.dumps({"jobs": [row]}))
        events: list[dict] = []
        assert run_jobs(read_jobs(tmp_path / "jobs.json"), CPU, events.append, "reference") == {}
        return events

    return go


def outcome(folder: Path) -> dict[str, object]:
    """Weights and ranks to the bit, the epochs without their seconds."""
    epochs = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    for epoch in epochs:
        del epoch["seconds"]
    return {
        "epochs": epochs,
        "best.safetensors": (folder / "best.safetensors").read_bytes(),
        "ranks.parquet": (folder / "ranks.parquet").read_bytes(),
    }


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff\x00{]")


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("best.safetensors", Path.unlink),
        ("best.safetensors", flip),
        ("epochs.jsonl", cut),
        ("run.json", Path.unlink),
        ("run.json", garbage),
        ("run.json", flip),
        ("ranks.parquet", Path.unlink),
        ("ranks.parquet", flip),
    ],
)
def test_what_is_lost_or_damaged_is_made_again(name, spoil, run_all, tmp_path):
    run_all()
    run = tmp_path / "run"
    before = outcome(run)
    assert problem(run) == ""
    spoil(run / name)
    assert name in problem(run) or name == "ranks.parquet"
    kinds = [event["event"] for event in run_all()]
    assert kinds[-1] == "ranked"
    trained = name != "ranks.parquet"
    assert ("epoch" in kinds) == trained
    assert ("lost" in kinds) == (trained and (name, spoil) != ("run.json", Path.unlink))
    assert problem(run) == ""
    assert outcome(run) == before
    assert [event["event"] for event in run_all()] == ["done", "ranked"]


@pytest.mark.parametrize("name", ["order.json", "started"])
def test_a_damaged_note_of_a_training_that_was_begun_does_no_harm(
    name, run_all, tmp_path, monkeypatch
):
    run_all("whole")
    from fpt_model.training import run as train_module

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "_finish", lambda *_: 1 / 0)
        with pytest.raises(AssertionError):
            run_all()
    garbage(tmp_path / "run" / name)
    assert "resumed" in [event["event"] for event in run_all()]
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    assert read_record(tmp_path / "run")["started_at"]


class KilledError(BaseException):
    """The process ends here."""


def test_a_kill_at_any_rename_costs_nothing_for_good(run_all, tmp_path, monkeypatch):
    """Before each rename in turn, of training and of ranking: the rerun ends alike."""
    run, original = tmp_path / "run", checkpoint_module.put_in_place
    renamed: list[str] = []

    def count(partial: Path, path: Path) -> Path:
        renamed.append(path.name)
        return original(partial, path)

    monkeypatch.setattr(checkpoint_module, "put_in_place", count)
    run_all()
    whole, total = outcome(run), list(renamed)
    assert {"run.json", "ranks.parquet", "best.safetensors"} <= set(total)
    assert "ranks.parquet.sha256" not in total  # one rename, one truth
    for place in range(len(total)):
        shutil.rmtree(run)
        left = iter(range(place + 1))

        def die(partial: Path, path: Path, left=left, place=place) -> Path:
            if next(left) == place:
                raise KilledError
            return original(partial, path)

        monkeypatch.setattr(checkpoint_module, "put_in_place", die)
        with pytest.raises(KilledError):
            run_all()
        monkeypatch.setattr(checkpoint_module, "put_in_place", original)
        run_all()
        assert outcome(run) == whole, f"after a kill before {total[place]}, number {place}"
        assert [event["event"] for event in run_all()] == ["done", "ranked"]


def test_ranks_of_weights_that_are_gone_go_too(run_all, tmp_path, monkeypatch):
    """Trained anew on another machine, they may be others: a kill in between must not mix them."""
    from fpt_model.training import jobs as jobs_module

    run_all()
    (tmp_path / "run" / "best.safetensors").unlink()
    monkeypatch.setattr(jobs_module, "rank_trained", lambda *_: 1 / 0)
    with pytest.raises(AssertionError):
        run_all()
    assert problem(tmp_path / "run") == ""
    assert not list((tmp_path / "run").glob("ranks*"))


def test_a_run_json_of_an_older_version_is_read(run_all, tmp_path):
    run_all()
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    for name in ("record_sha256", "epochs_sha256"):
        del record[name]
    path.write_text(json.dumps(record))
    assert problem(tmp_path / "run") == ""
    (tmp_path / "run" / "epochs.jsonl").write_text('{"epoch": 1}\n{"epo')
    assert problem(tmp_path / "run") == "epochs.jsonl is damaged"
