"""Ranks of held-out items, one launch for all users: `evaluation.ranks.compare` as a kernel.

Letters: N users, I items, C candidates, M items met.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from fpt_model.data.sequences import Sequences, Split
from fpt_model.errors import ModelError
from fpt_model.evaluation.ranks import Protocol, Ranks

AT_ONCE = 1024  # scores


class Candidates:
    """Whom held-out items are compared with: all that is known before there are scores.

    Args:
        sequences: on the device.
        rows: (N,) rows of users with held-out items.
        split: which held-out item.

    Attributes:
        users: (N,) ids.
        targets: (N,) int32, the held-out items.
        drawn: (N, C) int32, stored candidates, 0 where there are fewer.
        seen: (M,) int32, of one user after the other what is no candidate: padding and each item of
            the history once; where items come again, of the history the held-out one alone.
        firsts: (N + 1,) int32, where a user's begin in `seen`.
        counts: for each protocol (N,) int64, candidates, the held-out item included.
    """

    def __init__(self, sequences: Sequences, rows: Tensor, split: Split) -> None:
        self.users = rows + 1
        held_out = sequences.starts[rows] + sequences.held_out(rows, split)
        self.targets = sequences.at("items", held_out).int()
        self.drawn = sequences.candidates[split][rows].int()
        numbers, lengths = torch.arange(len(rows), device=rows.device), sequences.lengths[rows]
        if sequences.comes_again:
            owner, place = numbers, held_out
        else:
            owner = numbers.repeat_interleave(lengths)
            shift = sequences.starts[rows] - (lengths.cumsum(0) - lengths)
            place = torch.arange(len(owner), device=rows.device) + shift[owner]
        columns = sequences.n_items + 1
        keys = torch.cat([numbers * columns, owner * columns + sequences.at("items", place)])
        keys = keys.unique()  # sorted
        self.seen = (keys % columns).int()
        seen = torch.bincount(keys // columns, minlength=len(rows))
        self.firsts = torch.nn.functional.pad(seen.cumsum(0), (1, 0)).int()
        drawn = (self.drawn > 0).sum(1)
        self.counts: dict[Protocol, Tensor] = {
            "uniform_100": 1 + drawn,
            "full": 1 + columns - seen,
        }


def compare(candidates: Candidates, scores: Tensor, protocols: Sequence[Protocol]) -> Ranks:
    """Rank each user's held-out item by the scores of every item, (N, I + 1).

    Raises:
        ModelError: a score is not a finite number.
    """
    scores = scores.contiguous()
    n, columns = scores.shape
    ranks = scores.new_empty(2, n)
    odd = torch.empty(n, dtype=torch.int32, device=scores.device)
    rank_targets[(n,)](
        *(scores, columns, candidates.targets, candidates.drawn, candidates.drawn.shape[1]),
        *(candidates.seen, candidates.firsts, ranks, odd, n),
        DRAWN=triton.next_power_of_2(candidates.drawn.shape[1]),
        BLOCK=AT_ONCE,
    )
    if odd.any():
        raise ModelError("A score is not a number", to_do="Train again with a lower rate")
    found: dict[Protocol, Tensor] = {"uniform_100": ranks[0], "full": ranks[1]}
    return Ranks(
        candidates.users,
        {name: found[name] for name in protocols},
        {name: candidates.counts[name] for name in protocols},
    )


@triton.jit
def tie_aware_count(x, own):
    """Twice how many scores are higher, and once how many are equal, each on its own."""
    return (x > own).to(tl.int32) + (x >= own).to(tl.int32)


@triton.jit
def rank_targets(
    scores, columns, targets, drawn, n_drawn, seen, firsts, ranks, odd, n,
    DRAWN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Rank = 1 + candidates scored higher + half of those scored equal. Grid (N,).

    Args:
        scores: (N, columns) float32, of every item; column 0 is padding.
        columns: I + 1.
        targets: (N,) int32, held-out items.
        drawn: (N, n_drawn) int32, candidates, 0 where there are fewer.
        seen: (M,) int32, what is no candidate, of one user after the other.
        firsts: (N + 1,) int32, where a user's begin in `seen`.
        ranks: (2, n) float32, gets ranks among the drawn and among all.
        odd: (N,) int32, gets how many scores are no finite numbers.
        n: N.
        DRAWN: n_drawn as a power of two.
        BLOCK: scores at a time.
    """
    user = tl.program_id(0)
    scores += user.to(tl.int64) * columns
    own = tl.load(scores + tl.load(targets + user))

    # among all items: count every column …
    lane = tl.arange(0, BLOCK)
    ahead, wrong = tl.zeros((BLOCK,), tl.int32), tl.zeros((BLOCK,), tl.int32)
    for first in range(0, columns, BLOCK):
        there = first + lane < columns
        x = tl.load(scores + first + lane, mask=there, other=0.0)
        ahead += tl.where(there, tie_aware_count(x, own), 0)
        wrong += (tl.abs(x) < float("inf")).to(tl.int32) ^ 1

    # … less what holds for those that were seen
    begin, end = tl.load(firsts + user), tl.load(firsts + user + 1)
    for first in range(begin, end, BLOCK):
        there = first + lane < end
        item = tl.load(seen + first + lane, mask=there, other=0)
        ahead -= tl.where(there, tie_aware_count(tl.load(scores + item), own), 0)

    # among the drawn
    some = tl.arange(0, DRAWN)
    item = tl.load(drawn + user * n_drawn + some, mask=some < n_drawn, other=0)
    among = tl.where(item > 0, tie_aware_count(tl.load(scores + item), own), 0)

    # write; counts are doubled, so that equal ones count half
    tl.store(ranks + user, 1 + tl.sum(among, 0).to(tl.float32) / 2)
    tl.store(ranks + n + user, 1 + tl.sum(ahead, 0).to(tl.float32) / 2)
    tl.store(odd + user, tl.sum(wrong, 0))
