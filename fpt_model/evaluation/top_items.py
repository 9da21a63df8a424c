"""The items that come first by their scores.

Letters: B users of a batch, K places, I items of all.
"""

import torch
from torch import Tensor


def highest(scores: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The highest scores, equal ones in the order of their items.

    Args:
        scores: (B, I + 1); column 0 is padding, and -inf is what may not be taken.
        top: K; all I where it is more.

    Returns:
        Values and items, (B, K); -inf where nothing is left.
    """
    values, columns = highest_columns(scores[:, 1:], top)
    return values, columns + 1


def highest_columns(scores: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The highest scores (B, C), equal ones in the order of their columns, and these columns."""
    values, items = scores.topk(min(top, scores.shape[1]), dim=1)  # (B, K)
    cut = values[:, -1:]  # of the last place
    tied = (scores >= cut).sum(1) > values.shape[1]  # (B,), of which topk took any
    items[tied] = _first_down_to(scores[tied], cut[tied], values.shape[1])
    items = items.sort(dim=1).values
    values, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    return values, items.gather(1, order)


def _first_down_to(scores: Tensor, cut: Tensor, top: int) -> Tensor:
    """Places of the `top` highest scores of each row; of those equal to the cut the first."""
    above, equal = scores > cut, scores == cut
    free = top - above.sum(1, keepdim=True)  # (B, 1)
    batch_rows = above | (equal & (equal.cumsum(1, dtype=torch.int32) <= free))
    return batch_rows.nonzero()[:, 1].view(len(scores), top)
