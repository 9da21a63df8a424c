"""Clocks that intervals are differences of: how far two interactions of a history lie apart.

TiSASRec counts seconds in the user's shortest gap, and cuts at 256 of these. Whoever rates several
items in a second has all that is longer than some minutes in one row of the table.

Letters: N histories, L interactions of all.
"""

from typing import Protocol

import torch
from torch import Tensor


class LooksBack(Protocol):
    """What says how a history is looked back at, such as a `Config`."""

    @property
    def clock(self) -> str:
        """See `told`."""

    @property
    def time_reference(self) -> str:
        """See `Sequences.with_time_reference`."""


def told(clock: str, gaps: Tensor, starts: Tensor) -> Tensor:
    """(L,) int64, what a clock shows at each interaction, 0 at the first of each history.

    - `places`: one more each time.
    - `steps`: one more, and the number of binary digits of the seconds that it took: 1 for none, 2
      for one, 3 for 2 to 3, 18 for a day. So an interval says how many interactions lie between,
      and whether there was a break.

    >>> told("steps", torch.tensor([1, 2, 4, 1, 3]), torch.tensor([0, 3, 5])).tolist()
    [0, 1, 4, 0, 2]

    Args:
        clock: which.
        gaps: (L,), see `fpt_model/data/tempo.py`.
        starts: (N + 1,) where histories begin, and the end of the last.
    """
    gaps, starts = gaps.long(), starts.to(gaps.device)
    step = gaps - 1 if clock == "steps" else torch.ones_like(gaps)
    shown = step.cumsum(0)
    return shown - torch.repeat_interleave(shown[starts[:-1]], starts.diff())


def scales_of(clock: str, scales: Tensor) -> Tensor:
    """What intervals are counted in: seconds in the user's shortest gap, all else as it is."""
    return scales if clock == "seconds" else torch.ones_like(scales)
