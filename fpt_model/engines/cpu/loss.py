"""Losses of a part and their gradients. Letters: N tokens, D width, I items."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model.engines.cpu.pairs import Pairs, products, sums_by_query
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
    tokens, width = features.shape
    used = features[:, : items.shape[1]].contiguous()

    # each token has two pairs, with its target and its negative
    candidates = torch.stack([targets, negatives], 1).flatten()  # (2·N,)
    query = torch.arange(tokens + 1, dtype=torch.int32)
    pairs = Pairs(candidates.int(), 2 * query, query[:-1].repeat_interleave(2), len(items))

    # the loss of a score x is softplus(x), of the target's softplus(-x)
    sign = torch.tensor([-1.0, 1.0], dtype=features.dtype)
    scores = products(pairs, used, items).view(tokens, 2).mul_(sign)
    share = (targets > 0).to(features.dtype).div_(count)[:, None]
    total = F.softplus(scores).mul_(share).sum()

    # gradients of scores, of items, of features
    d_scores = scores.sigmoid_().mul_(share).mul_(sign)  # (N, 2)
    d_items = torch.zeros_like(items)
    for ids, grad in ((targets, d_scores[:, :1]), (negatives, d_scores[:, 1:])):
        d_items.index_add_(0, ids, used * grad)
    d_features = sums_by_query(pairs, d_scores.flatten(), items)
    if width > items.shape[1]:
        d_features = F.pad(d_features, (0, width - items.shape[1]))
    return total, d_features, d_items


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
