"""Matrix factorisation by Bayesian personalised ranking (Rendle et al., UAI 2009).

By the package `implicit`, which is asked for to fit alone. A user's vector is what training left:
what came after it changes nothing, and whoever is new gets the mean of all.
"""

import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch
from fpt_model.evaluation.ranks import Scorer
from fpt_model.simple.borrowed import factorised
from fpt_model.simple.past import Past, Tensors
from fpt_model.simple.settings import SimpleConfig

FITTED_BY = ("factors", "iterations", "regularisation", "learning_rate")


def fit(past: Past, config: SimpleConfig) -> Tensors:
    """Vectors of items (I + 1, F + 1) and users (N + 1, F + 1), the last number an item's bias.

    Raises:
        ModelError: the package is not installed.
    """
    model = factorised(
        past,
        config.model,
        "cpu.bpr",
        "BayesianPersonalizedRanking",
        factors=config.factors,
        iterations=config.iterations,
        regularization=config.regularisation,
        learning_rate=config.learning_rate,
    )
    users = torch.from_numpy(model.user_factors)
    return {
        "items": torch.from_numpy(model.item_factors).clone(),
        "users": torch.cat([users.mean(0, keepdim=True), users]),
    }


def scorer(tensors: Tensors, _: SimpleConfig) -> Scorer:
    """By the product of both vectors."""

    def score(windows: SequenceBatch) -> Tensor:
        return tensors["users"][windows.users] @ tensors["items"].T

    return score


def length(_: SimpleConfig) -> int | None:
    """Of the window: the training part alone counts."""
    return 1
