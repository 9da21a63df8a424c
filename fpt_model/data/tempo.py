"""How fast histories go, as numbers that inputs look up: from times alone, known at each place.

Letters: N histories, L interactions of all.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from fpt_model.features import DEPTHS, GAPS

TEMPO = ("gaps", "depths")
AT_ONCE = 1 << 20  # interactions: what is in between takes 50 bytes of each


def tempo(times: Tensor, starts: Tensor) -> dict[str, Tensor]:
    """(L,) int8 each, from 1, by name of `TEMPO`.

    - `gaps`: seconds since the interaction before, 2 for none, 3 for one, 4 for 2 to 3, 5 for 4 to
      7 and so on; 1 for a history's first interaction.
    - `depths`: how many there are by then, itself included, by half powers of two: 1 for one, 3 for
      two, 4 for three, 5 for 4 to 5, 6 for 6 to 7, 7 for 8 to 11 and so on.

    >>> {name: x.tolist() for name, x in tempo(torch.tensor([0, 0, 3, 9000]), torch.tensor([0, 4]))
    ...  .items()}
    {'gaps': [1, 2, 4, 16], 'depths': [1, 3, 4, 5]}

    Args:
        times: (L,) seconds, which do not go back within a history.
        starts: (N + 1,) where histories begin, and the end of the last.
    """
    found = {name: torch.zeros(len(times), dtype=torch.int8, device=times.device) for name in TEMPO}
    for first, last in _pieces(starts):
        begin, end = int(starts[first]), int(starts[last])
        part = _of_some(times[begin:end], starts[first:last] - begin)
        for name, numbers in part.items():
            found[name][begin:end] = numbers
    return found


def _pieces(starts: Tensor) -> Iterator[tuple[int, int]]:
    """Histories at a time, from the first to before the last: some `AT_ONCE` interactions."""
    first, n = 0, len(starts) - 1
    while first < n:
        wanted = starts[first] + AT_ONCE
        last = max(first + 1, int(torch.searchsorted(starts, wanted, right=True)) - 1)
        yield first, last
        first = last


def _of_some(times: Tensor, begins: Tensor) -> dict[str, Tensor]:
    """`tempo` of histories that begin at some places."""
    place = torch.arange(len(times), device=times.device)
    first = torch.zeros(len(times), dtype=torch.bool, device=times.device)
    first[begins.to(times.device)] = True
    gap = torch.zeros_like(times)
    gap[1:] = times.diff()
    gap[first] = 0
    return {
        "gaps": (2 + _bits(gap)).clamp(max=GAPS).masked_fill(first, 1),
        "depths": _bits(_since(first, place) ** 2).clamp(max=DEPTHS),
    }


def _since(begins: Tensor, place: Tensor) -> Tensor:
    """(L,) how many there are from the last place that begins something, itself included."""
    return place + 1 - torch.where(begins, place, 0).cummax(0).values


def _bits(numbers: Tensor) -> Tensor:
    """How many binary digits each of some whole numbers has, 0 for 0."""
    powers = 2 ** torch.arange(63, device=numbers.device)
    return torch.bucketize(numbers, powers, right=True)
