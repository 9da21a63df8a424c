"""From gradients of activations to those of weights: sums over the batch in a fixed order.

Each kernel writes partial sums of a part of the batch, (S, splits, P'), where P' leaves out the
tables that are looked up; Adam adds the parts.

Letters: S seeds, B batch, T sequence, E its end before padding, D width, W columns of a program,
R interval rows, L blocks; G = S·B sequences.
"""

import triton
import triton.language as tl

from fpt_model.fused import chance, layout
from fpt_model.fused.chance import kept, step_key
from fpt_model.fused.saved import (
    DN,
    DN2,
    DO,
    DQ,
    DS,
    DU,
    DZ,
    HAT,
    HAT2,
    KEYS,
    VALUES,
    A,
    H,
    Q,
    X,
    at,
)
from fpt_model.fused.tiles import (
    FIRST,
    KEY,
    QUERY,
    bias_offset,
    columns,
    layer_offset,
    matrix_offset,
    norm_offset,
    product,
    tile,
)

BLOCK = tl.constexpr(layout.BLOCK)
LAYER = tl.constexpr(chance.LAYER)
LAYER_SITES = tl.constexpr(chance.LAYER_SITES)
KEY_TABLE = tl.constexpr(chance.KEY_TABLE)
KEY_PLACE = tl.constexpr(chance.KEY_PLACE)


