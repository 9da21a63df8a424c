"""Which item comes next, or some places later: transitions counted at each lag and added up.

P_l(j | i) = (c_l(i, j) + alpha p(j)) / (c_l(i) + alpha): c_l(i, j) counts j in the training part
l places after i, c_l(i) all that came l places after i, p(j) is j's share of the training
interactions. A user's score of j is the sum over lags l of d ^ (l - 1) P_l(j | u_l), u_l the l-th
latest item. With one lag it is a Markov chain of first order; mixing lags as if each foretold
alone is Raftery's model (1985).
"""

import numpy as np
import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch
from fpt_model.evaluation.ranks import Scorer
from fpt_model.simple.past import Past, Tensors
from fpt_model.simple.rows import SparseRows
from fpt_model.simple.settings import SimpleConfig

FITTED_BY = ("lags",)


def fit(past: Past, config: SimpleConfig) -> Tensors:
    """Counts, a row for each lag and item: those of item i at lag l in row (l - 1) (I + 1) + i."""
    width = past.n_items + 1
    starts, columns, counts = [np.zeros(1, np.int64)], [], []
    for lag in range(1, config.lags + 1):
        earlier, later, _ = past.pairs(lag)
        keys, times = np.unique(earlier * width + later, return_counts=True)
        of_row = np.bincount(keys // width, minlength=width)
        starts.append(starts[-1][-1] + np.cumsum(of_row))
        columns.append((keys % width).astype(np.int32))
        counts.append(times.astype(np.int32))
    found = {"starts": starts, "columns": columns, "counts": counts}
    del columns, counts
    # one after the other, the parts of each gone with it: of 32 million ratings they are gigabytes
    whole = {name: np.concatenate(found.pop(name)) for name in list(found)}
    whole["popularity"] = past.counts() / len(past.items)
    return {name: torch.from_numpy(part) for name, part in whole.items()}


def scorer(tensors: Tensors, config: SimpleConfig) -> Scorer:
    """By the sum over lags."""
    popularity = tensors["popularity"].float()  # (I + 1,)
    width, starts, counts = len(popularity), *(tensors[n].numpy() for n in ("starts", "counts"))
    totals = _totals(starts, counts)  # (lags * (I + 1),)
    shares = counts.astype(np.float32)
    for row in range(config.lags):  # one lag at a time: all of 32 million ratings take gigabytes
        some = slice(row * width, (row + 1) * width)
        first, last = starts[some.start], starts[some.stop]
        each = (1 / (totals[some] + config.prior)).astype(np.float32)
        shares[first:last] *= np.repeat(each, np.diff(starts[some.start : some.stop + 1]))
    rows = SparseRows(starts, tensors["columns"].numpy(), shares, width)
    smoothed = torch.from_numpy(config.prior / (totals + config.prior)).float()
    lag = torch.arange(config.lags - 1, -1, -1)  # of each place of a window, less 1
    decayed = config.decay**lag

    def score(windows: SequenceBatch) -> Tensor:
        weights = torch.where(windows.items > 0, decayed, 0.0)
        places = lag * width + windows.items
        prior = (weights * smoothed[places]).sum(1, keepdim=True) * popularity
        return rows.sums(places, weights) + prior

    return score


def _totals(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums of the rows, 0 where one is empty."""
    totals = np.zeros(len(starts) - 1, np.int64)
    filled = np.flatnonzero(np.diff(starts))  # `reduceat` takes an empty row for the next entry
    if len(filled):
        totals[filled] = np.add.reduceat(counts, starts[filled], dtype=np.int64)
    return totals


def length(config: SimpleConfig) -> int | None:
    """Of the window."""
    return config.lags
