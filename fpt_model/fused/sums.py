"""From gradients of activations to those of weights: sums over the batch in a fixed order.

Each kernel writes partial sums of a part of the batch, (S, splits, P'), where P' leaves out the
tables that are looked up; Adam adds the parts.

Letters: S seeds, B batch, T sequence, D width, R interval rows, L blocks; G = S·B programs.
"""

import triton
import triton.language as tl

from fpt_model.fused import chance, layout
from fpt_model.fused.chance import kept, step_key
from fpt_model.fused.tiles import product, tile

BLOCK = tl.constexpr(layout.BLOCK)
LAYER = tl.constexpr(chance.LAYER)
LAYER_SITES = tl.constexpr(chance.LAYER_SITES)
KEY_TABLE = tl.constexpr(chance.KEY_TABLE)
KEY_PLACE = tl.constexpr(chance.KEY_PLACE)


@triton.jit
def weight_slopes(
    dense, matrices, norms, model, hat, x, hat2, h, last_hat, dq, dk, dv, du, dz, dn, dn2, last_dn,
    size, dense_size, looked_up, o_bias, batch, split,
    PER_SPLIT: tl.constexpr, T: tl.constexpr, D: tl.constexpr, LAYERS: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of linear layers and LayerNorms. Grid (S, 5·L + 1, splits of the batch).

    A layer's programs: query, key, value, first, second; query and first read what a norm gives,
    hat · weight + bias, and take its gradients along. The last program's is the last norm.
    `matrices` (L, 5) and `norms` (2·L + 1,): offsets of the weights.
    """
    seed, which, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    layer, kind = which // 5, which % 5
    groups = tl.num_programs(0) * batch
    is_matrix = which < 5 * LAYERS
    slopes, source, dnorm = dq, hat, dn
    if kind == 1:
        slopes, source = dk, x
    if kind == 2:
        slopes, source = dv, x
    if kind == 3:
        slopes, source, dnorm = du, hat2, dn2
    if kind == 4:
        slopes, source = dz, h
    shift = layer.to(tl.int64) * groups
    if not is_matrix:
        shift *= 0
        source, dnorm = last_hat, last_dn
    is_normed = (kind == 0) | (kind == 3)
    total = tl.zeros((D, D), tl.float32)
    biases = tl.zeros((T, D), tl.float32)
    weights, shifts = tl.zeros_like(biases), tl.zeros_like(biases)
    for n in tl.range(PER_SPLIT, num_stages=STAGES):
        b = part * PER_SPLIT + n
        own = (shift + seed * batch + b) * T * D + tile(T, D)
        slope = tl.load(slopes + own, mask=(b < batch) & is_matrix, other=0.0)
        read = tl.load(source + own, mask=b < batch, other=0.0)
        change = tl.load(dnorm + own, mask=(b < batch) & is_normed, other=0.0).to(tl.float32)
        total += product(tl.trans(slope), read)
        biases += slope.to(tl.float32)
        weights += change * read.to(tl.float32)
        shifts += change
    d = tl.arange(0, D)
    out = dense + (seed * split + part).to(tl.int64) * dense_size - looked_up
    bias = tl.sum(biases, 0)
    if is_normed:
        norm = tl.load(norms + 2 * layer + kind // 3)
        model += seed.to(tl.int64) * size + norm
        total = (
            total * tl.load(model + d)[None, :] + bias[:, None] * tl.load(model + BLOCK + d)[None]
        )
        tl.store(out + norm + d, tl.sum(weights, 0))
        tl.store(out + norm + BLOCK + d, tl.sum(shifts, 0))
    if is_matrix:
        place = tl.load(matrices + which)
        tl.store(out + place + tile(D, D), total)
        tl.store(out + place + o_bias + d, bias)


@triton.jit(do_not_specialize=["step"])
def interval_slopes(
    dense, o_intervals_k, o_intervals_v, keys, clock, step, key_sums, value_sums, q, do,
    dense_size, looked_up, batch, split,
    PER_SPLIT: tl.constexpr, T: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    LAYERS: tl.constexpr, RATE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of the interval tables. Grid (S, 2·chunks of C rows, splits of the batch)."""
    seed, which, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    value, chunk = which % 2, which // 2
    groups = tl.num_programs(0) * batch
    t, r = tl.arange(0, T)[:, None], chunk * C + tl.arange(0, C)
    first, second = step_key(keys, clock, seed, step)
    sums, vectors, place = key_sums, q, o_intervals_k
    if value == 1:
        sums, vectors, place = value_sums, do, o_intervals_v
    on_table = r[:, None] * D + tl.arange(0, D)[None, :]
    total = tl.zeros((C, D), tl.float32)
    for layer in tl.static_range(LAYERS):
        in_layer = tl.zeros((C, D), tl.float32)
        for n in tl.range(PER_SPLIT, num_stages=STAGES):
            b = part * PER_SPLIT + n
            own = (layer * groups + seed * batch + b).to(tl.int64)
            inside = (b < batch) & (r < R)[None, :]
            by_row = tl.load(sums + own * T * R + t * R + r[None, :], mask=inside, other=0.0)
            vector = tl.load(vectors + own * T * D + tile(T, D), mask=b < batch, other=0.0)
            in_layer += product(tl.trans(by_row), vector)
        if RATE > 0:
            site = LAYER + LAYER_SITES * layer + value + KEY_TABLE
            in_layer = in_layer * kept(first, second, site, on_table, RATE)
        total += in_layer
    out = dense + (seed * split + part).to(tl.int64) * dense_size + place - looked_up
    tl.store(out + on_table, total, mask=(r < R)[:, None])


@triton.jit(do_not_specialize=["step"])
def place_slopes(
    dense, o_places_k, o_places_v, keys, clock, step, dk, dv,
    dense_size, looked_up, batch, split,
    PER_SPLIT: tl.constexpr, T: tl.constexpr, D: tl.constexpr, C: tl.constexpr,
    LAYERS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Gradients of the position tables. Grid (S, 2·chunks of C places, splits of the batch)."""
    seed, which, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    value, chunk = which % 2, which // 2
    groups = tl.num_programs(0) * batch
    first, second = step_key(keys, clock, seed, step)
    source, place = dk, o_places_k
    if value == 1:
        source, place = dv, o_places_v
    on_table = chunk * C * D + tile(C, D)
    total = tl.zeros((C, D), tl.float32)
    for layer in tl.static_range(LAYERS):
        in_layer = tl.zeros((C, D), tl.float32)
        for n in tl.static_range(PER_SPLIT):
            b = part * PER_SPLIT + n
            own = (layer * groups + seed * batch + b).to(tl.int64) * T * D
            in_layer += tl.load(source + own + on_table, mask=b < batch, other=0.0)
        if RATE > 0:
            site = LAYER + LAYER_SITES * layer + value + KEY_PLACE
            in_layer = in_layer * kept(first, second, site, on_table, RATE)
        total += in_layer
    out = dense + (seed * split + part).to(tl.int64) * dense_size + place - looked_up
    tl.store(out + on_table, total)


@triton.jit
def input_place_slopes(
    dense, o_places, dx, dense_size, looked_up, batch, split,
    PER_SPLIT: tl.constexpr, T: tl.constexpr, D: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Gradient of positions that are added to the input. Grid (S, chunks of C places, splits)."""
    seed, chunk, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    on_table = chunk * C * D + tile(C, D)
    total = tl.zeros((C, D), tl.float32)
    for n in tl.static_range(PER_SPLIT):
        b = part * PER_SPLIT + n
        own = (seed * batch + b).to(tl.int64) * T * D
        total += tl.load(dx + own + on_table, mask=b < batch, other=0.0)
    out = dense + (seed * split + part).to(tl.int64) * dense_size + o_places - looked_up
    tl.store(out + on_table, total)
