"""Kernels that know which items a step's users had seen by when; see `fpt_model.data.seen`.

Letters: B sequences, T tokens of a tile, I items.
"""

import torch
import triton
import triton.language as tl

from fpt_model.engines.jagged.plan import LARGEST as LARGEST_PLACE
from fpt_model.engines.jagged.tokens import BEGIN, USER

LARGEST: tl.constexpr = tl.constexpr(LARGEST_PLACE)


def type_of_places(length: int) -> torch.dtype:
    """The smallest that holds what `seen_within` writes of windows so long."""
    kinds = torch.uint8, torch.int16, torch.int32
    return next(kind for kind in kinds if length + 1 <= torch.iinfo(kind).max)


@triton.jit
def find_first_seen(
    meta, first_seen, all_items, starts, n_train, stride, B: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Lower `first_seen` to where, in the data, an item first comes in a training part. Grid (B,
    programs).

    Args:
        meta: (4, B + 1) int32, see tokens.py.
        first_seen: (B, stride) int32, by item; the largest number where there is none.
        all_items: (interactions,) int32.
        starts, n_train: (users,) int32, first interaction of a user, and how many are trained on.
        stride: elements from row to row.
        BLOCK: interactions at a time; programs of a user take turns.
    """
    b = tl.program_id(0)
    user = tl.load(meta + USER * (B + 1) + b)
    if user == 0:  # a sequence that is not there
        return

    # programs of a user take turns in the training part of the history
    start, length = tl.load(starts + user - 1), tl.load(n_train + user - 1)
    for first in tl.range(tl.program_id(1) * BLOCK, length, tl.num_programs(1) * BLOCK):
        i = first + tl.arange(0, BLOCK)
        item = tl.load(all_items + start + i, mask=i < length, other=0)

        # the least is the same in any order
        tl.atomic_min(first_seen + b * stride + item, start + i, mask=i < length, sem="relaxed")


@triton.jit
def seen_within(
    meta, first_seen, seen, stride, B: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """From places in the data to those in a window, in few bytes. Grid (B, blocks of items).

    Args:
        meta: (4, B + 1) int32, see tokens.py.
        first_seen: (B, stride) int32, as `find_first_seen` left it; becomes the largest number.
        seen: (B, stride), gets 0 for an item seen before the window, 1 + its place for one first
            seen in it, T + 1 for others.
        stride: elements from row to row.
        BLOCK: items of a program.
    """
    b = tl.program_id(0)
    item = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    at = b * stride + item
    first = tl.load(first_seen + at, mask=item < stride, other=0)
    first -= tl.load(meta + BEGIN * (B + 1) + b)
    first = tl.minimum(tl.maximum(first, -1), T) + 1
    tl.store(seen + at, first.to(seen.dtype.element_ty), mask=item < stride)

    # the thread that empties a place need not be the one that reads it
    tl.debug_barrier()
    tl.store(first_seen + at, tl.full((BLOCK,), LARGEST, tl.int32), mask=item < stride)


@triton.jit
def position_of(meta, sequence, t, here):
    """The numbers of tokens' sequences, and their places there, as `seen_within` counts them.

    Args:
        meta: (4, B + 1) int32.
        sequence: (N,) int32, of tokens.
        t: tokens.
        here: which are there.
    """
    b = tl.load(sequence + t, mask=here, other=0)
    return t - tl.load(meta + b, mask=here, other=0) + 1, b


@triton.jit
def is_candidate(seen, b, place, target, item, stride):
    """Whether an item stands against a token's next one: it is new by then, or that one itself.

    `b`, `place` and `target` are of tokens, (T, 1) or (1, T); `item` lies across. A row of `seen`
    has room for whole tiles of items: a load that needs no mask takes many of them at once.
    """
    # first seen after the token's own place: new by then
    first = tl.load(seen + b * stride + item).to(tl.int32)
    return (first > place) | (item == target)
