"""Loss of a sequence, and its gradient. Losses are sums over positions: see `fused.update`."""

import triton
import triton.language as tl

from fpt_model.fused import layout
from fpt_model.fused.tiles import add_whole, normed, normed_backward, tile

BLOCK = tl.constexpr(layout.BLOCK)


@triton.jit
def loss_and_slopes(
    model, o_items, o_norm, scattered, x_in, targets, negatives,
    dx_out, hat_out, dn_out, losses, size, scattered_size, batch,
    T: tl.constexpr, D: tl.constexpr, N: tl.constexpr, IW: tl.constexpr, IP: tl.constexpr,
):  # fmt: skip
    """Binary cross-entropy, its gradient, and that of the items. Grid (G,).

    Leaves what the last norm makes (hat) and the gradient of what it gives (dn) to `fused.sums`.
    """
    program = tl.program_id(0)
    seed = program // batch
    model += seed.to(tl.int64) * size
    scattered += seed.to(tl.int64) * scattered_size
    wide = program.to(tl.int64)
    d, t = tl.arange(0, D), tl.arange(0, T)
    weight = tl.load(model + o_norm + d)
    x = tl.load(x_in + wide * T * D + tile(T, D))
    f, hat, rsd = normed(x, weight, tl.load(model + o_norm + BLOCK + d), N, D)
    target = tl.load(targets + program * T + t)
    negative = tl.load(negatives + program * T + t)
    real = target > 0
    used = real[:, None] & (d < IW)[None, :]
    to_target = target[:, None] * IP + d[None, :]
    to_negative = negative[:, None] * IP + d[None, :]
    wanted = tl.load(model + o_items + to_target, mask=used, other=0.0)
    unwanted = tl.load(model + o_items + to_negative, mask=used, other=0.0)
    up, down = tl.sum(f * wanted, 1), tl.sum(f * unwanted, 1)
    loss = softplus(-up) + softplus(down)
    tl.store(losses + program, tl.sum(tl.where(real, loss, 0.0), 0))
    slope_up = tl.where(real, tl.sigmoid(up) - 1, 0.0)
    slope_down = tl.where(real, tl.sigmoid(down), 0.0)
    df = slope_up[:, None] * wanted + slope_down[:, None] * unwanted
    add_whole(scattered + o_items + to_target, slope_up[:, None] * f, used)
    add_whole(scattered + o_items + to_negative, slope_down[:, None] * f, used)
    here = wide * T * D + tile(T, D)
    tl.store(hat_out + here, hat.to(hat_out.dtype.element_ty))
    tl.store(dn_out + here, df.to(dn_out.dtype.element_ty))
    tl.store(dx_out + here, normed_backward(df, hat, rsd, weight, N, D))


@triton.jit
def softplus(x):
    """log(1 + exp(x))."""
    return tl.maximum(x, 0.0) + tl.log(1 + tl.exp(-tl.abs(x)))
