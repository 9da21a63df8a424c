"""Epochs of any engine, and two checkouts in turn, on a CPU."""

import sys

import before_after
import pytest
import torch
from timing import Trainings, load, seconds

SMALL = {"item_width": 8, "max_length": 8, "batch_size": 8}


@pytest.fixture
def sequences(learnable):
    return load(learnable, "cpu")


def test_times_are_of_each_call():
    calls = []
    assert len(seconds(lambda: calls.append(1), 3)) == len(calls) == 3


@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_epochs_go_on_as_in_a_training(sequences, engine):
    """The weights are those of the same steps by hand."""
    some, other = (Trainings("tisasrec", sequences, SMALL, engine=engine) for _ in range(2))
    assert len(some.seconds(2)) == 2
    assert len(other.seconds_of_steps()) == other.steps - 1
    other.to_the_end()
    (one,), (two,) = some.members, other.members
    assert (one.progress.epoch, one.progress.step) == (2, 0)
    assert (two.progress.epoch, two.progress.step) == (1, two.steps)
    assert all(map(torch.equal, one.weights().values(), two.weights().values()))
    assert some.batches == pytest.approx(len(one.training.rows) / 8)


@pytest.mark.slow
def test_a_checkout_is_as_fast_as_itself(learnable, root, monkeypatch, capsys):
    words = ["--before", root, "--sequences", learnable, "--rounds", 2, "--margin", 9]
    words += ["--only", "cpu_step TiSASRec"]
    monkeypatch.setattr(sys, "argv", ["before_after.py", *map(str, words)])
    assert before_after.main() == 0
    assert "none is slower" in capsys.readouterr().out
