"""Interrupted trainings end with the weights and ranks that they would have had, to the bit."""

import json
import signal
from pathlib import Path

import pytest
import torch

from fpt_model.training import run as train_module
from fpt_model.training.run import InterruptedTrainingError, train
from fpt_model.training.trainer import Trainer

EPOCHS, STEPS = 4, 3  # batches of 8 show all users of `learnable` in three steps


class GoneError(Exception):
    """The machine went down: nothing could be saved."""


@pytest.fixture
def train_here(learnable, small_config):
    """Train into a folder, by default to the end; returns the events."""

    def run(folder: Path, model: str = "sas_fpt", on_event=None, **settings) -> list[dict]:
        config = small_config(model, epochs=EPOCHS, group_refresh=1, **settings)
        events = []

        def tell(event: dict) -> None:
            events.append(event)
            if on_event:
                on_event(event)

        train(learnable, {5: folder}, config, torch.device("cpu"), tell)
        return events

    return run


@pytest.fixture
def signal_at(monkeypatch):
    """Let a signal arrive during the n-th step from now on."""

    def arrange(number: int, place: int) -> None:
        steps = iter(range(1, 1000))
        original = Trainer.step

        def step(trainer: Trainer) -> None:
            original(trainer)
            if next(steps) == place:
                signal.raise_signal(number)

        monkeypatch.setattr(Trainer, "step", step)

    return arrange


def epoch_is(number: int):
    """Ends the process when that epoch is told, before its checkpoint is written."""

    def on_event(event: dict) -> None:
        if event["event"] == "epoch" and event["epoch"] == number:
            raise GoneError

    return on_event


def went_down(*_: object) -> None:
    raise GoneError


def outcome(folder: Path) -> tuple[bytes, list[dict]]:
    """All that a training decides; clocks differ."""
    lines = (folder / "epochs.jsonl").read_text().splitlines()
    epochs = [
        {name: value for name, value in json.loads(line).items() if name != "seconds"}
        for line in lines
    ]
    return (folder / "best.safetensors").read_bytes(), epochs


@pytest.mark.parametrize("place", [1, 3, 5, 7, 12])
def test_a_signal_during_any_step_costs_nothing(place, train_here, signal_at, tmp_path):
    train_here(tmp_path / "whole")
    signal_at(signal.SIGTERM, place)
    with pytest.raises(InterruptedTrainingError) as error:
        train_here(tmp_path / "parts")
    assert error.value.number == signal.SIGTERM
    resumed, start, *rest = train_here(tmp_path / "parts")
    finished = (place - 1) // STEPS  # the last step of an epoch is before its end
    assert resumed == {"event": "resumed", "epoch": finished, "passed_over": [], "seed": 5}
    assert start["event"] == "start"
    assert [event["event"] for event in rest] == ["epoch"] * (EPOCHS - finished) + ["done"]
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


SETTINGS = [
    {},
    {
        **{"loss": "softmax", "windows": "random", "time_reference": "query", "ema_decay": 0.5},
        **{"schedule": "cosine", "warmup": 1.5, "weight_decay": 0.1, "smoothing": 0.1},
    },
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_variant_may_be_interrupted_twice(slug, settings, train_here, signal_at, tmp_path):
    train_here(tmp_path / "whole", slug, **settings)
    for number, place in ((signal.SIGTERM, 6), (signal.SIGINT, 3)):
        signal_at(number, place)
        with pytest.raises(InterruptedTrainingError):
            train_here(tmp_path / "parts", slug, **settings)
    train_here(tmp_path / "parts", slug, **settings)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_a_machine_that_goes_down_costs_the_steps_since_the_last_validation(
    epoch, train_here, tmp_path
):
    train_here(tmp_path / "whole", validate_every=2)
    with pytest.raises(GoneError):
        train_here(tmp_path / "parts", on_event=epoch_is(epoch), validate_every=2)
    events = train_here(tmp_path / "parts", validate_every=2)
    from_epoch = {1: 1, 2: 1, 3: 3, 4: 3}[epoch]
    told = [event["epoch"] for event in events if event["event"] == "epoch"]
    assert told == list(range(from_epoch, EPOCHS + 1))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_validations_that_come_fast_are_not_all_saved(train_here, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(train_module, "SAVE_EVERY_SECONDS", 1.5)
    monkeypatch.setattr(train_module, "write_latest", lambda *state: saved.append(state[2]))
    clock = iter(range(10_000))
    monkeypatch.setattr(train_module.time, "monotonic", lambda: next(clock) / 10)
    train_here(tmp_path / "run")
    assert 1 <= len(saved) < EPOCHS


def test_a_training_that_had_stopped_early_stays_stopped(train_here, tmp_path, monkeypatch):
    falling = [0.5, 0.4] * 2
    monkeypatch.setattr("fpt_model.training.trainer.ndcg", lambda ranks, k: falling.pop(0))
    train_here(tmp_path / "whole", patience=1)
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "_finish", went_down)
        with pytest.raises(GoneError):
            train_here(tmp_path / "parts", patience=1)
    events = train_here(tmp_path / "parts", patience=1)
    assert [event["event"] for event in events] == ["resumed", "start", "done"]
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("name", ["best.safetensors", "epochs.jsonl", "run.json"])
def test_an_end_while_the_results_are_written_is_made_good(name, train_here, tmp_path, monkeypatch):
    train_here(tmp_path / "whole")
    original = train_module.write_whole

    def write_whole(path: Path, data: bytes) -> None:
        if path.name == name:
            path.with_name(f"{name}.partial").write_bytes(data[:10])
            raise GoneError
        original(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "write_whole", write_whole)
        patch.setattr("fpt_model.files.checkpoints.write_whole", write_whole)
        with pytest.raises(GoneError):
            train_here(tmp_path / "parts")
    assert not (tmp_path / "parts" / "run.json").exists()
    train_here(tmp_path / "parts")
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert {path.name for path in (tmp_path / "parts").iterdir()} == names


def test_the_time_spent_is_added_up_over_attempts(train_here, signal_at, tmp_path):
    signal_at(signal.SIGTERM, 2 * STEPS)
    with pytest.raises(InterruptedTrainingError):
        train_here(tmp_path / "run")
    started = (tmp_path / "run" / "started").read_text()
    train_here(tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    lines = (tmp_path / "run" / "epochs.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    assert record["train_seconds"] > sum(seconds)  # epoch 2 says what its second attempt took
    assert record["started_at"] == started < record["finished_at"]


def test_a_process_that_is_terminated_leaves_a_checkpoint_and_is_resumed(
    learnable, train_words, run_command, tmp_path, loaded, held_after
):
    def words(folder: Path) -> list[str]:
        return train_words(learnable, folder, epochs=6, validate_every=3)

    process = loaded.start(*words(tmp_path / "parts"), first=held_after(2))
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1].get("epoch") == 2:
            process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    assert events[-1] == {"event": "interrupted", "message": "interrupted by SIGTERM"}
    assert len(list((tmp_path / "parts").glob("checkpoint-*.safetensors"))) == 1

    resumed = run_command(*words(tmp_path / "parts"))
    assert resumed.code == 0
    assert resumed.of("resumed")[0]["epoch"] == 2
    run_command(*words(tmp_path / "whole"))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    for folder in ("parts", "whole"):
        place = tmp_path / folder
        run_command("evaluate", "--sequences", learnable, "--run", place, "--device", "cpu")
    parts, whole = (tmp_path / name / "ranks.parquet" for name in ("parts", "whole"))
    assert parts.read_bytes() == whole.read_bytes()
