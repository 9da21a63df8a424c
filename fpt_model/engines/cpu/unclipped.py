"""Unclipped pairs of a part, those of one query and one row together.

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

from fpt_model.data.sequences import SequenceBatch
from fpt_model.engines.cpu.pairs import Pairs, bags, products, sums_by_query
from fpt_model.model.intervals import interval_rows


class UnclippedPairs:
    """Unclipped pairs in groups, see above.

    Args:
        pairs: all of them; those of a query in descending order of rows.
        offsets: (P,) int64, where each lies in (B·H, N, T).
    """

    def __init__(self, pairs: Pairs, offsets: Tensor) -> None:
        rows, starts = pairs.rows, pairs.starts

        # where groups begin: at another row, and at each query
        first = torch.ones(len(rows), dtype=torch.bool)  # (P,) of its group
        torch.ne(rows[1:], rows[:-1], out=first[1:])
        begun = starts[starts < len(rows)]  # of queries without pairs the next one's
        first.index_fill_(0, begun.long(), True)

        # the group of each pair, and the first pair of each group
        group = first.cumsum(0, dtype=torch.int32)
        of = torch.from_numpy(first.numpy().nonzero()[0])  # (G,) pairs; PyTorch's takes long
        self.offsets, self.group = offsets, group.long() - 1  # (P,), `scatter_add_` takes long

        self.groups = Pairs(
            rows.index_select(0, of),
            F.pad(group, (1, 0)).index_select(0, starts),
            pairs.queries.index_select(0, of),
            pairs.n_rows,
        )

    def add_products(self, scores: Tensor, queries: Tensor, table: Tensor) -> None:
        """Add to scores (B·H, N, T) the products of queries (Q, W) with rows (R, W)."""
        found = products(self.groups, queries, table)
        scores.view(-1).scatter_add_(0, self.offsets, found.index_select(0, self.group))

    def by_group(self, weights: Tensor) -> Tensor:
        """Weights (B·H, N, T) of pairs, added up: (G,)."""
        picked = weights.view(-1).index_select(0, self.offsets)
        return weights.new_zeros(len(self.groups.rows)).scatter_add_(0, self.group, picked)

    def sums_by_query(self, weights: Tensor, table: Tensor) -> Tensor:
        """Rows (R, W) times the weights (G,) of their groups, by query: (Q, W)."""
        return sums_by_query(self.groups, weights, table)

    def sums_by_row(self, weights: Tensor, queries: Tensor) -> Tensor:
        """Queries (Q, W) times the weights (G,) of their groups, by row: (R, W)."""
        order, starts, picked = self._by_bucket
        return bags(picked, queries, starts, weights.index_select(0, order))

    @cached_property
    def _by_bucket(self) -> tuple[Tensor, Tensor, Tensor]:
        """Groups in the order of their rows (G,), where each row starts (R + 1,), queries (G,)."""
        rows, n_rows = self.groups.rows.numpy(), self.groups.n_rows
        # NumPy sorts two bytes by their digits, in a tenth of the time
        short = rows.astype(np.uint16) if n_rows <= 2**16 else rows
        order = torch.from_numpy(short.argsort(kind="stable"))
        ends = torch.bincount(self.groups.rows, minlength=n_rows).cumsum(0)
        return order, F.pad(ends, (1, 0)).int(), self.groups.queries.index_select(0, order)


class UnclippedPairsByItem(UnclippedPairs):
    """Unclipped pairs, each a group of its own, whose products are known.

    Args:
        pairs, offsets: see `UnclippedPairs`.
        items: (Q,) int32, item of each query.
        known: (I + 1, R), products of an item's query with each row of the keys.
    """

    def __init__(self, pairs: Pairs, offsets: Tensor, items: Tensor, known: Tensor) -> None:
        self.groups, self.offsets, self.known = pairs, offsets, known.flatten()
        self.items_start = items * known.shape[1]  # in `known`

    def add_products(self, scores: Tensor, *_: Tensor) -> None:
        """See `UnclippedPairs`."""
        at = self.items_start.index_select(0, self.groups.queries).add_(self.groups.rows)
        scores.view(-1).scatter_add_(0, self.offsets, self.known.index_select(0, at))

    def by_group(self, weights: Tensor) -> Tensor:
        """See `UnclippedPairs`."""
        return weights.view(-1).index_select(0, self.offsets)


def unclipped_pairs(
    windows: SequenceBatch, padded: Tensor, time_span: int, edges: Tensor, heads: int, latest: int
) -> tuple[Pairs, Tensor]:
    """The pairs (i, j ≤ i) whose interval has a row before the last; i are the latest N of T.

    Seconds are float64 here, and exact. How far back a query looks is asked half a second later,
    so that no quotient is within rounding of a whole number, nor is the difference of two: the
    scale is divided by at each token instead of each pair (exact below 2^50 seconds).

    Returns:
        The pairs, and where each lies in (B·H, N, T), (P,) int64.
    """
    batch, length = windows.times.shape
    place, every = torch.arange(length), (batch, heads, latest)
    seconds, scales = windows.times.double(), windows.scales.double()
    real = place >= padded[:, None]

    # the first key that is near to each query: times ascend, so a search finds it
    hidden = seconds.masked_fill(~real, float("-inf"))
    place, real, query_times = (
        place[-latest:],
        real[:, -latest:],
        windows.query_times[:, -latest:].double(),
    )
    limit = (edges[-1] if len(edges) else time_span) * scales
    until = torch.sub(query_times, limit[:, None]).masked_fill_(~real, float("-inf"))
    first = torch.searchsorted(hidden, until, right=True)  # (B, N)
    first = first.maximum(padded[:, None]).minimum(place + real)[:, None]  # (B, 1, N)

    # pairs: from that key up to the query itself
    counts = (place + 1 - first).int().expand(every).flatten()  # (Q,)
    starts = F.pad(counts.cumsum(0, dtype=torch.int32), (1, 0))
    queries = torch.repeat_interleave(counts, output_size=int(starts[-1]))  # (P,)

    def of_query(values: Tensor) -> Tensor:
        """(B, 1 or H, 1 or N) to (P,)."""
        return values.expand(every).flatten().index_select(0, queries)

    pair = torch.arange(len(queries), dtype=torch.int32)
    shift = first.int() - starts[:-1].view(every)  # from a pair's number to its key's place
    user = torch.arange(batch, dtype=torch.int32)[:, None, None]
    query = torch.arange(len(counts), dtype=torch.int32).view(every)
    keys = of_query(shift + length * user).add_(pair)  # in (B·T)

    # rows of pairs, by head
    later, units = query_times.add(0.5).div_(scales[:, None]), seconds.div_(scales[:, None])
    gaps = of_query(later[:, None]).sub_(units.flatten().index_select(0, keys))
    n_rows = time_span + len(edges)  # of a head
    rows = interval_rows(gaps.long(), time_span, edges).int() if len(edges) else gaps.int()
    if heads > 1:
        rows += of_query(n_rows * torch.arange(heads, dtype=torch.int32)[:, None])

    offsets = of_query(shift + length * query).add_(pair).long()
    return Pairs(rows, starts, queries, heads * n_rows), offsets
