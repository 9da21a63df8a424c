"""Losses of a part and their gradients. Letters: N tokens, D width, I items."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model.engines.cpu.products import linear, outer_sum


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
    share = (targets > 0).to(features.dtype).div_(count)
    total, d_items = features.new_zeros(()), torch.zeros_like(items)
    d_used = torch.zeros_like(used)

    # the loss of a score x is softplus(x), of the target's softplus(-x)
    for ids, sign in ((targets, -1), (negatives, 1)):
        vectors = torch.embedding(items, ids)  # (N, up to D)
        scores = torch.linalg.vecdot(used, vectors).mul_(sign)
        total += F.softplus(scores).mul_(share).sum()
        d_scores = scores.sigmoid_().mul_(share).mul_(sign)[:, None]
        d_items.index_add_(0, ids, used * d_scores)
        d_used.addcmul_(vectors, d_scores)
    return total, _as_wide(d_used, features), d_items


def softmax(
    features: Tensor,
    items: Tensor,
    targets: Tensor,
    count: int,
    seen: Tensor | None = None,
    smoothing: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy among all items, see `fpt_model.model.losses.softmax_loss`; as `bce`.

    `seen` is (N, I + 1).
    """
    left_out: Tensor | None = None
    used, every = features[:, : items.shape[1]].contiguous(), items[1:]  # padding is no item
    share = (targets > 0).to(features.dtype).div_(count)
    at = (targets - 1).clamp_(min=0)[:, None]  # (N, 1)
    scores = linear(used, every)  # (N, I)
    if seen is not None:  # a token without target leaves nothing out, so that no score is missing
        left_out = seen.scatter(1, targets[:, None], value=False)[:, 1:] & (targets > 0)[:, None]
        scores.masked_fill_(left_out, -math.inf)

    # the loss, and its gradients by scores, items and features
    logs = scores.log_softmax(1)
    own = logs.gather(1, at)[:, 0]
    if smoothing:
        even, shares = _even(logs, left_out)
        own.mul_(1 - smoothing).add_(even, alpha=smoothing)
    total = own.mul_(share).sum().neg_()
    d_scores = logs.exp_()
    if smoothing:
        d_scores.sub_(shares, alpha=smoothing)
    d_scores.scatter_add_(1, at, torch.full_like(at, smoothing - 1, dtype=logs.dtype))
    d_scores.mul_(share[:, None])
    d_items = torch.zeros_like(items)
    d_items[1:] = outer_sum(used, d_scores).T  # of both operands the smaller is copied
    return total, _as_wide(linear(d_scores, every.T), features), d_items


def _even(logs: Tensor, left_out: Tensor | None) -> tuple[Tensor, Tensor]:
    """Of logarithms (N, I) the mean (N,) over what is not left out, and each item's share in it:
    (N, I), or (1, 1) where nothing is."""
    if left_out is None:
        return logs.mean(1), logs.new_full((1, 1), 1 / logs.shape[1])
    shares = (~left_out).to(logs.dtype)
    shares.div_(shares.sum(1, keepdim=True))
    return logs.masked_fill(left_out, 0.0).mul_(shares).sum(1), shares


def _as_wide(grads: Tensor, features: Tensor) -> Tensor:
    """Gradients by the first columns of features as those by all of them."""
    missing = features.shape[1] - grads.shape[1]
    return F.pad(grads, (0, missing)) if missing else grads
