"""A table of items that is cut by row over ranks, and a softmax over some of its items.

A rank keeps every row whose number leaves its own as the remainder, so that popular items, which
often stand first, are spread. A step fetches the rows it needs from those who have them, and sends
their gradients back. Adam's moments are cut likewise: a rank has 16 bytes for each number of its
rows, with the gradient.

PyTorch's own ways do not save that memory. FSDP2 gathers the whole table for each step. DTensor
looks up rows of a table that is cut, but the gradient of its lookup is whole, on every rank
(PyTorch 2.13).

Letters: U rows asked for by this rank, D width, N positions, K negatives.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


class Rows(nn.Module):
    """Rows of a table, of which this rank keeps some.

    Args:
        count: of all rows.
        width: D.
        group: of the ranks; None for this one alone.
        device: where they are kept.
    """

    def __init__(self, count: int, width: int, group: Any, device: torch.device) -> None:
        super().__init__()
        self.group, self.count = group, count
        self.world = dist.get_world_size(group) if group else 1
        self.number = dist.get_rank(group) if group else 0
        own = len(range(self.number, count, self.world))
        self.weight = nn.Parameter(torch.empty(own, width, device=device))

    @torch.no_grad()
    def start(self, bound: float, seed: int) -> None:
        """Uniform up to a bound, drawn by this rank; row 0, padding, is zero."""
        draw = torch.Generator(self.weight.device).manual_seed(seed * self.world + self.number)
        self.weight.uniform_(-bound, bound, generator=draw)
        if self.number == 0:
            self.weight[0] = 0

    def forward(self, numbers: Tensor) -> Tensor:
        """Rows (U, D) of numbers (U,), each there once; ranks may ask for unlike many."""
        if self.world == 1:
            found: Tensor = _Fetch.apply(self.weight, numbers, None, None, None)
            return found
        owner = numbers % self.world
        order = owner.argsort(stable=True)
        asked = owner.bincount(minlength=self.world)
        given = torch.empty_like(asked)
        dist.all_to_all_single(given, asked, group=self.group)
        asked_of, given_to = asked.tolist(), given.tolist()
        wanted = _exchanged(numbers[order] // self.world, given_to, asked_of, self.group)
        found = _Fetch.apply(self.weight, wanted, given_to, asked_of, self.group)
        return found[order.argsort()]

    @torch.no_grad()
    def log_sums(self, features: Tensor, some: int = 250_000) -> Tensor:
        """(N,) log of the sum of exponents of features (N, D) by all rows but padding."""
        parts = []
        for first in range(0, len(self.weight), some):
            scores = features @ self.weight[first : first + some].T
            if first == 0 and self.number == 0:
                scores[:, 0] = float("-inf")
            parts.append(scores.logsumexp(1))
        own = torch.stack(parts).logsumexp(0)
        if self.world == 1:
            return own
        all_own = [torch.empty_like(own) for _ in range(self.world)]
        dist.all_gather(all_own, own, group=self.group)
        return torch.stack(all_own).logsumexp(0)


class _Fetch(torch.autograd.Function):
    """Rows for those who asked; on the way back their gradients are added, rank by rank."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        wanted: Tensor,
        given_to: list[int] | None,
        asked_of: list[int] | None,
        group: Any,
    ) -> Tensor:
        ctx.save_for_backward(wanted)
        ctx.shape, ctx.sizes = weight.shape, (given_to, asked_of, group)
        rows = weight.index_select(0, wanted)
        if given_to is None or asked_of is None:
            return rows
        return _exchanged(rows, asked_of, given_to, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (wanted,) = ctx.saved_tensors
        given_to, asked_of, group = ctx.sizes
        if given_to is not None:
            grad = _exchanged(grad, given_to, asked_of, group)
        of_table = grad.new_zeros(ctx.shape)
        places = wanted.split(given_to or len(wanted))
        for place, rows in zip(places, grad.split(given_to or len(wanted)), strict=True):
            of_table[place] += rows  # a rank asks for a row once
        return of_table, None, None, None, None


def _exchanged(rows: Tensor, received: list[int], sent: list[int], group: Any) -> Tensor:
    found = rows.new_empty((sum(received), *rows.shape[1:]))
    dist.all_to_all_single(found, rows.contiguous(), received, sent, group=group)
    return found


def sampled_softmax(
    features: Tensor, items: Tensor, targets: Tensor, negatives: Tensor, log_chance: Tensor
) -> Tensor:
    """Cross-entropy of the next item, where drawn items stand for all others.

    A drawn item counts as many as it stands for: its score is lowered by the logarithm of how often
    it is expected among the draws (logQ correction), and the sum of exponents is that over all
    items in expectation. A draw of the target itself does not count.

    Args:
        features: (N, D).
        items: (U, D) vectors.
        targets: (N,) rows of `items`.
        negatives: (K,) likewise.
        log_chance: (K,) log of K times the chance of each to be drawn.

    Returns:
        (N,) losses.
    """
    own = (features * items.index_select(0, targets)).sum(1, keepdim=True)
    others = features @ items.index_select(0, negatives).T - log_chance
    others = others.masked_fill(targets[:, None] == negatives, float("-inf"))
    return F.cross_entropy(torch.cat([own, others], 1), torch.zeros_like(targets), reduction="none")
