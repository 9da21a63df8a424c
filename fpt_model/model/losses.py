"""What training makes small.

Letters: B batch, T sequence, N their positions, D width, I items, U rows that are looked up,
K drawn items, P pairs of users.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fpt_model.model.encoder import Encoder
from fpt_model.model.fixed_point import embedding

AT_ONCE = 1 << 27  # scores of a sampled softmax, 512 MiB; of the others none are kept


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


def sampled_softmax_loss(
    features: Tensor,
    rows: Tensor,
    targets: Tensor,
    drawn: Tensor,
    log_expected: Tensor,
    seen: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of the next item, where drawn items stand for all others.

    A drawn item counts as many as it stands for: its score is lowered by the logarithm of how often
    it is expected among the draws (logQ correction), so that the sum of exponents is that over all
    items in expectation. A draw of the target itself does not count.

    Args:
        features: (B, T, D).
        rows: (U, D) vectors of items, the first of padding.
        targets: (B, T) places in `rows` of the next items, 0 where padded.
        drawn: (K,) likewise, of the drawn items.
        log_expected: (K,).
        seen: (B, T, K), which of them are left out.

    Returns:
        The mean over real positions.
    """
    features = features[..., : rows.shape[1]].flatten(0, 1)
    own, others = embedding(rows, targets.flatten()), embedding(rows, drawn)
    excluded = targets.flatten()[:, None] == drawn
    if seen is not None:
        excluded |= seen.flatten(0, 1)
    size = max(1, AT_ONCE // max(1, len(drawn)))
    parts = zip(features.split(size), own.split(size), excluded.split(size), strict=True)
    rest = others, log_expected
    if len(features) <= size:
        losses = [_sampled(*part, *rest) for part in parts]
    else:  # scores are computed again on the way back
        losses = [
            checkpoint(_sampled, *part, *rest, use_reentrant=False, preserve_rng_state=False)
            for part in parts
        ]
    real = targets.flatten() > 0
    return torch.where(real, torch.cat(losses), 0.0).sum() / real.sum()


def _sampled(
    features: Tensor, own: Tensor, excluded: Tensor, others: Tensor, log_expected: Tensor
) -> Tensor:
    """(N,) losses of features and target vectors (N, D) among others (K, D)."""
    target = (features * own).sum(1, keepdim=True)
    scores = (features @ others.T - log_expected).masked_fill(excluded, -math.inf)
    first = torch.zeros(len(own), dtype=torch.int64, device=own.device)
    return F.cross_entropy(torch.cat([target, scores], 1), first, reduction="none")


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
