"""The group loss of random pairs of users, as kernels of both engines take it.

Letters: P pairs, W width.
"""

import triton
import triton.language as tl

from fpt_model.engines.gpu.rng import FIRST, SECOND, below, bits

PAIRS_AT_ONCE = 16  # by a program; 500 by one take longer than all else of a step


@triton.jit
def group_pairs(
    users, groups, key, key2, numbers, n_users, pairs, margin, weight, count,
    W: tl.constexpr, WP: tl.constexpr, S: tl.constexpr,
):  # fmt: skip
    """Draw pairs of users; their weighted losses, see `losses.group_loss`, and gradients.

    Args:
        users: (n_users + 1, S) float32, of width W.
        groups: (n_users + 1,), of users; -1 while there are none.
        key, key2: words of the step's key.
        numbers: (P,) int32, of the pairs.
        n_users, pairs: users are 1 to this, and pairs of a step.
        margin, weight: of the group loss.
        count: by which gradients are multiplied.
        WP: W padded to a power of two.

    Returns:
        The losses (P,); where both users' vectors lie, their gradients and a mask, (P, WP) each.
    """
    # draw pairs, load their groups and vectors
    there = (numbers < pairs) & (tl.load(groups + 1) >= 0)
    first = 1 + below(bits(key, key2, FIRST, numbers), n_users)
    second = 1 + below(bits(key, key2, SECOND, numbers), n_users)
    same = tl.load(groups + first) == tl.load(groups + second)
    w = tl.arange(0, WP)[None, :]
    mask = there[:, None] & (w < W)
    at_x, at_y = first[:, None] * S + w, second[:, None] * S + w
    x = tl.load(users + at_x, mask=mask, other=0.0)
    y = tl.load(users + at_y, mask=mask, other=0.0)
    size_x = tl.maximum(tl.sqrt(tl.sum(x * x, 1)), 1e-8)
    size_y = tl.maximum(tl.sqrt(tl.sum(y * y, 1)), 1e-8)
    cosine = tl.sum(x * y, 1) / (size_x * size_y)

    # one group: 1 - cosine; two groups: what the cosine is above the margin
    loss = tl.where(same, 1 - cosine, tl.maximum(cosine - margin, 0.0))
    grad = tl.where(same, -1.0, tl.where(cosine > margin, 1.0, 0.0))
    grad = tl.where(there, grad * weight * count, 0.0)

    # the cosine's gradient by x: (ŷ - cosine · x̂) / |x|
    hat_x, hat_y = x / size_x[:, None], y / size_y[:, None]
    dx = (grad / size_x)[:, None] * (hat_y - cosine[:, None] * hat_x)
    dy = (grad / size_y)[:, None] * (hat_x - cosine[:, None] * hat_y)
    return tl.where(there, weight * loss, 0.0), at_x, at_y, dx, dy, mask
