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

from fpt_model.data import Windows
from fpt_model.intervals import interval_rows
from fpt_model.pairs import Pairs, bags, products, sums_by_query


class Near:
    """Groups of near pairs.

    Args:
        rows: (P,) int32, row of each pair; the pairs of a query in descending order of rows.
        queries: (P,) int32, in order; one that is asked long after has no pair.
        starts: (Q + 1,) int32, where each query's pairs start.
        places: (P,) int32, where each lies in (B·H, N, T).
        n_rows: R, of all heads.
    """

    def __init__(
        self, rows: Tensor, queries: Tensor, starts: Tensor, places: Tensor, n_rows: int
    ) -> None:
        first = torch.ones(len(rows), dtype=torch.bool)  # (P,) of its group
        torch.ne(rows[1:], rows[:-1], out=first[1:])
        begun = starts[starts < len(rows)]  # of queries without pairs the next one's
        first.index_fill_(0, begun.long(), True)
        group = first.cumsum(0, dtype=torch.int32)
        of = torch.from_numpy(first.numpy().nonzero()[0])  # (G,) pairs; PyTorch's takes long
        self.places, self.group = places.long(), group.long() - 1  # (P,), `scatter_add_` takes long
        self.groups = Pairs(
            rows.index_select(0, of),
            F.pad(group, (1, 0)).index_select(0, starts),
            queries.index_select(0, of),
            n_rows,
        )

    def add_products(self, scores: Tensor, queries: Tensor, table: Tensor) -> None:
        """Add to scores (B·H, N, T) the products of queries (Q, W) with rows (R, W)."""
        found = products(self.groups, queries, table)
        scores.view(-1).scatter_add_(0, self.places, found.index_select(0, self.group))

    def by_group(self, weights: Tensor) -> Tensor:
        """Weights (B·H, N, T) of pairs, added up: (G,)."""
        chosen = weights.view(-1).index_select(0, self.places)
        return weights.new_zeros(len(self.groups.rows)).scatter_add_(0, self.group, chosen)

    def sums_by_query(self, weights: Tensor, table: Tensor) -> Tensor:
        """Rows (R, W) times the weights (G,) of their groups, by query: (Q, W)."""
        return sums_by_query(self.groups, weights, table)

    def sums_by_row(self, weights: Tensor, queries: Tensor) -> Tensor:
        """Queries (Q, W) times the weights (G,) of their groups, by row: (R, W)."""
        order, starts, chosen = self._by_row
        return bags(chosen, queries, starts, weights.index_select(0, order))

    @cached_property
    def _by_row(self) -> tuple[Tensor, Tensor, Tensor]:
        """Groups in the order of their rows (G,), where each row starts (R + 1,), queries (G,)."""
        rows, n_rows = self.groups.rows.numpy(), self.groups.n_rows
        # NumPy sorts two bytes by their digits, in a tenth of the time
        short = rows.astype(np.uint16) if n_rows <= 2**16 else rows
        order = torch.from_numpy(short.argsort(kind="stable"))
        ends = torch.bincount(self.groups.rows, minlength=n_rows).cumsum(0)
        return order, F.pad(ends, (1, 0)).int(), self.groups.queries.index_select(0, order)


def near_of(
    windows: Windows, padded: Tensor, time_span: int, edges: Tensor, heads: int, latest: int
) -> Near:
    """The near pairs of windows, those of `fpt_model.intervals.near_pairs`, in fewer passes.

    Seconds are float64 here: below 2^53 they and the whole parts of their quotients are exact.
    """
    batch, length = windows.times.shape
    place, every = torch.arange(length), (batch, heads, latest)
    seconds, scales = windows.times.double(), windows.scales.double()
    real = place >= padded[:, None]
    hidden = seconds.masked_fill(~real, float("-inf"))
    place, real, asked = place[-latest:], real[:, -latest:], windows.asked[:, -latest:].double()
    limit = (edges[-1] if len(edges) else time_span) * scales
    until = torch.sub(asked, limit[:, None]).masked_fill_(~real, float("-inf"))
    first = torch.searchsorted(hidden, until, right=True)  # (B, N)
    first = first.maximum(padded[:, None]).minimum(place + real)[:, None]  # (B, 1, N)
    counts = (place + 1 - first).expand(every).flatten()  # (Q,)
    starts = F.pad(counts.cumsum(0, dtype=torch.int32), (1, 0))
    query = torch.arange(len(counts), dtype=torch.int32)
    queries = query.repeat_interleave(counts, output_size=int(starts[-1]))  # (P,)

    def of_query(values: Tensor) -> Tensor:
        """(B, 1 or H, 1 or N) to (P,)."""
        return values.expand(every).flatten().index_select(0, queries)

    pair = torch.arange(len(queries), dtype=torch.int32)
    shift = first.int() - starts[:-1].view(every)  # from a pair's number to its key's place
    user = torch.arange(batch, dtype=torch.int32)[:, None, None]
    keys = pair + of_query(shift + length * user)  # in (B·T)
    gaps = of_query(asked[:, None]) - seconds.flatten().index_select(0, keys)
    rows = gaps.div_(of_query(scales[:, None, None])).long()
    if len(edges):
        rows = interval_rows(rows, time_span, edges)
    n_rows = time_span + len(edges)  # of a head
    if heads > 1:
        rows += of_query(n_rows * torch.arange(heads)[:, None])
    places = pair + of_query(shift + length * query.view(every))
    return Near(rows.int(), queries, starts, places, heads * n_rows)
