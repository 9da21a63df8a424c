"""The multiseed engine in place of the reference: epochs, checkpoints, several seeds."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

pytest.importorskip("triton", reason="Triton has no build for this platform")

from fpt_model.data.sequences import load
from fpt_model.engines.multiseed import state
from fpt_model.training.trainer import Trainer, trainers_of

pytestmark = pytest.mark.slow  # the interpreter takes seconds a step

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def group(learnable_rows, write_sequences, small_config, monkeypatch):
    """Trainings on eight users, of the seeds that are asked for."""
    monkeypatch.setattr(state, "SPLITS", 2)
    sequences = load(write_sequences(learnable_rows[:8], 30)).to(DEVICE)

    def make(seeds, **settings) -> list[Trainer]:
        rare = {"epochs": 9, "validate_every": 9}  # the interpreter takes seconds to validate
        config = small_config("sas_fpt", **rare | {"batch_size": 4, "group_refresh": 1} | settings)
        return trainers_of(config, seeds, sequences, "multiseed")

    return make


def run(group: list[Trainer], epochs: int) -> list[dict]:
    records = []
    for _ in range(epochs):
        group[0].step()
        records += [member.end_epoch() for member in group]
    return records


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("windows", ["latest", "random"])
def test_it_learns_and_repeats_itself_to_the_bit(group, windows):
    settings = {"windows": windows, "dropout": 0.1, "learning_rate": 0.1}  # there are few steps
    settings |= {"group_weight": 0.01, "group_pairs": 100}  # little beside the loss of items
    first, again = (group([3], **settings) for _ in range(2))
    losses = [record["train_loss"] for record in run(first, 3)]
    assert losses[-1] < losses[0]
    run(again, 3)
    assert same(first[0].weights(), again[0].weights())
    assert int(first[0].training.groups.max()) > 0  # the groups are there


def test_a_checkpoint_brings_its_groups(group):
    """They are made every few epochs, and the loss of every step asks for them."""
    (saved,), resumed = group([3]), group([3])
    saved.training.groups[1:] = torch.arange(len(saved.training.groups) - 1) % 3
    resumed[0].restore(saved.state())
    assert torch.equal(resumed[0].engine.kernels.groups[0].long(), saved.training.groups)


def test_chosen_weights_rank_as_when_they_were_chosen(group):
    (member,) = group([3])
    window_index = member.ranked("valid")
    member.best = member.weights()
    member.engine.kernels.params.mul_(-2)  # what other epochs did to them
    member.use_best()
    assert same(member.weights(), member.best)
    assert same(member.ranked("valid").ranks, window_index.ranks)


def test_one_that_was_saved_after_its_epoch_waits_for_the_others(group):
    """A kill can fall between the checkpoints of two seeds."""
    whole, part, resumed = group([3, 4]), group([3, 4]), group([3, 4])
    run(whole, 1)
    part[0].step()
    resumed[0].restore(part[0].state())
    resumed[1].step()
    for ready, expected in zip(resumed, whole, strict=True):
        ready.end_epoch()
        assert same(ready.weights(), expected.weights())
        assert ready.progress.epochs == expected.progress.epochs


def test_nothing_is_kept_for_one_that_is_finished(group, monkeypatch):
    done, going = group([3, 4])
    done.training.over = True
    for name in ("kept", "begin", "ended"):
        monkeypatch.setattr(done.engine, name, lambda *_: pytest.fail("that is in vain"))
    for name in ("prepare", "run"):
        monkeypatch.setattr(going.engine.kernels, name, lambda *_: None)
    going.step()
    assert going.progress.step == going.steps


def test_a_seed_has_the_same_weights_whichever_seeds_are_beside_it(group):
    """So groups may be spread over GPUs in any way."""
    settings = {"windows": "random", "group_weight": 0.01, "group_pairs": 100}
    together = group([3, 4], **settings)
    apart = [group([seed], **settings) for seed in (4, 3)]
    records = run(together, 2)
    alone = {one[0].seed: (one[0], run(one, 2)) for one in apart}
    for number, member in enumerate(together):
        own, of_own = alone[member.seed]
        assert same(member.weights(), own.weights())
        assert records[number::2] == of_own
