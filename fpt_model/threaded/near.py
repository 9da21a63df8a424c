"""Near pairs of a part, those of one query and one row together.

Times ascend, so the keys that a query sees in the same row of the interval table stand side by
side: products and sums over the width are taken once for such a group, a half of the pairs of
MovieLens-1M.

Letters: B batch, H heads, N queries of a window, T sequence, Q = B·H·N, P pairs, G groups, R rows.
"""

from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model import intervals
from fpt_model.pairs import Pairs, products, sums_by_query


class Near:
    """Groups of near pairs.

    Args:
        near: pairs, those of a query in descending order of rows; no query is without.
    """

    def __init__(self, near: intervals.Near) -> None:
        pairs = near.pairs
        first = torch.ones(len(pairs.rows), dtype=torch.bool)  # (P,) of its group
        torch.ne(pairs.rows[1:], pairs.rows[:-1], out=first[1:])
        first[pairs.starts[:-1].long()] = True
        group = first.cumsum(0, dtype=torch.int32)
        self.places = near.places  # (P,) of each pair in (B·H, N, T)
        self.group = group - 1  # (P,)
        of = first.nonzero().flatten()  # (G,) pairs
        starts = F.pad(group, (1, 0)).index_select(0, pairs.starts)  # (Q + 1,)
        self.groups = Pairs(
            pairs.rows.index_select(0, of), starts, pairs.queries.index_select(0, of), pairs.n_rows
        )

    def add_products(self, scores: Tensor, queries: Tensor, table: Tensor) -> None:
        """Add to scores (B·H, N, T) the products of queries (Q, W) with rows (R, W)."""
        found = products(self.groups, queries, table)
        scores.view(-1).index_add_(0, self.places, found.index_select(0, self.group))

    def by_group(self, weights: Tensor) -> Tensor:
        """Weights (B·H, N, T) of pairs, added up: (G,)."""
        chosen = weights.view(-1).index_select(0, self.places)
        return weights.new_zeros(len(self.groups.rows)).index_add_(0, self.group, chosen)

    def sums_by_query(self, weights: Tensor, table: Tensor) -> Tensor:
        """Rows (R, W) times the weights (G,) of their groups, by query: (Q, W)."""
        return sums_by_query(self.groups, weights, table)

    def sums_by_row(self, weights: Tensor, queries: Tensor) -> Tensor:
        """Queries (Q, W) times the weights (G,) of their groups, by row: (R, W)."""
        order, starts, chosen = self._by_row
        return sums_by_query(
            Pairs(chosen, starts, chosen, len(queries)), weights.index_select(0, order), queries
        )

    @cached_property
    def _by_row(self) -> tuple[Tensor, Tensor, Tensor]:
        """Groups in the order of their rows (G,), where each row starts (R + 1,), queries (G,)."""
        rows, n_rows = self.groups.rows.numpy(), self.groups.n_rows
        # NumPy sorts two bytes by their digits, in a tenth of the time
        short = rows.astype(np.uint16) if n_rows <= 2**16 else rows
        order = torch.from_numpy(short.argsort(kind="stable"))
        ends = torch.bincount(self.groups.rows, minlength=n_rows).cumsum(0)
        return order, F.pad(ends, (1, 0)).int(), self.groups.queries.index_select(0, order)
