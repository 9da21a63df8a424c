"""A linear model of each item by all others, in closed form (EASE^R, Steck, WWW 2019).

B = I - P diag(1 / P), P = (X'X + lambda)^-1, where X has a row for each user and 1 for what they
have: equation 8. The scores of a user are their profile times B; the paper's profile is that row of
X, here its entries are weighted by recency.
"""

import numpy as np
import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch
from fpt_model.evaluation.ranks import Scorer
from fpt_model.simple.memory import refuse_large
from fpt_model.simple.past import Past, Tensors
from fpt_model.simple.rows import times, window_length
from fpt_model.simple.settings import SIMPLE, SimpleConfig

FITTED_BY = ("penalty",)
MATRICES = 3  # X'X, its factor, P


def fit(past: Past, config: SimpleConfig) -> Tensors:
    """B as (I + 1, I + 1), row and column 0 empty.

    Raises:
        ModelError: the matrices do not fit the memory.
    """
    refuse_large(SIMPLE[config.model].display_name, past.n_items, MATRICES)
    gram = np.zeros((past.n_items + 1, past.n_items + 1))
    for item, together in past.once().together():
        gram[item] = together
    matrix = torch.from_numpy(gram)
    matrix.diagonal().add_(config.penalty)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
    weights = inverse.div_(-inverse.diagonal().clone()).fill_diagonal_(0)
    return {"weights": weights.float()}


def scorer(tensors: Tensors, config: SimpleConfig) -> Scorer:
    """By the sum of a user's rows of B."""

    def score(windows: SequenceBatch) -> Tensor:
        return times(windows, config.half_life, tensors["weights"])

    return score


def length(config: SimpleConfig) -> int | None:
    """Of the window."""
    return window_length(config.half_life)