@triton.jit(do_not_specialize=["layer"])
def weight_slopes(
    dense, model, o_blocks, o_norm, tiles, size, dense_size, looked_up, batch, split, layer,
    PER_SPLIT: tl.constexpr, T: tl.constexpr, E: tl.constexpr, D: tl.constexpr, W: tl.constexpr,
    LAYERS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of a block's linear layers but keys' and values', and of LayerNorms.

    Grid (S, (3 or 4)·D/W, splits of the batch). Programs: query, first, second, last norm, each for
    W columns of the gradients that it reads. Query and first read what a norm gives,
    hat · weight + bias, and take its gradients along.
    """
    seed, part = tl.program_id(0), tl.program_id(2)
    which, begin = tl.program_id(1) // (D // W), tl.program_id(1) % (D // W) * W
    groups = tl.num_programs(0) * batch
    is_second, is_last = which == 2, which == 3
    slopes = tl.where(which == 0, DQ, tl.where(is_second, DZ, DU))
    source = tl.where(which == 1, HAT2, tl.where(is_second, H, HAT))
    norms = tl.where(which == 1, DN2, DN)
    own = layer + tl.where(is_last, 1, 0)
    mine = columns(begin, T, D, W)
    total = tl.zeros((W, D), tl.float32)
    biases = tl.zeros((T, W), tl.float32)
    weights, shifts = tl.zeros_like(biases), tl.zeros_like(biases)
    real = (tl.arange(0, T) < E)[:, None]
    for n in tl.range(PER_SPLIT, num_stages=STAGES):
        b = part * PER_SPLIT + n
        g = seed * batch + b
        there = (b < batch) & real
        slope_at = at(tiles, slopes, own, g, groups, LAYERS + 1, T * D) + mine
        slope = tl.load(slope_at, mask=there & (which < 3), other=0.0)
        read_at = at(tiles, source, own, g, groups, LAYERS + 1, T * D)
        read = tl.load(read_at + tile(T, D), mask=there, other=0.0)
        change_at = at(tiles, norms, own, g, groups, LAYERS + 1, T * D) + mine
        change = tl.load(change_at, mask=there & (which != 2), other=0.0).to(tl.float32)
        hat = read
        if W < D:
            hat = tl.load(read_at + mine, mask=there & (which != 2), other=0.0)
        total += product(tl.trans(slope), read)
        biases += slope.to(tl.float32)
        weights += change * hat.to(tl.float32)
        shifts += change
    d, h = tl.arange(0, D), begin + tl.arange(0, W)
    out = dense + (seed * split + part).to(tl.int64) * dense_size - looked_up
    bias = tl.sum(biases, 0)
    block = o_blocks + layer_offset(layer, D)
    if which != 2:
        place = block + norm_offset(which, D)
        if is_last:
            place = o_norm
        model += seed.to(tl.int64) * size + place
        total = (
            total * tl.load(model + d)[None, :] + bias[:, None] * tl.load(model + BLOCK + d)[None]
        )
        tl.store(out + place + h, tl.sum(weights, 0))
        tl.store(out + place + BLOCK + h, tl.sum(shifts, 0))
    if which < 3:
        place = block + matrix_offset(tl.where(which == 0, QUERY, FIRST + which - 1), D)
        tl.store(out + place + begin * D + tile(W, D), total)
        tl.store(out + place + bias_offset(D) + h, bias)


@triton.jit(do_not_specialize=["step", "layer"])
def key_slopes(
    dense, o_blocks, o_places_k, o_places_v, keys, clock, step, tiles, squares,
    dense_size, looked_up, batch, split, layer,
    PER_SPLIT: tl.constexpr, T: tl.constexpr, E: tl.constexpr, D: tl.constexpr, W: tl.constexpr,
    LAYERS: tl.constexpr, INTERVALS: tl.constexpr, RATE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of a block's linear layers of keys and values.

    Grid (S, 2·D/W, splits of the batch): a program takes W columns of the keys or values. Those of
    the positions added to them go onto what the block above left. Slopes of keys are taken again
    rather than read, so that nothing waits for the launch that takes them for the input.
    """
    seed, part = tl.program_id(0), tl.program_id(2)
    value, begin = tl.program_id(1) // (D // W), tl.program_id(1) % (D // W) * W
    mine = columns(begin, T, D, W)
    groups = tl.num_programs(0) * batch
    pairs, vectors = tl.where(value == 1, A, DS), tl.where(value == 1, DO, Q)
    least = tl.where(value == 1, 0.0, float("-inf"))  # weights are signed: see `attend`
    scale = tl.where(value == 1, 1 / (1 - RATE), 1.0)
    total = tl.zeros((W, D), tl.float32)
    slopes = tl.zeros((T, W), tl.float32)
    real = (tl.arange(0, T) < E)[:, None]
    for n in tl.range(PER_SPLIT, num_stages=STAGES):
        b = part * PER_SPLIT + n
        g = seed * batch + b
        square_at = at(squares, pairs, layer, g, groups, LAYERS, T * T) + tile(T, T)
        square = tl.load(square_at, mask=(b < batch) & real, other=0.0)
        vector_at = at(tiles, vectors, layer, g, groups, LAYERS + 1, T * D) + mine
        vector = tl.load(vector_at, mask=(b < batch) & real, other=0.0)
        read_at = at(tiles, X, layer, g, groups, LAYERS + 1, T * D) + tile(T, D)
        read = tl.load(read_at, mask=(b < batch) & real, other=0.0)
        square = tl.maximum(square, least.to(square.dtype))
        slope = (product(tl.trans(square), vector) * scale).to(vector.dtype)
        total += product(tl.trans(slope), read)
        slopes += slope.to(tl.float32)
    out = dense + (seed * split + part).to(tl.int64) * dense_size - looked_up
    place = o_blocks + layer_offset(layer, D) + matrix_offset(KEY + value, D)
    tl.store(out + place + begin * D + tile(W, D), total)
    tl.store(out + place + bias_offset(D) + begin + tl.arange(0, W), tl.sum(slopes, 0))
    if INTERVALS:
        if RATE > 0:
            first, second = step_key(keys, clock, seed, step)
            site = LAYER + LAYER_SITES * layer + value + KEY_PLACE
            slopes = slopes * kept(first, second, site, mine, RATE)
        out += tl.where(value == 1, o_places_v, o_places_k) + mine
        if layer < LAYERS - 1:
            slopes += tl.load(out)
        tl.store(out, slopes)


@triton.jit(do_not_specialize=["step", "layer"])
def interval_slopes(
    dense, o_intervals_k, o_intervals_v, keys, clock, step, sums, tiles,
    dense_size, looked_up, batch, split, layer,
    PER_SPLIT: tl.constexpr, T: tl.constexpr, E: tl.constexpr, D: tl.constexpr, R: tl.constexpr,
    C: tl.constexpr, LAYERS: tl.constexpr, RATE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of the interval tables by a block, onto those of the block above.

    Grid (S, 2·chunks of C rows, splits of the batch).
    """
    seed, which, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    value, chunk = which % 2, which // 2
    groups = tl.num_programs(0) * batch
    t, r = tl.arange(0, T)[:, None], chunk * C + tl.arange(0, C)
    kind = tl.where(value == 1, VALUES, KEYS)
    vectors = tl.where(value == 1, DO, Q)
    on_table = r[:, None] * D + tl.arange(0, D)[None, :]
    total = tl.zeros((C, D), tl.float32)
    real = t < E
    for n in tl.range(PER_SPLIT, num_stages=STAGES):
        b = part * PER_SPLIT + n
        g = seed * batch + b
        by_row = at(sums, kind, layer, g, groups, LAYERS, T * R) + t * R + r[None, :]
        vector = at(tiles, vectors, layer, g, groups, LAYERS + 1, T * D) + tile(T, D)
        inside = (b < batch) & real & (r < R)[None, :]
        total += product(
            tl.trans(tl.load(by_row, mask=inside, other=0.0)),
            tl.load(vector, mask=(b < batch) & real, other=0.0),
        )
    if RATE > 0:
        first, second = step_key(keys, clock, seed, step)
        site = LAYER + LAYER_SITES * layer + value + KEY_TABLE
        total = total * kept(first, second, site, on_table, RATE)
    place = tl.where(value == 1, o_intervals_v, o_intervals_k) - looked_up
    out = dense + (seed * split + part).to(tl.int64) * dense_size + place + on_table
    inside = (r < R)[:, None]
    if layer < LAYERS - 1:
        total += tl.load(out, mask=inside, other=0.0)
    tl.store(out, total, mask=inside)


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
