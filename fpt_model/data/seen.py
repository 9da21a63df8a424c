"""What users had seen by when. Letters: B users, T sequence, I items, L longest training part."""

import torch
from torch import Tensor

from fpt_model.data.sequences import Sequences

NEVER = 2**31 - 1


def seen_before(
    sequences: Sequences, users: Tensor, positions: Tensor, longest: int | None = None
) -> Tensor:
    """Which items users had seen, within their training parts, before places of their histories.

    Args:
        sequences: on any device.
        users: (B,) ids.
        positions: (B, T), from 0.
        longest: L, or more; when not said, the device is waited for.

    Returns:
        (B, T, I + 1) bool; column 0 is padding, which nobody sees.
    """
    return _first_positions(sequences, users, longest)[:, None, :] < positions[:, :, None]


def _first_positions(sequences: Sequences, users: Tensor, longest: int | None) -> Tensor:
    """(B, I + 1), where each item first comes in a training part; `NEVER` where it does not."""
    starts, lengths = sequences.starts[users - 1], sequences.n_train[users - 1]
    steps = torch.arange(longest or int(lengths.max()), device=users.device)
    real = steps < lengths[:, None]  # (B, L)
    at = torch.where(real, starts[:, None] + steps, 0)
    items = torch.where(real, sequences.at("items", at), 0)
    positions = torch.where(real, steps, NEVER)
    first = positions.new_full((len(users), sequences.n_items + 1), NEVER)
    return first.scatter_reduce_(1, items, positions, "amin")
