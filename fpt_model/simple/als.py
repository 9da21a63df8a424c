"""Matrix factorisation of who had what, by alternating least squares (Hu, Koren & Volinsky, 2008).

By the package `implicit`, which is asked for to fit alone. A user's vector is solved for again from
the items of the window: x = (Y'Y + (a - 1) Y_u'Y_u + lambda)^-1 a sum of y_i, Y the items' vectors,
Y_u those that the user had, a the confidence in these. So whoever is new gets one too.
"""

import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch
from fpt_model.evaluation.ranks import Scorer
from fpt_model.simple.borrowed import factorised
from fpt_model.simple.past import Past, Tensors
from fpt_model.simple.settings import SimpleConfig

FITTED_BY = ("factors", "iterations", "regularisation", "alpha")


def fit(past: Past, config: SimpleConfig) -> Tensors:
    """The items' vectors, (I + 1, F), that of 0 empty.

    Raises:
        ModelError: the package is not installed.
    """
    model = factorised(
        past,
        config.model,
        "cpu.als",
        "AlternatingLeastSquares",
        factors=config.factors,
        iterations=config.iterations,
        regularization=config.regularisation,
        alpha=config.alpha,
    )
    items = torch.from_numpy(model.item_factors).clone()
    items[0] = 0
    return {"items": items}


def scorer(tensors: Tensors, config: SimpleConfig) -> Scorer:
    """By the product of the solved vector and the items'."""
    vectors = tensors["items"].double()
    penalty = config.regularisation * torch.eye(vectors.shape[1], dtype=torch.float64)
    shared = vectors.T @ vectors + penalty

    def score(windows: SequenceBatch) -> Tensor:
        had = torch.zeros(len(windows.items), len(vectors), dtype=torch.float64)
        had.scatter_(1, windows.items, 1.0)
        had[:, 0] = 0
        wanted = config.alpha * had @ vectors  # (B, F)
        solved = torch.linalg.solve(_confident(shared, had, vectors, config.alpha), wanted)
        return (solved @ vectors.T).float()

    return score


def _confident(shared: Tensor, had: Tensor, vectors: Tensor, alpha: float) -> Tensor:
    """The matrix of each user, (B, F, F)."""
    if alpha == 1:
        return shared.expand(len(had), -1, -1)
    own = [vectors[items.nonzero()[:, 0]] for items in had]
    return shared + (alpha - 1) * torch.stack([some.T @ some for some in own])


def length(_: SimpleConfig) -> int | None:
    """Of the window: the whole history."""
    return None
