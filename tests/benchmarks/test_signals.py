"""The models see what was planted and nothing else: the claim that the default world stands for.

Three seeds show differences that are four to nineteen times as wide as half of their intervals,
with the epochs that each signal needs to show; the benchmark has five seeds, and trains on.
"""

import importlib
from pathlib import Path

import pytest

from fpt_model.config import VARIANTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SEEDS = range(3)
SOON = {"patience": 4}  # where nothing is to show


@pytest.fixture
def signals():
    return importlib.import_module("signals")


@pytest.fixture
def worlds(shared) -> Path:
    """Made once for all models."""
    (shared / "worlds").mkdir(exist_ok=True)
    return shared / "worlds"


@pytest.mark.parametrize(("planted", "epochs"), [("groups", 60), ("gaps", 40), ("season", 40)])
def test_who_sees_the_signal_wins(signals, worlds, planted, epochs):
    truths = [truth for truth in signals.TRUTHS if truth.name == planted]
    rows = signals.measure(truths, SEEDS, "test", signals.SMALL | {"epochs": epochs}, worlds)
    assert [row["holds"] for row in rows] == [True], rows


@pytest.mark.parametrize("model", VARIANTS)
def test_without_a_signal_nobody_beats_popularity(signals, worlds, model):
    truths = [one for one in signals.TRUTHS if (one.name, one.loser) == ("nothing", model)]
    rows = signals.measure(truths, SEEDS, "test", signals.SMALL | SOON, worlds)
    assert [row["holds"] for row in rows] == [True], rows
