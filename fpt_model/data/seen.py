"""What users had met by when. Letters: B users, T sequence, I items, L longest training part."""

import torch
from torch import Tensor

from fpt_model.data.sequences import Sequences

NEVER = 2**31 - 1


def met_before(
    sequences: Sequences, users: Tensor, places: Tensor, longest: int | None = None
) -> Tensor:
    """Which items users had met, within their training parts, before places of their histories.

    Args:
        sequences: on any device.
        users: (B,) ids.
        places: (B, T), from 0.
        longest: L, or more; when not said, the device is waited for.

    Returns:
        (B, T, I + 1) bool; column 0 is padding, which nobody meets.
    """
    return _first_places(sequences, users, longest)[:, None, :] < places[:, :, None]


def _first_places(sequences: Sequences, users: Tensor, longest: int | None) -> Tensor:
    """(B, I + 1), where each item first comes in a training part; `NEVER` where it does not."""
    starts, lengths = sequences.starts[users - 1], sequences.n_train[users - 1]
    steps = torch.arange(longest or int(lengths.max()), device=users.device)
    real = steps < lengths[:, None]  # (B, L)
    at = torch.where(real, starts[:, None] + steps, 0)
    items = torch.where(real, sequences.items[at], 0)
    places = torch.where(real, steps, NEVER)
    first = places.new_full((len(users), sequences.n_items + 1), NEVER)
    return first.scatter_reduce_(1, items, places, "amin")
