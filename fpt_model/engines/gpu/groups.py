"""The group loss of random pairs of users, as kernels of both engines take it.

Letters: P pairs, W width.
"""

import triton
import triton.language as tl

from fpt_model.engines.gpu.rng import FIRST, SECOND, below, bits

PAIRS_AT_ONCE = 16  # by a program; 500 by one take longer than all else of a step


@triton.jit
def pairs_of(key, key2, numbers, n_users):
    """Both users of the step's pairs.

    Args:
        key, key2: words of the step's key.
        numbers: (P,) int32, of the pairs.
        n_users: users are 1 to this.
    """
    first = 1 + below(bits(key, key2, FIRST, numbers), n_users)
    return first, 1 + below(bits(key, key2, SECOND, numbers), n_users)


@triton.jit
def pair_slopes(x, y, same, there, margin, weight, count):
    """Weighted losses of pairs, (P,), see `losses.group_loss`, and slopes by x and y, (P, W).

    Args:
        x, y: (P, W) float32, vectors of both users.
        same: (P,), whether they are of one group.
        there: (P,), whether a pair counts.
        margin, weight: of the group loss.
        count: by which slopes are multiplied.
    """
    size_x = tl.maximum(tl.sqrt(tl.sum(x * x, 1)), 1e-8)
    size_y = tl.maximum(tl.sqrt(tl.sum(y * y, 1)), 1e-8)
    cosine = tl.sum(x * y, 1) / (size_x * size_y)

    # one group: 1 - cosine; two groups: what the cosine is above the margin
    loss = tl.where(same, 1 - cosine, tl.maximum(cosine - margin, 0.0))
    slope = tl.where(same, -1.0, tl.where(cosine > margin, 1.0, 0.0))
    slope = tl.where(there, slope * weight * count, 0.0)

    # the cosine's gradient by x: (ŷ - cosine · x̂) / |x|
    hat_x, hat_y = x / size_x[:, None], y / size_y[:, None]
    dx = (slope / size_x)[:, None] * (hat_y - cosine[:, None] * hat_x)
    dy = (slope / size_y)[:, None] * (hat_x - cosine[:, None] * hat_y)
    return tl.where(there, weight * loss, 0.0), dx, dy
