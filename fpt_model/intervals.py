"""Relative time between interactions, and attention that knows of it.

TiSASRec (section 3.4) adds a learned vector for the interval between i and j to the key and to the
value that i sees of j: two tensors of shape (B, T, T, D), 64 MB each at the paper's sizes. The
intervals are whole numbers of at most R rows, so the same sums can be taken by row:

    q_i · E_K[r_ij]         = (q_i · E_Kᵀ)[r_ij]                  gather from (B, H, T, R)
    Σ_j a_ij E_V[r_ij]      = Σ_r (Σ_{j: r_ij = r} a_ij) E_V[r]   scatter into (B, H, T, R)

Letters: B batch, H heads, T sequence, R interval rows, W width of a head.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data import Sequences

SAMPLED_USERS = 4096  # enough for a handful of quantiles


def scaled_intervals(times: Tensor, scales: Tensor) -> Tensor:
    """Whole multiples of the user's time scale between all pairs.

    Args:
        times: (B, T) seconds.
        scales: (B,) seconds.

    Returns:
        (B, T, T) int64: floor(|t_i - t_j| / scale).
    """
    gaps = (times[:, :, None] - times[:, None, :]).abs()
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
        intervals = scaled_intervals(some.times, some.scales)
        real = some.items > 0
        past = (intervals > config.time_span) & real[:, :, None] & real[:, None, :]
        beyond.append(intervals[past.tril()])
    values = torch.cat(beyond).sort().values if beyond else torch.empty(0, dtype=torch.int64)
    if not len(values):
        return values.to(device)
    steps = torch.arange(1, config.overflow_rows + 1, device=device)
    return values[steps * len(values) // (config.overflow_rows + 1)].unique()


def interval_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor,
    rows: Tensor,
    tables: tuple[Tensor, Tensor],
    dropout: float = 0.0,
) -> Tensor:
    """Attention with interval vectors on keys and values, without (B, T, T, W).

    Args:
        q, k, v: (B, H, T, W).
        mask: (B, 1, T, T) bool, true where i may look at j; at least one j for each i.
        rows: (B, T, T) int64, row of the table for each pair.
        tables: key and value vectors, (H, R, W) each.
        dropout: rate on the attention weights.

    Returns:
        (B, H, T, W).
    """
    keys, values = tables
    rows = rows[:, None].expand(-1, q.shape[1], -1, -1)  # (B, H, T, T)
    by_row = q @ keys.transpose(1, 2)  # (B, H, T, R)
    weights = attention_weights(q, k, mask, by_row.gather(3, rows), dropout)
    on_rows = torch.zeros_like(by_row).scatter_add(3, rows, weights)  # (B, H, T, R)
    return weights @ v + on_rows @ values


def naive_interval_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, rows: Tensor, tables: tuple[Tensor, Tensor]
) -> Tensor:
    """The same as the paper writes it, with its (B, H, T, T, W) tensors: for tests."""
    keys, values = (table[:, rows].transpose(0, 1) for table in tables)  # (B, H, T, T, W)
    weights = attention_weights(q, k, mask, (q[:, :, :, None] * keys).sum(4), 0.0)
    return weights @ v + (weights[..., None] * values).sum(3)


def attention_weights(
    q: Tensor, k: Tensor, mask: Tensor, extra: Tensor | float = 0.0, dropout: float = 0.0
) -> Tensor:
    """(B, H, T, T) weights: softmax of (q·k + extra) / √W where the mask allows."""
    scores = (q @ k.transpose(2, 3) + extra) / math.sqrt(q.shape[3])
    weights = scores.masked_fill(~mask, float("-inf")).softmax(3)
    return F.dropout(weights, dropout)
