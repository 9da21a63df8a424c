"""Which row of the interval table a pair of a window looks up, and which keys share a row.

Times of a window ascend, so that for a fixed query the rows of the keys up to it descend: those of
one row lie side by side, and the sum over them is a scan that starts anew at the first.

Letters: N windows, T sequence.
"""

import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch
from fpt_model.model.intervals import interval_rows, scaled_intervals

AT_ONCE = 512  # windows
FIRST, LAST = 1 << 13, 1 << 14  # flags; a row lies below them


def buckets(windows: SequenceBatch, edges: Tensor, time_span: int, length: int) -> Tensor:
    """Rows of pairs, and where keys of the same row begin and end.

    Args:
        windows: any number, in the order of time.
        edges: see `fpt_model.model.intervals.interval_rows`.
        time_span: likewise.
        length: T, at least that of the windows.

    Returns:
        (N, T, T) int16, windows at the end of T: the row, plus FIRST where no key before has it,
        plus LAST where no later key up to the query has it.
    """
    n, own = windows.items.shape
    device = windows.items.device
    found = torch.zeros(n, length, length, dtype=torch.int16, device=device)
    key = torch.arange(own, device=device)
    for some in torch.arange(n, device=device).split(AT_ONCE):
        part = windows.select(some)
        rows = interval_rows(
            scaled_intervals(part.query_times, part.times, part.scales), time_span, edges
        )
        changes = rows[..., 1:] != rows[..., :-1]
        first = torch.nn.functional.pad(changes, (1, 0), value=True)
        last = torch.nn.functional.pad(changes, (0, 1), value=True) & (key < key[:, None])
        last |= key == key[:, None]
        flagged = (rows + FIRST * first + LAST * last).to(torch.int16)
        found[some, length - own :, length - own :] = flagged
    return found
