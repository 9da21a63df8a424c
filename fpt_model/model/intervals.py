"""Which interval bucket a pair of interactions is in: a row of the interval tables.

Letters: B batch, T sequence.
"""

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.sequences import Sequences

SAMPLED_USERS = 4096  # enough for a handful of quantiles


def scaled_intervals(query_times: Tensor, times: Tensor, scales: Tensor) -> Tensor:
    """Whole multiples of the user's time scale between all pairs.

    Args:
        query_times: (B, T) seconds, when i looks back: its own time, or a later one
            (`SequenceBatch`).
        times: (B, T) seconds.
        scales: (B,) seconds.

    Returns:
        (B, T, T) int64: floor(|asked_i - t_j| / scale).
    """
    gaps = (query_times[:, :, None] - times[:, None, :]).abs()
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
    rows = intervals.clamp(max=time_span)
    return rows + torch.bucketize(intervals, edges, right=True) if len(edges) else rows


def overflow_edges(sequences: Sequences, config: Config) -> Tensor:
    """Where TiSASRec+ divides what lies past the clip: quantiles of the training intervals there.

    The authors' code adds three rows to the table and never reaches them; here they are used.

    Returns:
        At most `overflow_rows` edges (fewer when quantiles coincide), ascending, int64.
    """
    device = sequences.device
    if not config.overflow_rows:
        return torch.empty(0, dtype=torch.int64, device=device)
    users = sequences.trainable()
    users = users[:: 1 + len(users) // SAMPLED_USERS]
    windows = sequences.windows(users, sequences.n_train[users], config.max_length)
    beyond = []
    for part in torch.arange(len(users), device=device).split(config.batch_size):
        some = windows.select(part)
        intervals = scaled_intervals(some.query_times, some.times, some.scales)
        real = some.items > 0
        past = (intervals > config.time_span) & real[:, :, None] & real[:, None, :]
        beyond.append(intervals[past.tril()])
    values = torch.cat(beyond).sort().values if beyond else torch.empty(0, dtype=torch.int64)
    if not len(values):
        return values.to(device)
    steps = torch.arange(1, config.overflow_rows + 1, device=device)
    return values[steps * len(values) // (config.overflow_rows + 1)].unique()
