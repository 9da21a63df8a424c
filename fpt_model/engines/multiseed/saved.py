"""What passes from kernel to kernel, of every layer: tiles (T, D), squares (T, T), sums by row.

Letters: S seeds, B batch, T sequence, D width, R interval rows, L blocks; G = S·B sequences.
"""

import triton
import triton.language as tl

# Tiles: those that every pass needs, in the order of their matrices, then those of training. `X` is
# a block's input, `HAT` what its first norm makes of it before its weight, `HAT2` the second one's,
# `H` the hidden layer.
Q, K, V, HAT, X, HAT2, H, DN, DQ, DN2, DO, DU, DZ = (tl.constexpr(n) for n in range(13))
TO_RANK, TO_TRAIN = 3, 13
A, DS = tl.constexpr(0), tl.constexpr(1)  # squares: weights and the slopes of scores
VALUES, KEYS = tl.constexpr(0), tl.constexpr(1)  # sums by row of these


@triton.jit
def at(saved, kind, layer, sequence, groups, LAYERS: tl.constexpr, SIZE: tl.constexpr):
    """Where a sequence's part of what was saved lies.

    Args:
        saved: (kinds, LAYERS, G, SIZE).
        kind, layer, sequence: which.
        groups: G.
    """
    return saved + (groups * (layer + kind * LAYERS) + sequence).to(tl.int64) * SIZE
