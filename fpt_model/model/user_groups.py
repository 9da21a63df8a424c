"""Groups of users: k-means over the directions of their vectors.

The authors cluster the user vectors of an earlier run, saved to disk. Here the current vectors are
clustered every few epochs, so that one command trains the model.
"""

import torch
from torch import Tensor

ROUNDS = 25


def cluster(vectors: Tensor, n_groups: int, generator: torch.Generator) -> Tensor:
    """Lloyd's k-means with k-means++ seeds, on unit vectors since the group loss is of cosines.

    Args:
        vectors: (N, W).
        n_groups: at most N of them are used.
        generator: on the CPU.

    Returns:
        (N,) int64 groups from 0.
    """
    points = torch.nn.functional.normalize(vectors.detach(), dim=1)
    centres = points[_seeds(points, min(n_groups, len(points)), generator)]
    groups = _nearest(points, centres)
    for _ in range(ROUNDS):  # all of them: to ask whether any is left, a GPU has to be waited for
        centres = _means(points, groups, centres)
        groups = _nearest(points, centres)
    return groups


def _seeds(points: Tensor, count: int, generator: torch.Generator) -> list[int]:
    """k-means++: each next seed is drawn with chance by its squared distance to the nearest."""
    seeds = [int(torch.randint(len(points), (1,), generator=generator))]
    nearest = (points - points[seeds[0]]).square().sum(1)
    while len(seeds) < count:
        weights = nearest.cpu().double() + 1e-12
        seeds.append(int(torch.multinomial(weights, 1, generator=generator)))
        nearest = torch.minimum(nearest, (points - points[seeds[-1]]).square().sum(1))
    return seeds


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    return torch.cdist(points, centres).argmin(1)


def _means(points: Tensor, groups: Tensor, before: Tensor) -> Tensor:
    """Mean of each group; an empty group keeps its centre."""
    numbers = torch.arange(len(before), device=points.device)
    members = (groups[:, None] == numbers).to(points.dtype)  # (N, K)
    counts = members.sum(0)[:, None]
    return torch.where(counts > 0, members.T @ points / counts.clamp(min=1), before)
