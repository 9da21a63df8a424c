"""Losses of a part and their slopes. Letters: N tokens, D width, I items."""

import torch
import torch.nn.functional as F
from torch import Tensor


def bce(
    features: Tensor, items: Tensor, targets: Tensor, negatives: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Binary cross-entropy, see `fpt_model.losses.bce_loss`.

    Args:
        features: (N, D).
        items: their vectors (I + 1, up to D).
        targets: (N,) ids, 0 where there is none.
        negatives: (N,) ids.
        count: what the sum over tokens is divided by.

    Returns:
        The loss, its slopes by features and by items.
    """
    used = features[:, : items.shape[1]]
    share = (targets > 0).to(features.dtype).div_(count)[:, None]
    wanted, drawn = items.index_select(0, targets), items.index_select(0, negatives)
    wins, losses = ((used * x).sum(1, keepdim=True) for x in (wanted, drawn))
    total = (share * (F.softplus(-wins) + F.softplus(losses))).sum()
    of_wins, of_losses = torch.sigmoid(-wins).mul_(-share), torch.sigmoid(losses).mul_(share)
    of_items = torch.zeros_like(items)
    of_items.index_add_(0, targets, used * of_wins).index_add_(0, negatives, used * of_losses)
    slopes = torch.zeros_like(features)
    torch.add(wanted.mul_(of_wins), drawn.mul_(of_losses), out=slopes[:, : items.shape[1]])
    return total, slopes, of_items


def softmax(
    features: Tensor, items: Tensor, targets: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy among all items, see `fpt_model.losses.softmax_loss`; as `bce`."""
    features, items = features.detach().requires_grad_(), items.detach().requires_grad_()
    with torch.enable_grad():
        scores = (features[:, : items.shape[1]] @ items.T)[:, 1:]
        total = F.cross_entropy(scores, targets - 1, ignore_index=-1, reduction="sum") / count
    of_features, of_items = torch.autograd.grad(total, (features, items))
    return total.detach(), of_features, of_items
