"""Metrics from ranks. With one held-out item a user, recall is the hit rate."""

import torch
from torch import Tensor


def recall(ranks: Tensor, k: int) -> float:
    """Share of ranks (N,) within the first k.

    >>> recall(torch.tensor([1.0, 10.0, 10.5, 40.0]), 10)
    0.5
    """
    return (ranks <= k).double().mean().item()


def ndcg(ranks: Tensor, k: int) -> float:
    """Mean of 1 / log2(rank + 1) within the first k, else 0.

    >>> round(ndcg(torch.tensor([1.0, 2.0, 11.0]), 10), 6)  # (1 + 1 / log2(3) + 0) / 3
    0.543643
    """
    gains = 1 / torch.log2(ranks.double() + 1)
    return torch.where(ranks <= k, gains, 0.0).mean().item()


def mrr(ranks: Tensor, k: int) -> float:
    """Mean of 1 / rank within the first k, else 0.

    >>> mrr(torch.tensor([1.0, 4.0, 11.0]), 10)
    0.4166666666666667
    """
    return torch.where(ranks <= k, 1 / ranks.double(), 0.0).mean().item()
