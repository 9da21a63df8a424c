"""LayerNorm of a tile in registers, forwards and back. Letters: M rows, D padded columns."""

import triton
import triton.language as tl


@triton.jit
def layer_norm(x, weight, bias, n, D: tl.constexpr):
    """LayerNorm over the first n columns; also (x - mean) / sd, mean and 1 / sd.

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
    return x_hat * weight[None, :] + bias[None, :], x_hat, mean, rstd


@triton.jit
def layer_norm_bwd(dy, x_hat, rstd, weight, n, D: tl.constexpr):
    """Gradient of the input of a LayerNorm, (M, D).

    Args:
        dy: (M, D) float32, gradient of its output.
        x_hat: (M, D) float32, (x - mean) / sd.
        rstd: (M,) float32, 1 / sd.
        weight: (D,) float32.
        n: columns that are no padding.
    """
    inside = (tl.arange(0, D) < n)[None, :]
    dhat = dy * weight[None, :]

    # dx = (dhat - mean(dhat) - x_hat · mean(dhat · x_hat)) / sd
    inner = tl.sum(dhat * x_hat, 1) / n
    dx = (dhat - (tl.sum(dhat, 1) / n)[:, None] - x_hat * inner[:, None]) * rstd[:, None]
    return tl.where(inside, dx, 0.0)
