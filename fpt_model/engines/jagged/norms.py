"""Kernels between the products: residual sums, LayerNorm, dropout and ReLU, forwards and back.

A program takes BM tokens, in P ≥ K columns of which D are used. Tensors (N, K) are float16. What
attention gives and takes has columns by head, see weights.py.

Letters: N tokens, B sequences, D width, K columns, KH columns by head, W width of a head, STRIDE
columns from one to the next; GAPS: whether that is more.
"""

import triton
import triton.language as tl

from fpt_model.engines.gpu.rng import dropout, fast_bits
from fpt_model.engines.jagged.tokens import add_fixed_point, words

EPS: tl.constexpr = tl.constexpr(1e-8)


@triton.jit
def _tile(D: tl.constexpr, K: tl.constexpr, BM: tl.constexpr, P: tl.constexpr):
    """The program's tokens (BM,), columns (P,), their places in (N, K), and which are used."""
    t = tl.program_id(0) * BM + tl.arange(0, BM)
    w = tl.arange(0, P)
    mask = (w < D)[None, :] & (t >= 0)[:, None]
    return t, w, t[:, None] * K + w[None, :], mask


@triton.jit
def _by_head(t, w, KH: tl.constexpr, W: tl.constexpr, STRIDE: tl.constexpr):
    """Places of columns w of tokens t in (N, KH)."""
    column = w + w // W * (STRIDE - W)

    # what the compiler can't know: so many neighbours stay neighbours
    if W % 4 == 0:
        column = tl.max_contiguous(tl.multiple_of(column, 4), 4)
    return t[:, None] * KH + column[None, :]


