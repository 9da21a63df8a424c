"""What kernels do with a tile, (T, D): places, LayerNorm, products, exact scatters.

Masked rows and columns of a tile are zero.
"""

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from fpt_model.fused import layout

BLOCK = tl.constexpr(layout.BLOCK)
QUERY, KEY, VALUE, FIRST, SECOND = (tl.constexpr(n) for n in range(5))  # matrices of a block
FIXED = tl.constexpr(float(2**40))  # one, where reals are added as whole numbers


@triton.jit
def in_turn(OVERLAP: tl.constexpr):
    """Wait for the launch before to end, and let the next one take its places meanwhile."""
    if OVERLAP:
        gdc_wait()
        gdc_launch_dependents()


@triton.jit
def tile(T: tl.constexpr, D: tl.constexpr):
    """(T, D) places of a contiguous tile."""
    return tl.arange(0, T)[:, None] * D + tl.arange(0, D)[None, :]


@triton.jit
def normed(x, weight, bias, n, D: tl.constexpr):
    """LayerNorm over the first n columns; also (x - mean) / sd, and 1 / sd."""
    inside = (tl.arange(0, D) < n)[None, :]
    mean = tl.sum(x, 1) / n
    centred = tl.where(inside, x - mean[:, None], 0.0)
    rsd = 1 / tl.sqrt(tl.sum(centred * centred, 1) / n + 1e-8)
    hat = centred * rsd[:, None]
    return hat * weight[None, :] + bias[None, :], hat, rsd


@triton.jit
def normed_backward(dy, hat, rsd, weight, n, D: tl.constexpr):
    """Gradient of the input of a LayerNorm."""
    inside = (tl.arange(0, D) < n)[None, :]
    dhat = dy * weight[None, :]
    inner = tl.sum(dhat * hat, 1) / n
    dx = (dhat - (tl.sum(dhat, 1) / n)[:, None] - hat * inner[:, None]) * rsd[:, None]
    return tl.where(inside, dx, 0.0)


@triton.jit
def product(a, b):
    """Matrix product of the operands as they are, summed in float32."""
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def bias_offset(D: tl.constexpr):
    """From a matrix to its bias."""
    return D * D if D * D > BLOCK else BLOCK


@triton.jit
def matrix_offset(matrix, D: tl.constexpr):
    """From a block's first weight to a matrix: see `fused.layout.Layout`."""
    return (2 + 2 * (matrix // FIRST)) * BLOCK + matrix * (bias_offset(D) + BLOCK)


@triton.jit
def norm_offset(second, D: tl.constexpr):
    """From a block's first weight to that of its first or second norm."""
    return second * (2 * BLOCK + 3 * (bias_offset(D) + BLOCK))


@triton.jit
def layer_offset(layer, D: tl.constexpr):
    """From the first block's weights to a later one's."""
    return layer * (4 * BLOCK + 5 * (bias_offset(D) + BLOCK))


@triton.jit
def norm(model, second, D: tl.constexpr):
    """Weight and bias of a block's first or second norm."""
    place = model + norm_offset(second, D) + tl.arange(0, D)
    return tl.load(place), tl.load(place + BLOCK)


@triton.jit
def linear(x, model, halves, matrix, D: tl.constexpr):
    """x Wᵀ + b, with W (D, D) as PyTorch keeps it, of a block's weights."""
    place = matrix_offset(matrix, D)
    w = tl.load(halves + place + tile(D, D))
    bias = tl.load(model + place + bias_offset(D) + tl.arange(0, D))
    return product(x, tl.trans(w)) + bias[None, :]


@triton.jit
def linear_back(dy, halves, matrix: tl.constexpr, D: tl.constexpr):
    """Gradient of what `linear` takes."""
    return product(dy, tl.load(halves + matrix_offset(matrix, D) + tile(D, D)))


@triton.jit
def whole(values):
    """Reals as whole numbers, whose sum is the same in any order."""
    return tl.floor(values.to(tl.float64) * FIXED + 0.5).to(tl.int64)


@triton.jit
def add_whole(pointers, values, mask):
    """Scatter and add."""
    tl.atomic_add(pointers, whole(values), mask=mask, sem="relaxed")
