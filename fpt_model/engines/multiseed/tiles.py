"""What kernels do with a tile, (T, D): places, LayerNorm, products, exact scatters.

Masked rows and columns of a tile are zero.
"""

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from fpt_model.engines.gpu import layout

BLOCK = tl.constexpr(layout.BLOCK)
QUERY, KEY, VALUE, FIRST, SECOND = (tl.constexpr(n) for n in range(5))  # matrices of a block
AHEAD = tl.constexpr(3)  # of a loop's loads, on their way before they are used
FIXED_ONE = tl.constexpr(float(2**40))  # one, where reals are added as fixed-point numbers


@triton.jit
def pdl_wait(PDL: tl.constexpr):
    """Wait for the launch before to end, and let the next one take its places meanwhile.

    This is programmatic dependent launch: what a program does before is hidden behind the launch
    before, and must not need what that one writes.
    """
    if PDL:
        gdc_wait()
        gdc_launch_dependents()


@triton.jit
def tile(T: tl.constexpr, D: tl.constexpr):
    """(T, D) places of a contiguous tile."""
    return tl.arange(0, T)[:, None] * D + tl.arange(0, D)[None, :]


@triton.jit
def columns(begin, M: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """(M, C) places of a matrix (M, R), from a column on."""
    return tl.arange(0, M)[:, None] * R + begin + tl.arange(0, C)[None, :]


@triton.jit
def program_coordinates(first_real, T: tl.constexpr, M: tl.constexpr):
    """Of a program: how many sequences there are, which is its own, from which row on, and the
    first row of the sequence that is no padding.

    May be asked before `pdl_wait`: a step's draws were over before the last step's Adam began.

    Args:
        first_real: (G,) int32.
    """
    # Tiles of one sequence are neighbours: they read the same keys and values while those are in
    # the cache.
    program = tl.program_id(0)
    sequence = program // (T // M)
    groups, first = tl.num_programs(0) // (T // M), program % (T // M) * M
    return groups, sequence, first, tl.load(first_real + sequence)


@triton.jit
def read(pointers, first, begin, M: tl.constexpr):
    """M rows of a tile from row `first` of a sequence; those before `begin` are zero, unread."""
    # A row before the first real one is never written: its memory holds what another step left.
    return tl.load(pointers, mask=(first + tl.arange(0, M) >= begin)[:, None], other=0.0)


@triton.jit
def write(pointers, values, first, begin, M: tl.constexpr):
    """Rows of a tile, but those before `begin`."""
    values = values.to(pointers.dtype.element_ty)
    tl.store(pointers, values, mask=(first + tl.arange(0, M) >= begin)[:, None])


@triton.jit
def keep_mask(masks, first, begin, M: tl.constexpr, RATE: tl.constexpr):
    """Factors of a dropout at places that `multiseed.inputs.draw` has drawn, see `read`."""
    return read(masks, first, begin, M).to(tl.float32) * (1 / (1 - RATE))


@triton.jit
def normed(x, weight, bias, n, D: tl.constexpr):
    """LayerNorm over the first n columns; also (x - mean) / sd, and 1 / sd.

    Args:
        x: (M, D) float32, zero from column n on.
        weight, bias: (D,) float32.
    """
    inside = (tl.arange(0, D) < n)[None, :]

    # Padding would join the variance once the mean is taken off: it is masked.
    mean = tl.sum(x, 1) / n
    centred = tl.where(inside, x - mean[:, None], 0.0)
    rstd = 1 / tl.sqrt(tl.sum(centred * centred, 1) / n + 1e-8)
    x_hat = centred * rstd[:, None]
    return x_hat * weight[None, :] + bias[None, :], x_hat, rstd


@triton.jit
def normed_backward(dy, hat, rsd, weight, n, D: tl.constexpr):
    """Gradient of the input of a LayerNorm, (M, D).

    Args:
        dy: (M, D) float32, gradient of its output.
        hat: (M, D) float32, (x - mean) / sd.
        rsd: (M,) float32, 1 / sd.
        weight: (D,) float32.
        n: columns that are no padding.
    """
    inside = (tl.arange(0, D) < n)[None, :]
    dhat = dy * weight[None, :]

    # dx = (dhat - mean(dhat) - hat · mean(dhat · hat)) / sd
    inner = tl.sum(dhat * hat, 1) / n
    dx = (dhat - (tl.sum(dhat, 1) / n)[:, None] - hat * inner[:, None]) * rsd[:, None]
    return tl.where(inside, dx, 0.0)


@triton.jit
def product(a, b):
    """Matrix product of the operands as they are, summed in float32."""
    # ieee: where tests have float32 operands, they are not rounded to TF32
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def bias_offset(D: tl.constexpr):
    """From a matrix to its bias."""
    # the matrix takes whole blocks
    return D * D if D * D > BLOCK else BLOCK


@triton.jit
def matrix_offset(matrix, D: tl.constexpr):
    """From a block's first weight to a matrix: see `multiseed.layout.Layout`."""
    # one norm, of two tensors, lies before query, key and value, and another before the pointwise
    # layers
    return (2 + 2 * (matrix // FIRST)) * BLOCK + matrix * (bias_offset(D) + BLOCK)


@triton.jit
def norm_offset(second, D: tl.constexpr):
    """From a block's first weight to that of its first or second norm."""
    # the second lies behind the first and three matrices
    return second * (2 * BLOCK + 3 * (bias_offset(D) + BLOCK))


@triton.jit
def layer_offset(layer, D: tl.constexpr):
    """From the first block's weights to a later one's."""
    # two norms and five matrices
    return layer * (4 * BLOCK + 5 * (bias_offset(D) + BLOCK))


@triton.jit
def norm(model, second, D: tl.constexpr):
    """Weight and bias of a block's first or second norm."""
    place = model + norm_offset(second, D) + tl.arange(0, D)
    return tl.load(place), tl.load(place + BLOCK)


@triton.jit
def matrix_rows(fp16, matrix, begin, P: tl.constexpr, D: tl.constexpr):
    """P rows of a block's matrix (D, D), as PyTorch keeps it, from `begin` on."""
    return tl.load(fp16 + matrix_offset(matrix, D) + begin * D + tile(P, D))


@triton.jit
def matrix_columns(fp16, matrix, begin, P: tl.constexpr, D: tl.constexpr):
    """P columns of a block's matrix."""
    return tl.load(fp16 + matrix_offset(matrix, D) + columns(begin, D, D, P))


@triton.jit
def bias_of(model, matrix, begin, D: tl.constexpr, C: tl.constexpr):
    """C elements of the bias that goes with a matrix, (1, C)."""
    place = model + matrix_offset(matrix, D) + bias_offset(D) + begin
    return tl.load(place + tl.arange(0, C))[None, :]


@triton.jit
def from_first(sum1, first1, sum2, first2):
    """Adds up, anew from each first one: the step of a scan.

    Args:
        sum1, first1: sum and flag of what comes before.
        sum2, first2: of what follows.
    """
    return tl.where(first2 > 0, sum2, sum1 + sum2), first1 | first2


@triton.jit
def to_fixed_point(values):
    """Reals as fixed-point numbers, whose sum is the same in any order: what threads add up repeats
    to the bit. 2^40 to one leaves room for sums up to 2^23.
    """
    # in float64: float32 would lose the half that rounds
    return tl.floor(values.to(tl.float64) * FIXED_ONE + 0.5).to(tl.int64)


@triton.jit
def add_fixed_point(pointers, values, mask):
    """Scatter and add.

    Args:
        pointers: int64, of any shape.
        values: reals, of the same shape.
        mask: which are added.
    """
    # relaxed: nobody reads before the launch has ended
    tl.atomic_add(pointers, to_fixed_point(values), mask=mask, sem="relaxed")