@triton.jit
def add_and_norm(
    a, branch, total, out, means, scales, flat, o_weight, o_bias, key, stream,
    D: tl.constexpr, K: tl.constexpr, KH: tl.constexpr, W: tl.constexpr, STRIDE: tl.constexpr,
    GAPS: tl.constexpr, BM: tl.constexpr, P: tl.constexpr, ADD: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """`total` = `a` + dropped `branch`, where there is one, and `out` = LayerNorm(total).

    Grid (tokens / BM,).

    Args:
        a: (N, K), the residual.
        branch: (N, K), or (N, KH) with GAPS, what is added to it, if ADD.
        total: (N, K), gets the sum, if ADD.
        out: (N, K), gets the normed sum.
        means, scales: (N,) float32, get mean and 1 / sd of each token, for the way back.
        flat: (P,) float32, all weights; o_weight, o_bias: where the norm's begin.
        key, stream: of the dropout's random bits.
        RATE: of dropout.
    """
    t, w, at, mask = _tile(D, K, BM, P)

    # residual sum, rounded: the backward pass will see it so
    x = tl.load(a + at, mask=mask, other=0.0).to(tl.float32)
    if ADD:
        there = at
        if GAPS:
            there = _by_head(t, w, KH, W, STRIDE)
        own = tl.load(branch + there, mask=mask, other=0.0).to(tl.float32)
        if RATE > 0:
            key1, key2 = words(key)
            own = dropout(own, fast_bits(key1, key2, stream, at), RATE)
        round_up_tokens = (x + own).to(total.dtype.element_ty)
        tl.store(total + at, round_up_tokens, mask=mask)
        x = round_up_tokens.to(tl.float32)

    # normalise
    mean = tl.sum(x, 1) / D
    centred = tl.where(mask, x - mean[:, None], 0.0)
    rstd = 1 / tl.sqrt(tl.sum(centred * centred, 1) / D + EPS)
    tl.store(means + t, mean)
    tl.store(scales + t, rstd)

    # weight and bias; write
    weight = tl.load(flat + o_weight + w, mask=w < D, other=0.0)
    bias = tl.load(flat + o_bias + w, mask=w < D, other=0.0)
    y = centred * rstd[:, None] * weight[None, :] + bias[None, :]
    tl.store(out + at, y.to(out.dtype.element_ty), mask=mask)


@triton.jit
def layer_norm_backward(
    meta, grad, more, x, plus, dx, dx_by_head, dropped, means, scales, flat, o_weight,
    embedding_grads, o_bias, key, stream,
    B: tl.constexpr, D: tl.constexpr, K: tl.constexpr, KH: tl.constexpr, W: tl.constexpr,
    STRIDE: tl.constexpr, GAPS: tl.constexpr, BM: tl.constexpr, TILES: tl.constexpr,
    P: tl.constexpr, MORE: tl.constexpr, PLUS: tl.constexpr, DROPPED: tl.constexpr,
    RATE: tl.constexpr,
):  # fmt: skip
    """Back through LayerNorm(x). Grid (tokens / (BM · TILES),).

    Tokens that are not there get zeros: products read them.

    Args:
        meta: (4, B + 1) int32; its last column says how many tokens there are.
        grad: (N, K), gradient of the result.
        more: (N, K), added to it, if MORE.
        x: (N, K), what the norm took.
        plus: (N, K), added to the gradient of x, if PLUS.
        dx: (N, K), gets the gradient of x.
        dx_by_head: (N, KH), gets it too, with GAPS.
        dropped: (N, K), gets dx by the dropout of the branch, if DROPPED.
        means, scales: (N,) float32, as `add_and_norm` left them.
        flat: (P,) float32, all weights; o_weight: where the norm's weight begins.
        embedding_grads: (P',) int64, gets the gradients of the norm's weight and bias.
        o_bias: where its bias begins.
        key, stream: of the dropout's random bits.
        TILES: tiles of a program: one sum of them all is added to `embedding_grads`.
        RATE: of dropout.
    """
    n = tl.load(meta + B)
    w = tl.arange(0, P)
    weight = tl.load(flat + o_weight + w, mask=w < D, other=0.0)
    weights, biases = tl.zeros((BM, P), tl.float32), tl.zeros((BM, P), tl.float32)

    for tile in range(TILES):
        t = (tl.program_id(0) * TILES + tile) * BM + tl.arange(0, BM)
        columns = (w < D)[None, :] & (t >= 0)[:, None]
        mask = columns & (t < n)[:, None]
        at = t[:, None] * K + w[None, :]

        # load; x_hat is computed anew
        centred = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - tl.load(means + t)[:, None]
        rstd = tl.load(scales + t)
        x_hat = tl.where(mask, centred * rstd[:, None], 0.0)
        own = tl.load(grad + at, mask=mask, other=0.0).to(tl.float32)
        if MORE:
            own += tl.load(more + at, mask=mask, other=0.0).to(tl.float32)

        # accumulate the gradients of weight and bias
        weights += own * x_hat
        biases += own

        # dx = (dhat - mean(dhat) - x_hat · mean(dhat · x_hat)) / sd
        own *= weight[None, :]
        mean, along = tl.sum(own, 1) / D, tl.sum(own * x_hat, 1) / D
        own = rstd[:, None] * (own - mean[:, None] - x_hat * along[:, None])

        # other ways to x; write
        if PLUS:
            own += tl.load(plus + at, mask=mask, other=0.0).to(tl.float32)
        own = tl.where(mask, own, 0.0)
        tl.store(dx + at, own.to(dx.dtype.element_ty), mask=columns)
        if GAPS:
            there = dx_by_head + _by_head(t, w, KH, W, STRIDE)
            tl.store(there, own.to(dx_by_head.dtype.element_ty), mask=columns)
        if DROPPED:
            if RATE > 0:
                key1, key2 = words(key)
                own = dropout(own, fast_bits(key1, key2, stream, at), RATE)
            tl.store(dropped + at, own.to(dropped.dtype.element_ty), mask=columns)

    # One sum a program. Whole numbers, as programs end in any order.
    add_fixed_point(embedding_grads, o_weight + w, tl.sum(weights, 0), w < D)
    add_fixed_point(embedding_grads, o_bias + w, tl.sum(biases, 0), w < D)


@triton.jit
def dropped_relu(
    u, h, key, stream, D: tl.constexpr, K: tl.constexpr, BM: tl.constexpr, P: tl.constexpr,
    RATE: tl.constexpr,
):  # fmt: skip
    """h = ReLU(dropout(u)). Grid (tokens / BM,).

    Args:
        u: (N, K), what the first pointwise layer gives.
        h: (N, K).
        key, stream: of the dropout's random bits.
        RATE: of dropout.
    """
    _, _, at, mask = _tile(D, K, BM, P)

    # dropout keeps a sign, so either order is the same
    x = tl.maximum(tl.load(u + at, mask=mask, other=0.0).to(tl.float32), 0.0)
    if RATE > 0:
        key1, key2 = words(key)
        x = dropout(x, fast_bits(key1, key2, stream, at), RATE)
    tl.store(h + at, x.to(h.dtype.element_ty), mask=mask)


@triton.jit
def relu_backward(
    dh, h, du, D: tl.constexpr, K: tl.constexpr, BM: tl.constexpr, P: tl.constexpr,
    RATE: tl.constexpr,
):  # fmt: skip
    """Back through it: what is positive was kept. Grid (tokens / BM,).

    Args:
        dh: (N, K), gradient of h.
        h: (N, K).
        du: (N, K), gets the gradient of u.
        RATE: of dropout.
    """
    _, _, at, mask = _tile(D, K, BM, P)

    # both masks at once: what is zero was dropped or negative
    positive = tl.load(h + at, mask=mask, other=0.0) > 0
    grad = tl.load(dh + at, mask=mask, other=0.0).to(tl.float32) * (1 / (1 - RATE))
    tl.store(du + at, tl.where(positive, grad, 0.0).to(du.dtype.element_ty), mask=mask)
