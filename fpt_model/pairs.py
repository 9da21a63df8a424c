"""Sums over chosen (query, row) pairs of two matrices, without a copy of the rows for each pair.

A query looks at few rows of a table: of the intervals, of the items. Copies of the rows would be
the (B, T, T, D) tensors of the papers, and products with every row ten times the arithmetic.
PyTorch has the sums that are needed, for weighted bags of embeddings.

Letters: Q queries, R rows of the table, P pairs, W width.
"""

from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

BAG = 512  # pairs


class Pairs:
    """Which query looks at which rows.

    Args:
        rows: (P,) int32, row of each pair; the pairs of a query stand together, queries in order.
        starts: (Q + 1,) int32, where each query's pairs start.
        queries: (P,) int32, query of each pair.
        n_rows: R.
    """

    def __init__(self, rows: Tensor, starts: Tensor, queries: Tensor, n_rows: int) -> None:
        self.rows, self.starts, self.queries, self.n_rows = rows, starts, queries, n_rows

    @cached_property
    def by_row(self) -> Tensor:
        """(P,) int32, the pairs in the order of their rows."""
        # two bytes are sorted twice as fast as four
        short = self.rows.short() if self.n_rows < 2**15 else self.rows
        return short.argsort(stable=True).int()

    @cached_property
    def row_bags(self) -> tuple[Tensor, Tensor]:
        """Where bags start in the order of `by_row`, and which bag is the first of each row.

        A bag is of one row and at most `BAG` pairs: some rows have most of the pairs, and a
        thread takes a bag.
        """
        ends = torch.bincount(self.rows, minlength=self.n_rows).cumsum(0)
        row_starts = F.pad(ends, (1, 0))  # (R + 1,)
        cuts = torch.arange(0, len(self.rows), BAG, device=ends.device)
        starts = torch.cat([row_starts, cuts]).sort().values
        return starts.int(), torch.searchsorted(starts, row_starts)


def products(pairs: Pairs, queries: Tensor, table: Tensor) -> Tensor:
    """Of each pair: queries (Q, W) and table (R, W) to (P,). No gradient; see `PairProducts`."""
    return torch.ops.aten._embedding_bag_per_sample_weights_backward(
        queries, table, pairs.rows, pairs.starts, pairs.queries, 0
    )


def sums_by_query(pairs: Pairs, weights: Tensor, table: Tensor) -> Tensor:
    """Weights (P,) times the rows (R, W) they belong to, added up by query: (Q, W)."""
    return bags(pairs.rows, table, pairs.starts, weights)


def sums_by_row(pairs: Pairs, weights: Tensor, queries: Tensor) -> Tensor:
    """Weights (P,) times the queries (Q, W) they belong to, added up by row: (R, W)."""
    chosen = pairs.queries.index_select(0, pairs.by_row)
    weights = weights.index_select(0, pairs.by_row)
    starts, firsts = pairs.row_bags
    sums = bags(chosen, queries, starts, weights)
    every = torch.arange(len(sums), device=sums.device)
    return F.embedding_bag(every, sums, firsts, mode="sum", include_last_offset=True)


def bags(chosen: Tensor, table: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
    """Chosen rows (P,) of a table (R, W) times their weights (P,), added up between starts."""
    return F.embedding_bag(
        chosen, table, starts, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


class PairProducts(torch.autograd.Function):
    """`products` with gradients: `PairProducts.apply(queries, table, pairs)`."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, table: Tensor, pairs: Pairs) -> Tensor:
        """See `products`."""
        ctx.save_for_backward(queries, table)
        ctx.pairs = pairs
        return products(pairs, queries, table)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        """Slopes (P,) to those of queries and table."""
        queries, table = ctx.saved_tensors
        return (
            sums_by_query(ctx.pairs, slopes, table),
            sums_by_row(ctx.pairs, slopes, queries),
            None,
        )
