"""What passes from kernel to kernel, of every layer: tiles (T, D), squares (T, T), sums by row.

Letters: S seeds, B batch, T sequence, D width, R interval rows, L blocks; G = S·B sequences.
"""

import triton
import triton.language as tl

# Tiles: those that every pass needs, in the order of their matrices, then those of training.
#   Q, K, V    query, key, value, with their positions
#   HAT, HAT2  what the first and second norm make of their input before their weight
#   X, H       a block's input, and its hidden layer behind dropout and ReLU
#   DN, DN2    gradients of what the norms give
#   DQ, DO     gradients of the query and of what attention gives
#   DU, DZ     gradients of what the first and second pointwise layer give
Q, K, V, HAT, X, HAT2, H, DN, DQ, DN2, DO, DU, DZ = (tl.constexpr(n) for n in range(13))
TO_RANK, TO_TRAIN = 3, 13
A, DS = tl.constexpr(0), tl.constexpr(1)  # squares: weights and the gradients of scores
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
