"""Relative time between interactions, and attention that knows of it.

TiSASRec (section 3.4) adds a learned vector for the interval between i and j to the key and to the
value that i sees of j: two tensors of shape (B, T, T, D), 64 MB each at the paper's sizes. Here

    q_i · (k_j + E_K[r_ij])       Σ_j a_ij (v_j + E_V[r_ij])

are taken apart. The last row of the tables, what lies farthest back, is added to every value (on
keys it would add the same to all that i sees, which softmax ignores), and the other rows less the
last one are summed over the pairs that are near (`fpt_model.pairs`).

Letters: B batch, H heads, T sequence, N queries, R interval rows, W width of a head, P near pairs.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data import Sequences
from fpt_model.layers import dropout, random_bits
from fpt_model.pairs import Pairs, products, sums_by_query, sums_by_row

PART = 128 * 50 * 50  # scores at once: those of the papers' batch, 1.3 MB
SAMPLED_USERS = 4096  # enough for a handful of quantiles


def scaled_intervals(asked: Tensor, times: Tensor, scales: Tensor) -> Tensor:
    """Whole multiples of the user's time scale between all pairs.

    Args:
        asked: (B, T) seconds, when i looks back: its own time, or a later one (`Windows`).
        times: (B, T) seconds.
        scales: (B,) seconds.

    Returns:
        (B, T, T) int64: floor(|asked_i - t_j| / scale).
    """
    gaps = (asked[:, :, None] - times[:, None, :]).abs()
    return gaps // scales[:, None, None]


def interval_rows(intervals: Tensor, time_span: int, edges: Tensor) -> Tensor:
    """Row of the interval table for each interval.

    Rows 0 to `time_span` - 1 are exact; row `time_span` is what lies past the clip. TiSASRec+
    divides that row further: interval x takes row `time_span` + (number of edges ≤ x).

    Args:
        intervals: any shape, int64.
        time_span: where intervals are clipped.
        edges: ascending int64, each above `time_span`; empty for plain clipping.
    """
    beyond = torch.bucketize(intervals, edges, right=True)
    return intervals.clamp(max=time_span) + beyond


def overflow_edges(sequences: Sequences, config: Config) -> Tensor:
    """Where TiSASRec+ divides what lies past the clip: quantiles of the training intervals there.

    The authors' code adds three rows to the table and never reaches them; here they are used.

    Returns:
        At most `overflow_rows` edges (fewer when quantiles coincide), ascending, int64.
    """
    device = sequences.items.device
    if not config.overflow_rows:
        return torch.empty(0, dtype=torch.int64, device=device)
    users = sequences.trainable()
    users = users[:: 1 + len(users) // SAMPLED_USERS]
    windows = sequences.windows(users, sequences.n_train[users], config.max_length)
    beyond = []
    for part in torch.arange(len(users), device=device).split(config.batch_size):
        some = windows.rows(part)
        intervals = scaled_intervals(some.asked, some.times, some.scales)
        real = some.items > 0
        past = (intervals > config.time_span) & real[:, :, None] & real[:, None, :]
        beyond.append(intervals[past.tril()])
    values = torch.cat(beyond).sort().values if beyond else torch.empty(0, dtype=torch.int64)
    if not len(values):
        return values.to(device)
    steps = torch.arange(1, config.overflow_rows + 1, device=device)
    return values[steps * len(values) // (config.overflow_rows + 1)].unique()


@dataclass(frozen=True)
class Near:
    """The pairs (i, j ≤ i) whose interval has a row before the last; i are the latest N of T.

    Attributes:
        pairs: queries (B·H·N) and rows of the tables (H·(R - 1)).
        places: (P,) int32, where each lies in (B, H, N, T).
    """

    pairs: Pairs
    places: Tensor


def near_pairs(
    asked: Tensor,
    times: Tensor,
    scales: Tensor,
    padded: Tensor,
    time_span: int,
    edges: Tensor,
    heads: int = 1,
    latest: int | None = None,
) -> list[Near]:
    """What is near, in parts of the batch that bound the memory of `interval_attention`.

    Args:
        asked: (B, T) seconds, see `scaled_intervals`; ascending where not padded.
        times: (B, T) seconds, likewise.
        scales: (B,) seconds.
        padded: (B,) number of padded places, which see only themselves.
        time_span, edges: see `interval_rows`.
        heads: H.
        latest: N; T when not said.
    """
    latest = latest or times.shape[1]
    at_most = max(1, PART // (heads * latest * times.shape[1]))
    size = -(-len(times) // -(-len(times) // at_most))
    moments = zip(asked.split(size), times.split(size), strict=True)
    users = zip(scales.split(size), padded.split(size), strict=True)
    return [
        _near_pairs(*moment, *user, time_span, edges, heads, latest)
        for moment, user in zip(moments, users, strict=True)
    ]


def _near_pairs(
    asked: Tensor,
    times: Tensor,
    scales: Tensor,
    padded: Tensor,
    time_span: int,
    edges: Tensor,
    heads: int,
    latest: int,
) -> Near:
    """`near_pairs`, not in parts: near to i are the latest j, up to i itself if it is near."""
    (batch, length), device = times.shape, times.device
    place = torch.arange(length, device=device)
    limit = (edges[-1] if len(edges) else time_span) * scales.double()  # (B,) exact to 2^53
    real = place >= padded[:, None]
    seconds, until = (
        x.double().masked_fill(~real, float("-inf")).contiguous() for x in (times, asked)
    )
    first = torch.searchsorted(seconds, until - limit[:, None], right=True)
    first = first.maximum(padded[:, None]).minimum(place + real)[:, -latest:]  # (B, N)
    first = first[:, None].expand(-1, heads, -1)  # (B, H, N)
    counts = (place[-latest:] + 1 - first).flatten()
    starts = F.pad(counts.cumsum(0), (1, 0))
    query = torch.arange(counts.numel(), device=device)
    queries = query.repeat_interleave(counts)  # (P,)

    def of_query(values: Tensor) -> Tensor:
        return values.expand(batch, heads, latest).flatten().index_select(0, queries)

    past = torch.arange(len(queries), device=device) + of_query(
        first - starts[:-1].view(batch, heads, latest)
    )  # j
    user = of_query(torch.arange(batch, device=device)[:, None, None])
    gaps = of_query(asked[:, None, -latest:]) - times.flatten().index_select(
        0, user * length + past
    )
    rows = interval_rows(gaps // of_query(scales[:, None, None]), time_span, edges)
    n_rows = time_span + len(edges)  # of a head, without the last
    rows = rows + of_query(n_rows * torch.arange(heads, device=device)[:, None])
    pairs = Pairs(rows.int(), starts.int(), queries.int(), heads * n_rows)
    return Near(pairs, (queries * length + past).int())


def interval_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor,
    near: Sequence[Near],
    tables: tuple[Tensor, Tensor],
    rate: float = 0.0,
) -> Tensor:
    """Attention with interval vectors on keys and values, without (B, N, T, W).

    Args:
        q: (B, H, N, W).
        k, v: (B, H, T, W).
        mask: (B, 1, N, T) bool, true where i may look at j; at least one j for each i.
        near: the pairs whose row is not the last, within the mask; in parts of the batch.
        tables: key and value vectors, (H, R, W) each.
        rate: of dropout on the attention weights.

    Returns:
        (B, H, N, W).
    """
    keys, values = ((table[:, :-1] - table[:, -1:]).flatten(0, 1) for table in tables)
    v = v + tables[1][:, -1:]
    return _IntervalAttention.apply(q, k, v, keys, values, mask, near, rate)


class _IntervalAttention(torch.autograd.Function):
    """Keeps one (B, H, N, T) tensor: the weights, negative where they were dropped."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor,
        near: Sequence[Near],
        rate: float,
    ) -> Tensor:
        """See `interval_attention`; keys and values (H·(R - 1), W) are less the last row."""
        ctx.near, dropped = near, round(rate * 2**16)  # of 2^16; see `dropout`
        ctx.scale = 2**16 / (2**16 - dropped)
        out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
        weights = []
        for part, pairs in zip(_parts(len(q), near), near, strict=True):
            scores = _scores(q[part], k[part], keys, pairs).mul_(1 / math.sqrt(q.shape[3]))
            some = scores.masked_fill_(~mask[part], float("-inf")).softmax(3)
            if dropped:
                bits = random_bits(some.shape, some.device).to(some.dtype)
                some.copysign_(bits.sub_(dropped - 2**15 - 0.5))
            weights.append(some)
            kept = some.relu().mul_(ctx.scale)
            extra = sums_by_query(pairs.pairs, _at(kept, pairs), values)
            torch.add(kept @ v[part], extra.view_as(q[part]), out=out[part])
        ctx.save_for_backward(q, k, v, keys, values, *weights)
        return out

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        """Slopes (B, H, N, W) to those of q, k, v, keys and values."""
        q, k, v, keys, values, *weights = ctx.saved_tensors
        made = tuple(torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
        of_keys, of_values = torch.zeros_like(keys), torch.zeros_like(values)
        parts = _parts(len(q), ctx.near)
        for part, some, near in zip(parts, weights, ctx.near, strict=True):
            of_q, of_k, of_v = (x[part] for x in made)
            above = slopes[part].contiguous()
            kept = some.relu().mul_(ctx.scale)
            torch.matmul(kept.transpose(2, 3), above, out=of_v)
            of_values += sums_by_row(near.pairs, _at(kept, near), _rows(above))
            inner = _scores(above, v[part], values, near)
            # what was dropped has no slope
            inner = torch.ops.aten.threshold_backward(inner, some, 0).mul_(ctx.scale)
            inner = torch.ops.aten._softmax_backward_data(inner, some.abs(), 3, inner.dtype)
            inner *= 1 / math.sqrt(q.shape[3])
            torch.matmul(inner.transpose(2, 3), q[part], out=of_k)
            extra = _at(inner, near)
            torch.add(
                inner @ k[part], sums_by_query(near.pairs, extra, keys).view_as(of_q), out=of_q
            )
            of_keys += sums_by_row(near.pairs, extra, _rows(q[part]))
        return *made, of_keys, of_values, None, None, None


def _parts(count: int, near: Sequence[Near]) -> Iterator[slice]:
    """Sequences that each of the parts is of; as many in all but the last."""
    size = -(-count // len(near))
    return (slice(first, first + size) for first in range(0, count, size))


def _scores(q: Tensor, k: Tensor, table: Tensor, near: Near) -> Tensor:
    """(B, H, N, T) products of queries with keys and with the rows of near pairs."""
    scores = q @ k.transpose(2, 3)
    scores.view(-1).index_add_(0, near.places, products(near.pairs, _rows(q), table))
    return scores


def _rows(x: Tensor) -> Tensor:
    """(B, H, N, W) to (B·H·N, W)."""
    return x.flatten(0, 2)


def _at(x: Tensor, near: Near) -> Tensor:
    """The near ones (P,) of (B, H, N, T)."""
    return x.view(-1).index_select(0, near.places)


def naive_interval_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, rows: Tensor, tables: tuple[Tensor, Tensor]
) -> Tensor:
    """The same as the paper writes it, with its (B, H, T, T, W) tensors: for tests."""
    keys, values = (table[:, rows].transpose(0, 1) for table in tables)  # (B, H, T, T, W)
    weights = attention_weights(q, k, mask, (q[:, :, :, None] * keys).sum(4), 0.0)
    return weights @ v + (weights[..., None] * values).sum(3)


def attention_weights(
    q: Tensor, k: Tensor, mask: Tensor, extra: Tensor | float = 0.0, rate: float = 0.0
) -> Tensor:
    """(B, H, T, T) weights: softmax of (q·k + extra) / √W where the mask allows."""
    scores = (q @ k.transpose(2, 3) + extra) / math.sqrt(q.shape[3])
    weights = scores.masked_fill(~mask, float("-inf")).softmax(3)
    return dropout(weights, rate)
