"""What users had seen by when.

Letters: B users, T sequence, I items, K some of them, L longest training part.
"""

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


class FirstSeen:
    """When users first saw some items, by binary search: nothing here is as long as all items."""

    def __init__(self, sequences: Sequences) -> None:
        device = sequences.device
        owners, places, items = sequences.trained()
        self.stride = sequences.n_items + 1
        keys, order = (owners * self.stride + items).sort(stable=True)
        first = torch.ones_like(keys, dtype=torch.bool)
        first[1:] = keys[1:] != keys[:-1]
        self.keys, self.places = keys[first].to(device), places[order][first].to(device)

    def seen_before(self, users: Tensor, positions: Tensor, items: Tensor) -> Tensor:
        """Which of some items users had seen, within their training parts.

        Args:
            users: (B,) ids.
            positions: (B, T), before which places of their histories, from 0.
            items: (K,).

        Returns:
            (B, T, K) bool.
        """
        asked = (users - 1)[:, None] * self.stride + items  # (B, K)
        at = torch.searchsorted(self.keys, asked).clamp(max=len(self.keys) - 1)
        first = torch.where(self.keys[at] == asked, self.places[at], NEVER)
        return first[:, None, :] < positions[:, :, None]
