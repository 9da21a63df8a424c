"""Losses of a part and their gradients. Letters: N tokens, D width, I items."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model.model.losses import cross_entropy


def bce(
    features: Tensor, items: Tensor, targets: Tensor, negatives: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Binary cross-entropy, see `fpt_model.model.losses.bce_loss`.

    Args:
        features: (N, D).
        items: their vectors (I + 1, up to D).
        targets: (N,) ids, 0 where there is none.
        negatives: (N,) ids.
        count: what the sum over tokens is divided by.

    Returns:
        The loss, its gradients by features and by items.
    """
    used = features[:, : items.shape[1]]
    sign_of = {1: targets, -1: negatives}  # the loss of a score x is softplus(-x), softplus(x)
    share = (targets > 0).to(features.dtype).div_(count)

    total, d_items, d_used = features.new_zeros(()), torch.zeros_like(items), None
    for sign, ids in sign_of.items():
        vectors = torch.embedding(items, ids)  # (N, D)
        scores = torch.linalg.vecdot(used, vectors).mul_(-sign)
        total += F.softplus(scores).mul_(share).sum()
        d_scores = scores.sigmoid_().mul_(share).mul_(-sign)[:, None]
        d_items.index_add_(0, ids, used * d_scores)
        vectors.mul_(d_scores)
        d_used = vectors if d_used is None else d_used.add_(vectors)
    missing = features.shape[1] - items.shape[1]
    return total, F.pad(d_used, (0, missing)) if missing else d_used, d_items


def softmax(
    features: Tensor, items: Tensor, targets: Tensor, count: int, seen: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy among all items, see `fpt_model.model.losses.softmax_loss`; as `bce`.

    `seen` is (N, I + 1).
    """
    features, items = features.detach().requires_grad_(), items.detach().requires_grad_()
    with torch.enable_grad():
        scores = features[:, : items.shape[1]] @ items[1:].T
        total = cross_entropy(scores, targets, seen, reduction="sum") / count
    d_features, d_items = torch.autograd.grad(total, (features, items))
    return total.detach(), d_features, d_items
