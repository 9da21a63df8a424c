"""What training makes small.

Letters: B batch, T sequence, N their positions, D width, I items, U rows that are looked up,
K drawn items, P pairs of users.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

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


def gbce_power(n_negatives: int, n_items: int, calibration: float) -> float:
    """β, the power of the positive item's probability in `gbce_loss`.

    Binary cross-entropy against a sample of negatives learns probabilities that are too high: of
    all that are no positive item, only a share α is seen. β = α (t (1 - 1/α) + 1/α), which is
    1 - t (1 - α), makes up for that by the share t (gSASRec).

    Args:
        n_negatives: of a position; as many as there are, or more, count as all.
        n_items: I.
        calibration: t; 0 gives 1, and 1 gives α.

    >>> round(gbce_power(256, 1025, 0.75), 4)
    0.4375
    """
    share = min(1.0, n_negatives / max(1, n_items - 1))
    return 1 - calibration * (1 - share)


def gbce_loss(
    model: Encoder, features: Tensor, targets: Tensor, negatives: Tensor, calibration: float
) -> Tensor:
    """Generalised binary cross-entropy (gSASRec, Petrov and Macdonald 2023).

    Of a position it is the mean over the positive and its K negatives of -log σ(s)^β and of
    -log(1 - σ(s)). Their code transforms the positive's score, so that it can call PyTorch's loss;
    -log σ(s)^β is β softplus(-s). Their negatives may be any item, ours are new to the user, as
    those of `bce_loss` are.

    Args:
        model: gives the scores.
        features: (B, T, D).
        targets: (B, T).
        negatives: (B, T, K).
        calibration: see `gbce_power`.

    Returns:
        The mean over real positions.
    """
    count = negatives.shape[2]
    power = gbce_power(count, len(model.items.weight) - 1, calibration)
    size = max(1, AT_ONCE // ((count + 1) * model.items.weight.shape[1]))
    items = torch.cat([targets[..., None], negatives], 2).flatten(0, 1)  # (N, 1 + K)
    parts = zip(features.flatten(0, 1).split(size), items.split(size), strict=True)
    losses = _in_parts(_gbce, parts, len(items) <= size, model, power)
    real = targets.flatten() > 0
    return torch.where(real, losses, 0.0).sum() / real.sum()


def _gbce(features: Tensor, items: Tensor, model: Encoder, power: float) -> Tensor:
    """(N,) losses of features (N, D), of items (N, 1 + K) the first one positive."""
    scores = model.score(features, items)
    own, others = scores[:, 0], scores[:, 1:]
    return (power * F.softplus(-own) + F.softplus(others).sum(1)) / items.shape[1]


def _in_parts(
    loss: Callable[..., Tensor], parts: Iterable[Sequence[Tensor]], whole: bool, *rest: Any
) -> Tensor:
    """(N,) losses of parts of N positions; where they are several, scores are computed again on the
    way back."""
    if whole:
        return torch.cat([loss(*part, *rest) for part in parts])
    once_more: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    return torch.cat([checkpoint(loss, *part, *rest, **once_more) for part in parts])


def softmax_loss(
    model: Encoder,
    features: Tensor,
    targets: Tensor,
    seen: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of the next item among all items; see `bce_loss` for shapes.

    Args:
        model: gives the scores.
        features: (B, T, D).
        targets: (B, T).
        seen: (B, T, I + 1), items that are left out, unless they are the next one.
        smoothing: see `smoothed_cross_entropy`.
    """
    items = model.items.weight[1:]  # padding is no item
    scores = features[..., : items.shape[1]].flatten(0, 1) @ items.T
    excluded = None if seen is None else seen.flatten(0, 1)
    if smoothing:
        return smoothed_cross_entropy(scores, targets.flatten(), excluded, smoothing)
    return cross_entropy(scores, targets.flatten(), excluded)


def smoothed_cross_entropy(
    scores: Tensor, targets: Tensor, seen: Tensor | None, smoothing: float
) -> Tensor:
    """The mean of `cross_entropy` with label smoothing (Szegedy et al. 2016, section 7).

    The target has the share 1 - ε, and ε is divided evenly among all items that the softmax is
    over, the target among them: what is left out has none. PyTorch's own would give those that are
    left out a share, and so an infinite loss.

    Args:
        scores: (N, I), from item 1 on.
        targets: (N,) ids, 0 where padded.
        seen: (N, I + 1), items that are left out, unless they are the target.
        smoothing: ε.
    """
    real = targets > 0
    left_out = torch.zeros_like(scores, dtype=torch.bool)
    if seen is not None:  # where padded nothing is, so that no score is missing
        left_out = seen.scatter(1, targets[:, None], value=False)[:, 1:] & real[:, None]
    logs = scores.masked_fill(left_out, -math.inf).log_softmax(1)
    own = F.nll_loss(logs, targets - 1, ignore_index=-1, reduction="none")
    even = -logs.masked_fill(left_out, 0.0).sum(1) / (~left_out).sum(1)
    losses = (1 - smoothing) * own + smoothing * even
    return torch.where(real, losses, 0.0).sum() / real.sum()


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
    losses = _in_parts(_sampled, parts, len(features) <= size, others, log_expected)
    real = targets.flatten() > 0
    return torch.where(real, losses, 0.0).sum() / real.sum()


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
