"""What a step trains on: windows, their targets, and ids replaced at random.

Letters: B users, T sequence.
"""

from dataclasses import replace

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.negatives import sse_replace
from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.features import FEATURES


def training_windows(
    sequences: Sequences, rows: Tensor, ends: Tensor, length: int, taught: Tensor | None = None
) -> tuple[SequenceBatch, Tensor]:
    """Windows of users `rows` (B,) that end before `ends` (B,), and their targets (B, T).

    Targets are the same window one interaction later, or what is `taught` (L,) after each
    interaction; padding has none.
    """
    inputs = sequences.windows(rows, ends, length)
    if taught is None:
        targets = sequences.windows(rows, ends + 1, length).items
    else:
        place = (sequences.starts[rows, None] + inputs.next_positions - 1).clamp(min=0)
        targets = taught[place.to(taught.device)].to(place.device)
    return inputs, torch.where(inputs.items > 0, targets, 0)


def random_ends(last: Tensor, length: int, uniform: Tensor) -> Tensor:
    """Ends of windows anywhere up to `last` (B,) that are as full as can be, by `uniform` (B,)."""
    first = last.clamp(max=length)
    return first + (uniform * (last - first + 1)).long().clamp(max=last - first)


def apply_sse(windows: SequenceBatch, config: Config, sequences: Sequences) -> SequenceBatch:
    """Windows with stochastic shared embeddings (SSE-PT)."""
    for feature in FEATURES:
        rate = getattr(config, feature.sse_rate) if feature.sse_rate else 0
        if rate:
            ids, n_ids = getattr(windows, feature.name), getattr(sequences, f"n_{feature.name}")
            others = {feature.name: sse_replace(ids, rate, n_ids)}
            windows = replace(windows, **others)
    return windows
