"""What a step trains on: windows, their targets, and ids replaced at random.

Letters: B users, T sequence.
"""

from dataclasses import replace

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.negatives import replace_some
from fpt_model.data.sequences import Sequences, Windows
from fpt_model.features import FEATURES


def examples(
    sequences: Sequences, rows: Tensor, ends: Tensor, length: int
) -> tuple[Windows, Tensor]:
    """Windows of users `rows` (B,) that end before `ends` (B,), and their targets (B, T).

    Targets are the same window one interaction later; padding has none.
    """
    inputs = sequences.windows(rows, ends, length)
    targets = sequences.windows(rows, ends + 1, length).items
    return inputs, torch.where(inputs.items > 0, targets, 0)


def random_ends(last: Tensor, length: int, chance: Tensor) -> Tensor:
    """Ends of windows anywhere up to `last` (B,) that are as full as can be, by `chance` (B,)."""
    first = last.clamp(max=length)
    return first + (chance * (last - first + 1)).long().clamp(max=last - first)


def replaced(windows: Windows, config: Config, sequences: Sequences) -> Windows:
    """Windows with stochastic shared embeddings (SSE-PT)."""
    for feature in FEATURES:
        chance = getattr(config, feature.replaced) if feature.replaced else 0
        if chance:
            ids, n_ids = getattr(windows, feature.name), getattr(sequences, f"n_{feature.name}")
            others = {feature.name: replace_some(ids, chance, n_ids)}
            windows = replace(windows, **others)
    return windows
