"""The trainer of captured steps in place of the plain one: epochs, checkpoints, validation."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

pytest.importorskip("triton", reason="Triton has no build for this platform")

from fpt_model.data.sequences import load
from fpt_model.engines import choose as engines
from fpt_model.engines import contract
from fpt_model.engines.jagged import state
from fpt_model.errors import ModelError
from fpt_model.files.checkpoints import read, write
from fpt_model.training.trainer import Trainer, trainer_of

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def trainer(learnable_rows, write_sequences, small_config, monkeypatch):
    """A training on eight users."""
    monkeypatch.setattr(state, "HALF", torch.float32)
    monkeypatch.setattr(state, "ROUNDED", 128)
    monkeypatch.setattr(state, "SPLITS", 2)
    sequences = load(write_sequences(learnable_rows[:8], 30)).to(DEVICE)

    def make(engine="jagged", **settings):
        fixed = {"epochs": 9, "validate_every": 9, "batch_size": 4, "group_refresh": 1}
        config = small_config("sas_fpt", **fixed | {"heads": 2, "loss": "softmax"} | settings)
        return trainer_of(config, 3, sequences, engine)

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


def test_a_gpu_trains_ratings_by_captured_steps(small_config, monkeypatch):
    monkeypatch.setattr(contract, "find_spec", lambda _: True)
    gpu = torch.device("cuda")
    assert engines.engine_of("auto", small_config("sas_fpt"), gpu) == "multiseed"
    rated = small_config("sas_fpt", rating_width=4)
    assert engines.engine_of("auto", rated, gpu) == "jagged"
    with pytest.raises(ModelError, match=r"rating_width 4, .*expected .*no ratings"):
        engines.engine_of("multiseed", rated, gpu)


@pytest.mark.slow
@pytest.mark.parametrize("windows", ["latest", "random"])
def test_it_learns_and_repeats_itself_to_the_bit(trainer, windows):
    settings = {"group_weight": 0.01, "group_pairs": 100}  # little beside the loss of items
    first, again = (trainer(windows=windows, dropout=0.1, **settings) for _ in range(2))
    losses = [record["train_loss"] for record in run(first, 3 * first.steps)]
    assert losses[-1] < losses[0]
    run(again, 3 * first.steps)
    assert same(first.weights(), again.weights())
    assert int(first.training.groups.max()) > 0  # the groups are there


@pytest.mark.slow
@pytest.mark.parametrize("steps", [2, 3])  # after an epoch, and within the next one
def test_a_checkpoint_goes_on_to_the_same_weights(trainer, tmp_path, steps):
    whole, part, resumed = (trainer(rating_width=2) for _ in range(3))
    expected = run(whole, 4)
    run(part, steps)
    write(tmp_path / "state.safetensors", part.state())
    resumed.restore(read(tmp_path / "state.safetensors"))
    found = run(resumed, 4 - steps)
    assert found[-1] == expected[-1]
    assert same(whole.weights(), resumed.weights())
    assert same(dict(whole.state().tensors), dict(resumed.state().tensors))


@pytest.mark.slow
def test_its_checkpoints_are_the_plain_trainers(trainer):
    captured, plain, back = trainer(), trainer("reference"), trainer()
    run(captured, 2)
    plain.restore(captured.state())
    assert same(plain.weights(), captured.weights())
    run(plain, 1)
    back.restore(plain.state())
    assert same(plain.weights(), back.weights())
    run(back, 1)


@pytest.mark.slow
def test_both_start_from_the_same_weights_and_validate_alike(trainer):
    captured, plain = trainer(rating_width=2), trainer("reference", rating_width=2)
    assert same(plain.weights(), captured.weights())
    assert captured._validate() == pytest.approx(plain._validate())


ALL_ITEMS = {"loss": "softmax", "exclude_seen": True, "time_reference": "query", "rating_width": 2}


@pytest.mark.parametrize("other", [{"loss": "bce"}, ALL_ITEMS])
def test_a_step_without_chance_is_the_plain_trainers(trainer, other):
    """Norm penalty, Adam and order of users; a sampled negative is chance."""
    settings = {"dropout": 0.0, "l2": 0.01, "group_weight": 0.0} | other
    captured, plain = trainer(**settings), trainer("reference", **settings)
    if other["loss"] == "bce":
        plain.engine.negatives.draw = lambda users, shape: _as_drawn(captured, plain, shape)
    for one in (captured, plain):
        one.step()
    assert captured.training.loss_sum.item() == pytest.approx(
        plain.training.loss_sum.item(), rel=1e-5
    )
    first, second = captured.state().tensors, plain.state().tensors
    for name, value in plain.model.named_parameters():
        slope = second[f"adam.exp_avg.{name}"]
        for moment in ("exp_avg", "exp_avg_sq", "step"):
            key = f"adam.{moment}.{name}"
            assert torch.allclose(first[key], second[key], rtol=1e-4, atol=1e-8), key
        sure = slope.abs() > 1e-6  # Adam divides by the gradient's size, noise by noise
        assert torch.allclose(captured.weights()[name][sure], value[sure], atol=1e-5), name


def _as_drawn(captured: Trainer, plain: Trainer, shape) -> torch.Tensor:
    chosen = plain.training.order_of(plain.progress.epoch)[: shape[0]].to(DEVICE)
    real = plain.training.latest[1][chosen] > 0
    drawn = torch.zeros(shape, dtype=torch.int64, device=DEVICE)
    drawn[real] = captured.engine.kernels.buffers.negatives.flatten()[: int(real.sum())].long()
    return drawn
