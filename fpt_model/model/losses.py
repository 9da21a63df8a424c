"""What training makes small. Letters: B batch, T sequence, D width, I items, P pairs."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model.model.encoder import Encoder


def bce_loss(model: Encoder, features: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
    """Binary cross-entropy of the next item against one sampled item (SASRec, section 3.5).

    Args:
        model: gives the scores.
        features: (B, T, D).
        targets: (B, T) the next item at each position, 0 where padded.
        negatives: (B, T).

    Returns:
        The mean over real positions of both terms' sum.
    """
    real = targets > 0
    wins, losses = model.score(features, torch.stack([targets, negatives], 2)).unbind(2)
    losses = F.softplus(-wins) + F.softplus(losses)
    return torch.where(real, losses, 0.0).sum() / real.sum()


def softmax_loss(
    model: Encoder, features: Tensor, targets: Tensor, seen: Tensor | None = None
) -> Tensor:
    """Cross-entropy of the next item among all items; see `bce_loss` for shapes.

    Args:
        model: gives the scores.
        features: (B, T, D).
        targets: (B, T).
        seen: (B, T, I + 1), items that are left out, unless they are the next one.
    """
    items = model.items.weight[1:]  # padding is no item
    scores = features[..., : items.shape[1]].flatten(0, 1) @ items.T
    excluded = None if seen is None else seen.flatten(0, 1)
    return cross_entropy(scores, targets.flatten(), excluded)


def cross_entropy(
    scores: Tensor, targets: Tensor, seen: Tensor | None, reduction: str = "mean"
) -> Tensor:
    """Cross-entropy of targets among items; padding has no part as a target.

    Args:
        scores: (N, I), from item 1 on.
        targets: (N,) ids, 0 where padded.
        seen: (N, I + 1), items that are left out, unless they are the target.
        reduction: see `torch.nn.functional.cross_entropy`.
    """
    if seen is not None:
        excluded = seen.scatter(1, targets[:, None], value=False)[:, 1:]
        scores = scores.masked_fill(excluded, -math.inf)
    return F.cross_entropy(scores, targets - 1, ignore_index=-1, reduction=reduction)


def group_loss(users: Tensor, first: Tensor, second: Tensor, same: Tensor, margin: float) -> Tensor:
    """Users of one group near each other, of different groups apart (the paper, section 3.3).

    Sum of 1 - cos over pairs of one group, of max(0, cos - margin) over the others. The paper
    prints the margin within the cosine; it is read as in the standard cosine-embedding loss, which
    its authors' code calls.

    Args:
        users: (N + 1, W) user vectors.
        first, second: (P,) ids.
        same: (P,) bool, whether they are of one group.
        margin: cosine below which users of different groups cost nothing.
    """
    cosine = F.cosine_similarity(F.embedding(first, users), F.embedding(second, users))
    return torch.where(same, 1 - cosine, (cosine - margin).clamp(min=0)).sum()
