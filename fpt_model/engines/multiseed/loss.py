"""Loss of M positions, and its gradient. Losses are sums over positions: see `multiseed.update`."""

import triton
import triton.language as tl

from fpt_model.engines.gpu import layout
from fpt_model.engines.gpu.losses import bce
from fpt_model.engines.multiseed.tiles import add_fixed_point, normed, normed_backward, read, write

BLOCK = tl.constexpr(layout.BLOCK)


@triton.jit
def loss_backward(
    model, o_items, o_norm, embedding_grads, x, targets, negatives, losses, hat_out, dn_out,
    first, begin,
    M: tl.constexpr, D: tl.constexpr, N: tl.constexpr, IW: tl.constexpr, IP: tl.constexpr,
):  # fmt: skip
    """Gradient of what the last norm takes, (M, D), by binary cross-entropy; that of the items.

    Leaves what the last norm makes and the gradient of what it gives to `sums.py`.

    Args:
        model: (size,) float32, the seed's weights.
        o_items, o_norm: where the items and the last norm begin.
        embedding_grads: (embedding_size,) int64 of the seed, gets the items' gradient.
        x: positions (M, D) float32, the last block's output.
        targets, negatives: (M,) int32 items, targets 0 where there is none.
        losses: (M,) float32, gets the loss of each position.
        hat_out, dn_out: positions (M, D) float16, get x_hat and its gradient after the weight.
        first, begin: the program's first position, and the sequence's first real one.
        IW, IP: width of an item's vector, and elements from one to the next.
    """
    # normalise
    d, m = tl.arange(0, D), tl.arange(0, M)
    weight = tl.load(model + o_norm + d)
    bias = tl.load(model + o_norm + BLOCK + d)
    f, x_hat, rstd = normed(read(x, first, begin, M), weight, bias, N, D)

    # load both items' vectors
    target, negative = tl.load(targets + m), tl.load(negatives + m)
    real = target > 0
    used = real[:, None] & (d < IW)[None, :]
    to_target = target[:, None] * IP + d[None, :]
    to_negative = negative[:, None] * IP + d[None, :]
    wanted = tl.load(model + o_items + to_target, mask=used, other=0.0)
    unwanted = tl.load(model + o_items + to_negative, mask=used, other=0.0)

    # scores, their gradients and loss
    up, down = tl.sum(f * wanted, 1), tl.sum(f * unwanted, 1)
    loss, slope_up, slope_down = bce(up, down)
    tl.store(losses + m, tl.where(real, loss, 0.0))

    # gradients of the normed vector, of the items
    slope_up, slope_down = tl.where(real, slope_up, 0.0), tl.where(real, slope_down, 0.0)
    df = slope_up[:, None] * wanted + slope_down[:, None] * unwanted
    add_fixed_point(embedding_grads + o_items + to_target, slope_up[:, None] * f, used)
    add_fixed_point(embedding_grads + o_items + to_negative, slope_down[:, None] * f, used)

    # last norm
    write(hat_out, x_hat, first, begin, M)
    write(dn_out, df, first, begin, M)
    return normed_backward(df, x_hat, rstd, weight, N, D)
