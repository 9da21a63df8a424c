"""The network backward; one program a (seed, sequence, tile of M positions).

What a position's keys and values are given comes from the queries of all tiles, so a launch goes
from one attention to the one before: `back` takes the loss (of the last block) or the slopes by
keys of the block above, goes through the pointwise layers and, by queries, through the attention;
`leave` ends with the slopes by keys of the first block and the embeddings.

Letters: see `fpt_model.fused.forward`.
"""

import triton
import triton.language as tl

from fpt_model.fused.by_row import emptied, scores_by_row, summed_by_row, values_by_row
from fpt_model.fused.inputs import scattered_slopes
from fpt_model.fused.loss import loss_slopes
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
    A,
    H,
    K,
    Q,
    V,
    at,
)
from fpt_model.fused.tiles import (
    FIRST,
    KEY,
    QUERY,
    SECOND,
    VALUE,
    in_turn,
    layer_offset,
    linear_back,
    norm,
    normed_backward,
    product,
    tile,
)


@triton.jit
def by_keys(
    dx, halves, tiles, squares, sequence, groups, first, layer,
    T: tl.constexpr, M: tl.constexpr, D: tl.constexpr, LAYERS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Gradient of a block's input at M positions: what `back` left in `dx`, keys and values."""
    half = halves.dtype.element_ty
    here = first * D + tile(M, D)
    pairs = tl.arange(0, T)[:, None] * T + first + tl.arange(0, M)[None, :]
    ds = tl.load(at(squares, DS, layer, sequence, groups, LAYERS, T * T) + pairs)
    q = tl.load(at(tiles, Q, layer, sequence, groups, LAYERS + 1, T * D) + tile(T, D))
    dk = product(tl.trans(ds), q).to(half)
    a = tl.load(at(squares, A, layer, sequence, groups, LAYERS, T * T) + pairs)
    do = tl.load(at(tiles, DO, layer, sequence, groups, LAYERS + 1, T * D) + tile(T, D))
    kept = tl.maximum(a, 0.0).to(half)
    dv = (product(tl.trans(kept), do) * (1 / (1 - RATE))).to(half)
    before = tl.load(dx + sequence.to(tl.int64) * T * D + here)
    return before + linear_back(dk, halves, KEY, D) + linear_back(dv, halves, VALUE, D)


@triton.jit
def pointwise_back(
    dx, model, halves, tiles, rsd, mask, sequence, groups, first, layer,
    T: tl.constexpr, M: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
    LAYERS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """From the gradient of a block's output to that of what its second norm takes."""
    half = halves.dtype.element_ty
    here = first * D + tile(M, D)
    dz = dx
    if RATE > 0:
        dz = dz * tl.load(mask + T * T + T * D + here).to(tl.float32)
    dz = dz.to(half)
    tl.store(at(tiles, DZ, layer, sequence, groups, LAYERS + 1, T * D) + here, dz)
    dh = linear_back(dz, halves, SECOND, D)
    h = tl.load(at(tiles, H, layer, sequence, groups, LAYERS + 1, T * D) + here)
    du = tl.where(h > 0, dh * (1 / (1 - RATE)), 0.0).to(half)
    tl.store(at(tiles, DU, layer, sequence, groups, LAYERS + 1, T * D) + here, du)
    dn = dx + linear_back(du, halves, FIRST, D)
    tl.store(at(tiles, DN2, layer, sequence, groups, LAYERS + 1, T * D) + here, dn.to(half))
    hat = tl.load(at(tiles, HAT2, layer, sequence, groups, LAYERS + 1, T * D) + here)
    rows = first + tl.arange(0, M)
    rsd2 = tl.load(at(rsd, 1, layer, sequence, groups, LAYERS, T) + rows)
    weight, _ = norm(model, 1, D)
    return normed_backward(dn, hat.to(tl.float32), rsd2, weight, N, D)


@triton.jit
def score_slopes(a, da, scale, RATE: tl.constexpr):
    """Gradient of scores from that of the weights `a`, signed as `attend` saves them."""
    a = a.to(tl.float32)
    weighted = tl.maximum(a, 0.0) * da * (scale / (1 - RATE))
    return weighted - tl.abs(a) * tl.sum(weighted, 1)[:, None]


@triton.jit(do_not_specialize=["layer"])
def back(
    model, halves, o_items, o_norm, o_blocks, scattered, x, targets, negatives, dx, losses,
    chosen, look_ups, tables, masks, mask_size, tiles, squares, rsd, sums, scratch,
    size, scattered_size, batch, scale, layer,
    T: tl.constexpr, M: tl.constexpr, D: tl.constexpr, N: tl.constexpr,
    R: tl.constexpr, C: tl.constexpr, IW: tl.constexpr, IP: tl.constexpr,
    LAYERS: tl.constexpr, LAST: tl.constexpr, INTERVALS: tl.constexpr, RATE: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """Gradients of a block by queries, after the loss or the keys of the one above. Grid (G·T/M,).

    Leaves in `dx` (G, T, D) what its input has by way of queries, and saves the gradients of what
    norms (DN) and linear layers give, from which `fused.sums` takes those of the weights. `scale`
    of scores: 1 / √N.
    """
    in_turn(OVERLAP)
    program = tl.program_id(0)
    groups = tl.num_programs(0) // (T // M)
    sequence, first = program // (T // M), program % (T // M) * M
    seed = sequence // batch
    wide = sequence.to(tl.int64)
    model += seed.to(tl.int64) * size
    halves += seed.to(tl.int64) * size + o_blocks + layer_offset(layer, D)
    half = halves.dtype.element_ty
    here, pairs = first * D + tile(M, D), first * T + tile(M, T)
    mask = masks + wide * mask_size + T * D + layer * (T * T + 2 * T * D)
    if LAST:
        scattered += seed.to(tl.int64) * scattered_size
        dx2 = loss_slopes(
            model, o_items, o_norm, scattered, x + wide * T * D + here,
            targets + sequence * T + first, negatives + sequence * T + first,
            losses + sequence * T + first,
            at(tiles, HAT, LAYERS, sequence, groups, LAYERS + 1, T * D) + here,
            at(tiles, DN, LAYERS, sequence, groups, LAYERS + 1, T * D) + here,
            M, D, N, IW, IP,
        )  # fmt: skip
    else:
        above = halves + layer_offset(1, D)
        dx2 = by_keys(
            dx, above, tiles, squares, sequence, groups, first, layer + 1, T, M, D, LAYERS, RATE
        )
    model += o_blocks + layer_offset(layer, D)
    dx1 = pointwise_back(
        dx2, model, halves, tiles, rsd, mask, sequence, groups, first, layer,
        T, M, D, N, LAYERS, RATE,
    )  # fmt: skip
    do = dx1.to(half)
    tl.store(at(tiles, DO, layer, sequence, groups, LAYERS + 1, T * D) + here, do)
    v = tl.load(at(tiles, V, layer, sequence, groups, LAYERS + 1, T * D) + tile(T, D))
    da = product(do, tl.trans(v))
    if INTERVALS:
        sums = at(sums, KEYS, layer, sequence, groups, LAYERS, T * R) + first * R
        emptied(sums, M, R, C)
        tables += (seed * LAYERS + layer).to(tl.int64) * 2 * R * D
        window = tl.load(chosen + sequence).to(tl.int64)
        look_up = tl.load(look_ups + window * T * T + pairs).to(tl.int32)
        scratch += program.to(tl.int64) * M * R
        da += scores_by_row(do, tables + R * D, look_up, scratch, M, D, R, C)
    a = tl.load(at(squares, A, layer, sequence, groups, LAYERS, T * T) + pairs)
    ds = score_slopes(a, da, scale, RATE)
    tl.store(at(squares, DS, layer, sequence, groups, LAYERS, T * T) + pairs, ds.to(half))
    k = tl.load(at(tiles, K, layer, sequence, groups, LAYERS + 1, T * D) + tile(T, D))
    dq = product(ds.to(half), k)
    if INTERVALS:
        summed_by_row(ds, look_up, sums, M, R)
        dq += values_by_row(sums, tables, M, D, R, C)
    dq = dq.to(half)
    tl.store(at(tiles, DQ, layer, sequence, groups, LAYERS + 1, T * D) + here, dq)
    dn = dx1 + linear_back(dq, halves, QUERY, D)
    tl.store(at(tiles, DN, layer, sequence, groups, LAYERS + 1, T * D) + here, dn.to(half))
    hat = tl.load(at(tiles, HAT, layer, sequence, groups, LAYERS + 1, T * D) + here)
    rows = first + tl.arange(0, M)
    rsd1 = tl.load(at(rsd, 0, layer, sequence, groups, LAYERS, T) + rows)
    weight, _ = norm(model, 0, D)
    out = normed_backward(dn, hat.to(tl.float32), rsd1, weight, N, D)
    tl.store(dx + wide * T * D + here, out)


@triton.jit
def leave(
    halves, o_items, o_weeks, o_users, o_blocks, scattered, dx, items, weeks, users,
    masks, mask_size, tiles, squares, size, scattered_size, batch, root,
    T: tl.constexpr, M: tl.constexpr, D: tl.constexpr,
    IW: tl.constexpr, WW: tl.constexpr, UW: tl.constexpr,
    IP: tl.constexpr, WP: tl.constexpr, UP: tl.constexpr,
    LAYERS: tl.constexpr, RATE: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """Gradient of the looked-up tables; `dx` becomes that before the dropout. Grid (G·T/M,)."""
    in_turn(OVERLAP)
    program = tl.program_id(0)
    groups = tl.num_programs(0) // (T // M)
    sequence, first = program // (T // M), program % (T // M) * M
    seed = sequence // batch
    halves += seed.to(tl.int64) * size + o_blocks
    scattered += seed.to(tl.int64) * scattered_size
    here = first * D + tile(M, D)
    g = by_keys(dx, halves, tiles, squares, sequence, groups, first, 0, T, M, D, LAYERS, RATE)
    if RATE > 0:
        g = g * tl.load(masks + sequence.to(tl.int64) * mask_size + here).to(tl.float32)
    tl.store(dx + sequence.to(tl.int64) * T * D + here, g)
    scattered_slopes(
        g * root, scattered, o_items, o_weeks, o_users,
        items + sequence * T + first, weeks + sequence * T + first, users + sequence,
        M, D, IW, WW, UW, IP, WP, UP,
    )  # fmt: skip
