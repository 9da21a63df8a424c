"""The models see what was planted and nothing else: the claim that the default world stands for.

Three seeds show differences that are three to ten times as wide as half of their intervals, with
the epochs that each signal needs to show by a softmax, from which each place learns of every item,
and the engine of the command. The benchmark has five seeds and the paper's loss, and trains on.
"""

import importlib
from pathlib import Path

import pytest

from fpt_model.config import VARIANTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SEEDS = range(3)
TRAINED = {"loss": "softmax", "validate_every": 4}
NOTHING_TO_SHOW = {"epochs": 8}


@pytest.fixture
def worlds(shared) -> Path:
    """Made once for all models."""
    (shared / "worlds").mkdir(exist_ok=True)
    return shared / "worlds"


@pytest.fixture
def measured(worlds):
    """What is found of a truth, or of several, on the test split."""
    signals = importlib.import_module("signals")

    def measure(planted, model=None, **more):
        truths = [one for one in signals.TRUTHS if one.name == planted]
        truths = [one for one in truths if model in (None, one.loser)]
        settings = signals.SMALL | TRAINED | more
        return signals.measure(truths, SEEDS, "test", settings, worlds, engine="auto")

    return measure


@pytest.mark.parametrize(("planted", "epochs"), [("groups", 32), ("gaps", 20), ("season", 8)])
def test_who_sees_the_signal_wins(measured, planted, epochs):
    rows = measured(planted, epochs=epochs)
    assert [row["holds"] for row in rows] == [True], rows


@pytest.mark.parametrize("model", VARIANTS)
def test_without_a_signal_nobody_beats_popularity(measured, model):
    rows = measured("nothing", model, **NOTHING_TO_SHOW)
    assert [row["holds"] for row in rows] == [True], rows
