"""Kernels between the products: residual sums, LayerNorm, dropout and ReLU, forwards and back.

Letters: N tokens, D width, K columns.
"""

import triton
import triton.language as tl

from fpt_model.engines.gpu.rng import dropout, fast_bits
from fpt_model.engines.jagged.tokens import add_whole, words

EPS: tl.constexpr = tl.constexpr(1e-8)


@triton.jit
def add_and_norm(
    a, branch, total, out, means, scales, flat, o_weight, o_bias, key, site,
    D: tl.constexpr, K: tl.constexpr, BM: tl.constexpr, P: tl.constexpr,
    ADD: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """`total` = `a` + dropped `branch`, where there is one, and `out` = LayerNorm(total): (N, K).

    `means` (N,) and `scales` (N,), one by the deviation, are what the way back needs.
    """
    t = tl.program_id(0) * BM + tl.arange(0, BM)
    w = tl.arange(0, P)
    mask = (w < D)[None, :] & (t >= 0)[:, None]
    at = t[:, None] * K + w[None, :]
    x = tl.load(a + at, mask=mask, other=0.0).to(tl.float32)
    if ADD:
        own = tl.load(branch + at, mask=mask, other=0.0).to(tl.float32)
        if RATE > 0:
            key1, key2 = words(key)
            own = dropout(own, fast_bits(key1, key2, site, at), RATE)
        rounded = (x + own).to(total.dtype.element_ty)
        tl.store(total + at, rounded, mask=mask)
        x = rounded.to(tl.float32)  # what the backward pass will see
    mean = tl.sum(x, 1) / D
    centred = tl.where(mask, x - mean[:, None], 0.0)
    scale = 1 / tl.sqrt(tl.sum(centred * centred, 1) / D + EPS)
    tl.store(means + t, mean)
    tl.store(scales + t, scale)
    weight = tl.load(flat + o_weight + w, mask=w < D, other=0.0)
    bias = tl.load(flat + o_bias + w, mask=w < D, other=0.0)
    y = centred * scale[:, None] * weight[None, :] + bias[None, :]
    tl.store(out + at, y.to(out.dtype.element_ty), mask=mask)


@triton.jit
def norm_slopes(
    now, slope, more, x, plus, dx, dropped, means, scales, flat, o_weight, scattered, o_bias,
    key, site,
    B: tl.constexpr, D: tl.constexpr, K: tl.constexpr, BM: tl.constexpr, TILES: tl.constexpr,
    P: tl.constexpr, MORE: tl.constexpr, PLUS: tl.constexpr, DROPPED: tl.constexpr,
    RATE: tl.constexpr,
):  # fmt: skip
    """Back through LayerNorm(x): `dx` = its gradient, and `dropped` = dx by a dropout.

    With MORE, `more` is added to the result's gradient `slope`; with PLUS, `plus` to that of x.
    Those of weight and bias are added to `scattered`. Tokens that are not there get zeros.
    """
    n = tl.load(now + B)
    w = tl.arange(0, P)
    weight = tl.load(flat + o_weight + w, mask=w < D, other=0.0)
    weights, biases = tl.zeros((BM, P), tl.float32), tl.zeros((BM, P), tl.float32)
    for tile in range(TILES):
        t = (tl.program_id(0) * TILES + tile) * BM + tl.arange(0, BM)
        columns = (w < D)[None, :] & (t >= 0)[:, None]
        mask = columns & (t < n)[:, None]
        at = t[:, None] * K + w[None, :]
        centred = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - tl.load(means + t)[:, None]
        scale = tl.load(scales + t)
        normal = tl.where(mask, centred * scale[:, None], 0.0)
        own = tl.load(slope + at, mask=mask, other=0.0).to(tl.float32)
        if MORE:
            own += tl.load(more + at, mask=mask, other=0.0).to(tl.float32)
        weights += own * normal
        biases += own
        own *= weight[None, :]
        mean, along = tl.sum(own, 1) / D, tl.sum(own * normal, 1) / D
        own = scale[:, None] * (own - mean[:, None] - normal * along[:, None])
        if PLUS:
            own += tl.load(plus + at, mask=mask, other=0.0).to(tl.float32)
        own = tl.where(mask, own, 0.0)
        tl.store(dx + at, own.to(dx.dtype.element_ty), mask=columns)
        if DROPPED:
            if RATE > 0:
                key1, key2 = words(key)
                own = dropout(own, fast_bits(key1, key2, site, at), RATE)
            tl.store(dropped + at, own.to(dropped.dtype.element_ty), mask=columns)
    add_whole(scattered, o_weight + w, tl.sum(weights, 0), w < D)
    add_whole(scattered, o_bias + w, tl.sum(biases, 0), w < D)


@triton.jit
def dropped_relu(
    u, h, key, site, D: tl.constexpr, K: tl.constexpr, BM: tl.constexpr, P: tl.constexpr,
    RATE: tl.constexpr,
):  # fmt: skip
    """h = ReLU(dropout(u)), (N, K)."""
    t = tl.program_id(0) * BM + tl.arange(0, BM)
    w = tl.arange(0, P)
    mask = (w < D)[None, :] & (t >= 0)[:, None]
    at = t[:, None] * K + w[None, :]
    x = tl.maximum(tl.load(u + at, mask=mask, other=0.0).to(tl.float32), 0.0)
    if RATE > 0:
        key1, key2 = words(key)
        x = dropout(x, fast_bits(key1, key2, site, at), RATE)
    tl.store(h + at, x.to(h.dtype.element_ty), mask=mask)


@triton.jit
def relu_slopes(
    dh, h, du, D: tl.constexpr, K: tl.constexpr, BM: tl.constexpr, P: tl.constexpr,
    RATE: tl.constexpr,
):  # fmt: skip
    """Back through it: what is positive was kept."""
    t = tl.program_id(0) * BM + tl.arange(0, BM)
    w = tl.arange(0, P)
    mask = (w < D)[None, :] & (t >= 0)[:, None]
    at = t[:, None] * K + w[None, :]
    positive = tl.load(h + at, mask=mask, other=0.0) > 0
    slope = tl.load(dh + at, mask=mask, other=0.0).to(tl.float32) * (1 / (1 - RATE))
    tl.store(du + at, tl.where(positive, slope, 0.0).to(du.dtype.element_ty), mask=mask)
