"""Kernels that know which items a step's users had seen by when; see `fpt_model.data.seen`.

Letters: B sequences, T tokens of a tile, I items.
"""

import triton
import triton.language as tl

from fpt_model.engines.jagged.tokens import BEGIN, USER


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
def position_of(meta, sequence, t, here, B: tl.constexpr):
    """Where tokens stand in the data, and the numbers of their sequences.

    Args:
        meta: (4, B + 1) int32.
        sequence: (N,) int32, of tokens.
        t: tokens.
        here: which are there.
    """
    b = tl.load(sequence + t, mask=here, other=0)

    # a token's place in its sequence, from where the sequence begins in the data
    begin = tl.load(meta + BEGIN * (B + 1) + b, mask=here, other=0)
    return begin + t - tl.load(meta + b, mask=here, other=0), b


@triton.jit
def is_candidate(first_seen, b, place, target, item, stride):
    """Whether an item stands against a token's next one: it is new by then, or that one itself.

    `b`, `place` and `target` are of tokens, (T, 1) or (1, T); `item` lies across. A row of
    `first_seen`
    has room for whole tiles of items: a load that needs no mask takes four of them at once.
    """
    # first saw after the token's own place: new by then
    first = tl.load(first_seen + b * stride + item)
    return (first > place) | (item == target)
