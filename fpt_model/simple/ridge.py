"""The next item as a linear function of a user's weighted past, by ridge regression.

For every training position t but each user's first, s_t holds w(n) = 0.5 ^ (n / h) at the n-th
latest of the 50 items before, and its target is the item at t: W = (S'S + lambda)^-1 S'T. A user's
scores are their own s times W. SLIST (Choi et al., WWW 2021) is near to it: there a session has one
row for each place where it is cut, and all that follows is the target.
"""

import numpy as np
import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch
from fpt_model.evaluation.ranks import Scorer
from fpt_model.simple.memory import refuse_large
from fpt_model.simple.past import Past, Tensors
from fpt_model.simple.rows import times
from fpt_model.simple.settings import SIMPLE, SimpleConfig

FITTED_BY = ("half_life", "penalty")
WINDOW = 50
MATRICES = 4  # S'S, its factor, S'T, W


def fit(past: Past, config: SimpleConfig) -> Tensors:
    """W as (I + 1, I + 1), row and column 0 empty.

    Raises:
        ModelError: the matrices do not fit the memory.
    """
    refuse_large(SIMPLE[config.model].display_name, past.n_items, MATRICES)
    gram, targets = (torch.from_numpy(part) for part in products(past, config.half_life))
    gram.diagonal().add_(config.penalty)
    factor = torch.linalg.cholesky(gram)
    del gram
    return {"weights": torch.cholesky_solve(targets, factor).float()}


def products(past: Past, half_life: float) -> tuple[np.ndarray, np.ndarray]:
    """S'S and S'T, (I + 1, I + 1), without ever making S.

    Two items a lag apart meet in the rows of all positions after both that still see the earlier:
    m = 0, 1 ... positions after the later, their weights multiply to q ^ lag (q ^ 2) ^ m.
    """
    width, q = past.n_items + 1, (0.5 ** (1 / half_life) if half_life else 1.0)
    above, targets = np.zeros(width * width), np.zeros(width * width)
    met = np.concatenate([[0.0], np.cumsum(q ** (2.0 * np.arange(WINDOW)))])  # sums over m
    for lag in range(1, WINDOW + 1):
        earlier, later, after = past.pairs(lag)
        keys = earlier * width + later  # in place: most pairs of items never meet at this lag
        np.add.at(targets, keys, q ** (lag - 1))
        np.add.at(above, keys, q**lag * met[np.minimum(after, WINDOW - lag)])
    gram = above.reshape(width, width)
    gram = gram + gram.T
    after = np.repeat(past.starts[1:], np.diff(past.starts)) - 1 - np.arange(len(past.items))
    itself = np.bincount(past.items, met[np.minimum(after, WINDOW)], minlength=width)
    gram[np.arange(width), np.arange(width)] += itself
    return gram, targets.reshape(width, width)


def scorer(tensors: Tensors, config: SimpleConfig) -> Scorer:
    """By the sum of a user's rows of W."""

    def score(windows: SequenceBatch) -> Tensor:
        return times(windows, config.half_life, tensors["weights"])

    return score


def length(_: SimpleConfig) -> int | None:
    """Of the window."""
    return WINDOW
