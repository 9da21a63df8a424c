"""The learning rate of a step, from the step's number alone: a resumed training has the same.

It is reckoned in epochs, with `Config.epochs` as the end, also where a training stops earlier. So
the second training of `refit`, whose epochs may have another number of steps, goes the way of the
first up to the epoch that was chosen, and is cut there.

Letters: S steps.
"""

import math

import torch
from torch import Tensor

from fpt_model.config import Config


def learning_rate(config: Config, steps: int, before: int) -> float:
    """Of the step that has so many others before it.

    In warmup the n-th step has the share n / (steps of warmup); the fall begins at 1 and would be
    at 0 with the step after the last.

    Args:
        config: settings.
        steps: of an epoch.
        before: finished steps of all epochs.

    >>> config = Config("", "", learning_rate=1.0, schedule="linear", warmup=0.5, epochs=2)
    >>> [round(learning_rate(config, 4, step), 3) for step in range(8)]
    [0.5, 1.0, 1.0, 0.833, 0.667, 0.5, 0.333, 0.167]
    """
    if not config.scheduled:
        return config.learning_rate
    rising, end = config.warmup * steps, config.epochs * steps
    rise = min(1.0, (before + 1) / rising) if rising else 1.0
    fallen = min(1.0, max(0.0, before - rising) / (end - rising))
    return config.learning_rate * rise * _left(config.schedule, fallen)


def learning_rates(config: Config, steps: int) -> Tensor | None:
    """(S,) float32, of each step of a whole training; None where all are the same.

    Kernels that a graph holds find a step's own in it.
    """
    if not config.scheduled:
        return None
    rates = [learning_rate(config, steps, before) for before in range(config.epochs * steps)]
    return torch.tensor(rates)


def _left(schedule: str, fallen: float) -> float:
    """What is left of 1 after a share of the way down."""
    if schedule == "cosine":
        return (1 + math.cos(math.pi * fallen)) / 2
    return 1 - fallen if schedule == "linear" else 1.0
