"""The trainer of captured steps in place of the reference: epochs, checkpoints, validation."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

pytest.importorskip("triton", reason="Triton has no build for this platform")

from fpt_model.data.sequences import load
from fpt_model.engines import choose as engines
from fpt_model.engines import contract
from fpt_model.engines.jagged import ahead, state
from fpt_model.errors import ModelError
from fpt_model.training.trainer import Trainer, trainer_of

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def trainer(learnable_rows, write_sequences, small_config, monkeypatch):
    """A training on eight users."""
    monkeypatch.setattr(state, "HALF", torch.float32)
    monkeypatch.setattr(state, "ROUNDED", 128)
    monkeypatch.setattr(state, "SPLITS", 2)
    loaded = load(write_sequences(learnable_rows[:8], 30))

    def make(engine="jagged", histories=DEVICE, **settings):
        fixed = {"epochs": 9, "validate_every": 9, "batch_size": 4, "group_refresh": 1}
        config = small_config("sas_fpt", **fixed | {"heads": 2, "loss": "softmax"} | settings)
        return trainer_of(config, 3, loaded.to(DEVICE, histories), engine)

    return make


def run(one: Trainer, steps: int) -> list[dict]:
    """So many steps; an epoch ends with its last one."""
    records = []
    for _ in range(steps):
        one.step()
        if one.progress.step == one.steps:
            records.append(one.end_epoch())
    return records


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_gpu_trains_several_heads_by_captured_steps(small_config, monkeypatch):
    monkeypatch.setattr(contract, "find_spec", lambda _: True)
    gpu = torch.device("cuda")
    assert engines.engine_of("auto", small_config("sas_fpt"), gpu) == "multiseed"
    assert engines.engine_of("auto", small_config("sas_fpt", rating_width=4), gpu) == "multiseed"
    several = small_config("sas_fpt", heads=2)
    assert engines.engine_of("auto", several, gpu) == "jagged"
    with pytest.raises(ModelError, match=r"heads 2, .*expected .*one head"):
        engines.engine_of("multiseed", several, gpu)


@pytest.mark.slow
@pytest.mark.parametrize("windows", ["latest", "random"])
def test_it_learns_and_repeats_itself_to_the_bit(trainer, windows):
    settings = {"group_weight": 0.01, "group_pairs": 100}  # little beside the loss of items
    first, again = (trainer(windows=windows, dropout=0.1, **settings) for _ in range(2))
    losses = [record["train_loss"] for record in run(first, 2 * first.steps)]
    assert losses[-1] < losses[0]
    run(again, 2 * first.steps)
    assert same(first.weights(), again.weights())
    assert int(first.training.groups.max()) > 0  # the groups are there


@pytest.mark.slow
def test_a_training_whose_histories_stay_behind_gets_the_same_bits(trainer, monkeypatch):
    """Two steps an epoch, four windows a step: with so little room each is a part of its own."""
    settings: dict = {"loss": "bce", "windows": "random", "heads": 1}
    whole = trainer(**settings)
    (record,) = run(whole, 3)
    source = lambda engine: ahead.Ahead(engine.model, engine.sequences, 4 * 9)  # noqa: E731
    monkeypatch.setattr(state.EngineState, "_source", source)
    settings["histories"] = torch.device("cpu")
    parts = trainer(**settings)
    assert len(parts.engine.kernels.source.items) == 2 * 4 * 9
    run(parts, 1)
    resumed = trainer(**settings)
    resumed.restore(parts.state())
    (same_record,) = run(resumed, 2)
    assert same_record["train_loss"] == record["train_loss"]
    assert same(whole.state().tensors, resumed.state().tensors)
