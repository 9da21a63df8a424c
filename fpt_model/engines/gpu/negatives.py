"""Items that users have not seen, drawn in kernels; see `fpt_model.data.negatives`."""

import torch
import triton
import triton.language as tl

from fpt_model.data.negatives import NegativeSampler
from fpt_model.data.sequences import Sequences
from fpt_model.engines.gpu.rng import below


class NegativeIndex:
    """What kernels search for the items that a user has not seen.

    Args:
        sequences: on the device.

    Attributes:
        gaps: (M,) int32, of one user after the other: how many unmet items lie before each met one.
        firsts, counts: (N,) int32, where a user's gaps begin, and how many there are.
        search: steps of a binary search among them.
    """

    def __init__(self, sequences: Sequences) -> None:
        sampler = NegativeSampler(sequences)
        users = torch.arange(len(sampler.counts), device=sampler.counts.device)
        owners = torch.repeat_interleave(users, sampler.counts)
        self.gaps = (sampler.keys - owners * sampler.stride).int()
        self.firsts, self.counts = sampler.firsts.int(), sampler.counts.int()
        largest = int(sampler.counts.max()) if len(sampler.counts) else 0
        self.search = largest.bit_length()


@triton.jit
def draw_negatives(drawn, gaps, first, count, n_items, SEARCH: tl.constexpr):
    """By random bits, items that the user has not seen.

    Args:
        drawn: uint32, any shape.
        gaps: (M,) int32, see `NegativeIndex`.
        first, count: where the user's gaps begin, and how many there are.
        n_items: items are 1 to this.
        SEARCH: steps of a binary search among the gaps.
    """
    # The n-th unmet item, from 0, is n + 1 and the number of met ones before it: of those that have
    # at most n unmet ones before them.
    nth = below(drawn, n_items - count)
    low = tl.zeros_like(nth)
    high = low + count
    for _ in tl.static_range(SEARCH):
        middle = (low + high) // 2
        going = low < high
        gap = tl.load(gaps + first + middle, mask=going, other=0)
        low = tl.where(going & (gap <= nth), middle + 1, low)
        high = tl.where(going & (gap > nth), middle, high)
    return nth + 1 + low
