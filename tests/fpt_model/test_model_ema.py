"""Averages of weights over epochs: validated, chosen and ranked in place of the last weights."""

import torch

from fpt_model.data.sequences import load
from fpt_model.training.trainer import Trainer, trainer_of


def run_epochs(trainer: Trainer, count: int) -> list[dict[str, torch.Tensor]]:
    """The weights after each epoch."""
    after = []
    for _ in range(count):
        for _ in range(trainer.steps):
            trainer.step()
        trainer.end_epoch()
        after.append({name: value.clone() for name, value in trainer.weights().items()})
    return after


def test_the_average_is_that_of_the_epochs_weights(learnable, small_config):
    trainer = trainer_of(small_config("sas_fpt", ema_decay=0.75, epochs=9), 0, load(learnable))
    one, two, three = run_epochs(trainer, 3)
    for name, mean in trainer.ema_weights.items():
        if mean.is_floating_point():
            expected = 0.75 * (0.75 * one[name] + 0.25 * two[name]) + 0.25 * three[name]
            torch.testing.assert_close(mean, expected)


def test_steps_do_not_depend_on_the_average(learnable, small_config):
    plain, ema_weights = (
        run_epochs(trainer_of(small_config("tisasrec", ema_decay=share), 0, load(learnable)), 2)[-1]
        for share in (0.0, 0.9)
    )
    assert all(torch.equal(value, ema_weights[name]) for name, value in plain.items())


def test_ranks_are_those_of_the_averaged_weights(learnable, small_config):
    config = small_config("sas_fpt", ema_decay=0.9, validate_every=1)
    trainer = trainer_of(config, 0, load(learnable))
    run_epochs(trainer, 2)
    by_average = trainer.ranked("valid").ranks["full"]
    trainer.model.load_state_dict(trainer.ema_weights)
    trainer.ema_weights = {}
    assert torch.equal(trainer.ranked("valid").ranks["full"], by_average)
