"""What kernels do with a tile, (T, D): places, LayerNorm, products, exact scatters.

Masked rows and columns of a tile are zero.
"""

import triton
import triton.language as tl

FIXED = tl.constexpr(float(2**40))  # one, where reals are added as whole numbers


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
def linear(x, weight, bias, D: tl.constexpr):
    """x Wᵀ + b, with W (D, D) as PyTorch keeps it."""
    w = tl.load(weight + tile(D, D))
    return product(x, tl.trans(w)) + tl.load(bias + tl.arange(0, D))[None, :]


@triton.jit
def whole(values):
    """Reals as whole numbers, whose sum is the same in any order."""
    return tl.floor(values.to(tl.float64) * FIXED + 0.5).to(tl.int64)


@triton.jit
def add_whole(pointers, values, mask):
    """Scatter and add."""
    tl.atomic_add(pointers, whole(values), mask=mask, sem="relaxed")
