"""The learning rate of a step: by hand, after a stop, and where validation chose the end."""

import math
from dataclasses import replace

import pytest
import torch

from fpt_model.config import Config, from_dict, resolve
from fpt_model.engines.schedule import learning_rate, learning_rates
from fpt_model.errors import ModelError
from fpt_model.training.trainer import SelectedEpoch, Trainer, trainer_of


def rates(**settings) -> list[float]:
    """Of all steps of a training with four steps an epoch and a learning rate of 8."""
    config = Config("", "", learning_rate=8.0, **settings)
    return [learning_rate(config, 4, before) for before in range(4 * config.epochs)]


def test_the_same_at_each_step_is_the_setting_itself():
    assert rates(epochs=2) == [8.0] * 8
    assert learning_rates(Config("", ""), 4) is None


def test_a_line_falls_by_the_same_at_each_step_and_would_be_zero_after_the_last():
    assert rates(epochs=2, schedule="linear") == [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]


def test_a_cosine_falls_slowly_at_both_ends():
    found = rates(epochs=2, schedule="cosine")
    root = math.sqrt(0.5)  # of an eighth of the way on: cos 0, cos 45°, cos 90° …
    assert found[::2] == pytest.approx([8, 4 + 4 * root, 4, 4 - 4 * root])
    assert found[1] == pytest.approx(4 + 4 * math.cos(math.pi / 8))


def test_warmup_rises_by_the_same_at_each_step_and_what_follows_falls_over_the_rest():
    assert rates(epochs=2, warmup=1.0) == [2.0, 4.0, 6.0, 8.0, 8.0, 8.0, 8.0, 8.0]
    assert rates(epochs=2, warmup=1.0, schedule="linear") == [2, 4, 6, 8, 8, 6, 4, 2]


def test_warmup_may_be_a_part_of_an_epoch_and_end_within_a_step():
    assert rates(epochs=1, warmup=0.5) == [4.0, 8.0, 8.0, 8.0]
    # 1.2 steps: the second is past them by .8 of 2.8
    found = rates(epochs=1, warmup=0.3, schedule="linear")
    assert found == pytest.approx([8 / 1.2, 8, 8 * (1 - 0.8 / 2.8), 8 * (1 - 1.8 / 2.8)])


def test_kernels_find_the_same_in_a_table():
    config = Config("", "", epochs=3, schedule="cosine", warmup=0.5)
    table = learning_rates(config, 5)
    assert table.dtype == torch.float32
    assert table.tolist() == pytest.approx([learning_rate(config, 5, n) for n in range(15)])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"warmup": 2.0, "epochs": 2}, "rise to the end: got warmup 2, epochs 2, expected warmup"),
        ({"schedule": "sine"}, "Unknown schedule: got 'sine', expected constant or cosine or lin"),
        ({"learning_rate": 0.5, "weight_decay": 2.0}, "take away all of a weight: got learning_r"),
        ({"smoothing": 0.1}, "got smoothing 0.1, loss bce, expected loss softmax, or smoothing 0"),
        ({"smoothing": 1.0, "loss": "softmax"}, "smoothing is out of range: got 1.0, expected 0"),
        ({"calibration": 1.5}, "calibration is out of range: got 1.5, expected 0 to 1"),
    ],
)
def test_what_can_not_be_is_refused(settings, says):
    with pytest.raises(ModelError, match=says):
        resolve("sasrec", "paper", settings)


def test_settings_of_before_there_were_schedules_are_read():
    config = resolve("sas_fpt", "compact")
    new = "schedule", "warmup", "weight_decay", "smoothing", "calibration"
    values = {name: value for name, value in config.to_dict().items() if name not in new}
    assert from_dict(values) == config
    assert not config.scheduled


@pytest.fixture
def noted(learnable_rows, make_sequences, small_config, monkeypatch):
    """A trainer, and the learning rates that its steps have had."""
    settings = {"epochs": 4, "batch_size": 10, "schedule": "linear", "warmup": 0.5}
    sequences = make_sequences(learnable_rows, 30)

    def make(**more) -> tuple[Trainer, list[float]]:
        config = small_config("sasrec", **settings | more)
        trainer, found = trainer_of(config, 3, sequences), []
        optimizer = trainer.engine.optimizer
        step = optimizer.step
        monkeypatch.setattr(
            optimizer, "step", lambda: (found.append(optimizer.learning_rate), step())
        )
        return trainer, found

    return make


def run(trainer: Trainer, steps: int) -> None:
    for _ in range(steps):
        trainer.step()
        if trainer.progress.step == trainer.steps:
            trainer.end_epoch()


def test_a_resumed_training_goes_on_with_the_rates_that_were_to_come(noted):
    whole, expected = noted()
    run(whole, 12)
    part, _ = noted()
    run(part, 5)
    resumed, found = noted()
    resumed.restore(part.state())
    run(resumed, 7)
    assert found == expected[5:]
    assert expected == [learning_rate(whole.config, 3, before) for before in range(12)]
    assert expected.index(whole.config.learning_rate) == 1  # warmup is half of three steps
    for name, value in whole.weights().items():
        assert value.equal(resumed.weights()[name]), name


def test_a_training_whose_end_was_chosen_has_the_rates_of_the_one_that_chose(noted):
    search, expected = noted()
    run(search, 12)
    final, found = noted()
    final.selected = SelectedEpoch(2, 0.5, 1.0, "")
    while not final.finished:
        run(final, 1)
    assert found == expected[:6]


def test_a_rate_that_differs_changes_weights_as_much_as_it_should(noted):
    """Adam's first step is as long as the rate, whatever the gradient."""
    lengths = []
    for warmup in (0.0, 2.0):
        trainer, _ = noted(warmup=warmup, schedule="constant", l2=0.0)
        before = trainer.model.norm.bias.detach().clone()
        run(trainer, 1)
        lengths.append(float((trainer.model.norm.bias.detach() - before).abs().max()))
    rate = trainer.config.learning_rate
    assert lengths == pytest.approx([rate, rate / 6], rel=1e-3)


def test_a_config_may_be_replaced_as_long_as_it_can_be():
    config = resolve("sasrec", "paper", {"warmup": 3.0})
    with pytest.raises(ModelError, match="warmup below epochs"):
        replace(config, epochs=2)
