"""Kernels that know which items a step's users had met by when; see `fpt_model.met`.

Letters: B sequences, T tokens of a tile, I items.
"""

import triton
import triton.language as tl

from fpt_model.graphed.tokens import BEGIN, USER


@triton.jit
def meet(
    now, met, all_items, starts, n_train, n_items, B: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Lower met (B, I + 1) to where, in the data, an item first comes in a training part."""
    b = tl.program_id(0)
    user = tl.load(now + USER * (B + 1) + b)
    if user == 0:  # a sequence that is not there
        return
    start, length = tl.load(starts + user - 1), tl.load(n_train + user - 1)
    for first in tl.range(tl.program_id(1) * BLOCK, length, tl.num_programs(1) * BLOCK):
        i = first + tl.arange(0, BLOCK)
        item = tl.load(all_items + start + i, mask=i < length, other=0)
        tl.atomic_min(met + b * (n_items + 1) + item, start + i, mask=i < length, sem="relaxed")


@triton.jit
def place_of(now, sequence, t, here, B: tl.constexpr):
    """Where tokens t stand in the data, and the numbers of their sequences."""
    b = tl.load(sequence + t, mask=here, other=0)
    begin = tl.load(now + BEGIN * (B + 1) + b, mask=here, other=0)
    return begin + t - tl.load(now + b, mask=here, other=0), b


@triton.jit
def is_rival(met, b, place, target, item, n_items):
    """Whether an item stands against a token's next one: it is new by then, or that one itself.

    `b`, `place` and `target` are of tokens, (T, 1) or (1, T); `item` lies across.
    """
    first = tl.load(met + b * (n_items + 1) + item, mask=item <= n_items, other=0)
    return (first > place) | (item == target)
