"""A block of the network on one sequence, forward and back; one program a (seed, sequence).

A sequence's activations are a tile of (T, D), padded to powers of two, which a program holds in
registers throughout. Operands of products are halves where the scratch is (float16 has the same
significand as TF32, and can be read transposed), sums and norms float32. What the backward pass
and the gradients of weights need is written to scratch.

Attention over time intervals takes the sums by row (`fpt_model.intervals`). Keys of one row lie
side by side (`fpt_model.fused.intervals`), so a scan sums them and the last key of a row stores the
sum: no two threads write to one place. What threads exchange goes through scratch.
The table's R rows come in chunks of C and a rest.

Letters: S seeds, B batch, T sequence, D width, N width before padding, R interval rows, L blocks;
G = S·B programs.
"""

import triton
import triton.language as tl

from fpt_model.fused import intervals, layout
from fpt_model.fused.tiles import linear, normed, normed_backward, product, tile

BLOCK = tl.constexpr(layout.BLOCK)
FIRST = tl.constexpr(intervals.FIRST)
LAST = tl.constexpr(intervals.LAST)


@triton.jit
def by_rows(
    x, table, out, begin, T: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr
):
    """x · table for C rows from `begin`, into `out` (T, R)."""
    vectors = tl.load(table + begin * D + tile(C, D))
    place = tl.arange(0, T)[:, None] * R + begin + tl.arange(0, C)[None, :]
    tl.store(out + place, product(x, tl.trans(vectors)).to(out.dtype.element_ty))


@triton.jit
def scores_by_row(
    x, table, row, scratch, T: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr
):
    """x · table[row] for all pairs, (T, T)."""
    for begin in range(0, R // C * C, C):
        by_rows(x, table, scratch, begin, T, D, R, C)
    if R % C:
        by_rows(x, table, scratch, R // C * C, T, D, R, R % C)
    tl.debug_barrier()
    place = tl.arange(0, T)[:, None] * R + row
    return tl.load(scratch + place, cache_modifier=".cg").to(tl.float32)


@triton.jit
def emptied(out, T: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Zeros into (T, R)."""
    nothing = tl.zeros((T, C), out.dtype.element_ty)
    place = tl.arange(0, T)[:, None] * R + tl.arange(0, C)[None, :]
    for begin in range(0, R // C * C, C):
        tl.store(out + begin + place, nothing)
    if R % C:
        rest = tl.arange(0, T)[:, None] * R + R // C * C + tl.arange(0, R % C)[None, :]
        tl.store(out + rest, tl.zeros((T, R % C), out.dtype.element_ty))


@triton.jit
def from_first(sum1, first1, sum2, first2):
    """Adds up, anew from each first one: the step of a scan."""
    return tl.where(first2 > 0, sum2, sum1 + sum2), first1 | first2


@triton.jit
def summed_by_row(weights, look_up, out, T: tl.constexpr, R: tl.constexpr):
    """The weights' sums by row into `out` (T, R), which is empty."""
    sums, _ = tl.associative_scan((weights, look_up & FIRST), 1, from_first)
    tl.debug_barrier()
    place = tl.arange(0, T)[:, None] * R + (look_up & (FIRST - 1))
    tl.store(out + place, sums.to(out.dtype.element_ty), mask=look_up >= LAST)
    tl.debug_barrier()


@triton.jit
def values_by_row(sums, table, T: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Sums by row (T, R) times the table: (T, D)."""
    place = tl.arange(0, T)[:, None] * R + tl.arange(0, C)[None, :]
    values = tl.zeros((T, D), tl.float32)
    for begin in range(0, R // C * C, C):
        part = tl.load(sums + begin + place, cache_modifier=".cg")
        values += product(part, tl.load(table + begin * D + tile(C, D)))
    if R % C:
        rest = tl.arange(0, T)[:, None] * R + R // C * C + tl.arange(0, R % C)[None, :]
        part = tl.load(sums + rest, cache_modifier=".cg")
        values += product(part, tl.load(table + R // C * C * D + tile(R % C, D)))
    return values


@triton.jit(do_not_specialize=["layer"])
def block_forward(
    model, halves, o_norm, o_query, o_key, o_value, o_norm2, o_first, o_second, o_bias,
    x_in, x_out, items, chosen, look_ups, tables, places, masks, mask_size, mask_start,
    x_half, hat_out, rsd_out, q_out, k_out, v_out, a_out, hat2_out, rsd2_out, h_out,
    scratch, sums_out, size, batch, scale, layer,
    T: tl.constexpr, D: tl.constexpr, N: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    LAYERS: tl.constexpr, INTERVALS: tl.constexpr, TRAIN: tl.constexpr, DROP: tl.constexpr,
):  # fmt: skip
    """(T, D) to (T, D). Grid (G,).

    `model` (S, P) float32 for norms and biases, `halves` its copy for products. The offsets of a
    layer's tensors are those of its weights; a bias lies `o_bias` behind a matrix, a norm's one
    `BLOCK` behind its weight. `masks` (G, mask_size): this layer's begin at `mask_start`. `scale`
    of scores: log2 e / √N, as weights are powers of two.
    """
    program = tl.program_id(0)
    seed = program // batch
    model += seed.to(tl.int64) * size
    halves += seed.to(tl.int64) * size
    wide = program.to(tl.int64)
    half = halves.dtype.element_ty
    d, t = tl.arange(0, D), tl.arange(0, T)
    here = wide * T * D + tile(T, D)
    mask = masks + wide * mask_size + mask_start
    x = tl.load(x_in + here)
    norm = model + o_norm
    query, hat, rsd = normed(x, tl.load(norm + d), tl.load(norm + BLOCK + d), N, D)
    x = x.to(half)
    q = linear(query.to(half), halves + o_query, model + o_query + o_bias, D).to(half)
    k = linear(x, halves + o_key, model + o_key + o_bias, D)
    v = linear(x, halves + o_value, model + o_value + o_bias, D)
    if INTERVALS:
        window = tl.load(chosen + program).to(tl.int64)
        sums_out += wide * T * R
        emptied(sums_out, T, R, C)
        drawn = (seed * LAYERS + layer).to(tl.int64) * 2
        places += drawn * T * D
        tables += drawn * R * D
        k += tl.load(places + tile(T, D))
        v += tl.load(places + T * D + tile(T, D))
    k, v = k.to(half), v.to(half)
    s = product(q, tl.trans(k))
    if INTERVALS:
        look_up = tl.load(look_ups + window * T * T + tile(T, T)).to(tl.int32)
        s += scores_by_row(q, tables, look_up & (FIRST - 1), scratch + wide * T * R, T, D, R, C)
    real = tl.load(items + program * T + t) > 0
    allowed = ((t[None, :] <= t[:, None]) & real[None, :]) | (t[None, :] == t[:, None])
    s = tl.where(allowed, s * scale, float("-inf"))
    s = tl.exp2(s - tl.max(s, 1)[:, None])
    a = s * (1 / tl.sum(s, 1))[:, None]
    if TRAIN:
        tl.store(x_half + here, x)
        tl.store(hat_out + here, hat.to(half))
        tl.store(rsd_out + program * T + t, rsd)
        tl.store(q_out + here, q)
        tl.store(k_out + here, k)
        tl.store(v_out + here, v)
        tl.store(a_out + wide * T * T + tile(T, T), a.to(half))
        if DROP:
            a = a * tl.load(mask + tile(T, T)).to(tl.float32)
    o = product(a.to(half), v)
    if INTERVALS:
        summed_by_row(a, look_up, sums_out, T, R)
        o += values_by_row(sums_out, tables + R * D, T, D, R, C)
    norm2 = model + o_norm2
    y, hat, rsd = normed(query + o, tl.load(norm2 + d), tl.load(norm2 + BLOCK + d), N, D)
    h = linear(y.to(half), halves + o_first, model + o_first + o_bias, D).to(half)
    if TRAIN:
        tl.store(hat2_out + here, hat.to(half))
        tl.store(rsd2_out + program * T + t, rsd)
        if DROP:
            h = h * tl.load(mask + T * T + tile(T, D))
    h = tl.maximum(h, 0.0).to(half)
    z = linear(h, halves + o_second, model + o_second + o_bias, D)
    if TRAIN:
        tl.store(h_out + here, h)
        if DROP:
            z = z * tl.load(mask + T * T + T * D + tile(T, D)).to(tl.float32)
    tl.store(x_out + here, y + z)


@triton.jit(do_not_specialize=["layer"])
def block_backward(
    model, halves, o_norm, o_query, o_key, o_value, o_norm2, o_first, o_second,
    dx, chosen, look_ups, tables, masks, mask_size, mask_start,
    hat_in, rsd_in, q_in, k_in, v_in, a_in, hat2_in, rsd2_in, h_in,
    dn_out, dq_out, dk_out, dv_out, dn2_out, do_out, du_out, dz_out, scratch, sums_out,
    size, batch, scale, layer,
    T: tl.constexpr, D: tl.constexpr, N: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    LAYERS: tl.constexpr, INTERVALS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Gradient of a block: `dx` (G, T, D) of its output becomes that of its input. Grid (G,).

    Leaves the gradients of what norms (dn) and linear layers give, from which `fused.sums` takes
    those of the weights. `scale` of scores: 1 / √N.
    """
    program = tl.program_id(0)
    seed = program // batch
    model += seed.to(tl.int64) * size
    halves += seed.to(tl.int64) * size
    wide = program.to(tl.int64)
    half = halves.dtype.element_ty
    d, t = tl.arange(0, D), tl.arange(0, T)
    here, square = wide * T * D + tile(T, D), tile(D, D)
    mask = masks + wide * mask_size + mask_start
    # the pointwise layers
    dx2 = tl.load(dx + here)
    dz = dx2
    if RATE > 0:
        dz = dz * tl.load(mask + T * T + T * D + tile(T, D)).to(tl.float32)
    dz = dz.to(half)
    dh = product(dz, tl.load(halves + o_second + square))
    du = tl.where(tl.load(h_in + here) > 0, dh * (1 / (1 - RATE)), 0.0).to(half)
    dn2 = dx2 + product(du, tl.load(halves + o_first + square))
    hat, rsd = tl.load(hat2_in + here).to(tl.float32), tl.load(rsd2_in + program * T + t)
    dx1 = normed_backward(dn2, hat, rsd, tl.load(model + o_norm2 + d), N, D)
    do = dx1.to(half)
    # attention
    da = product(do, tl.trans(tl.load(v_in + here)))
    if INTERVALS:
        sums_out += wide * T * R
        emptied(sums_out, T, R, C)
        tables += (seed * LAYERS + layer).to(tl.int64) * 2 * R * D
        window = tl.load(chosen + program).to(tl.int64)
        look_up = tl.load(look_ups + window * T * T + tile(T, T)).to(tl.int32)
        row = look_up & (FIRST - 1)
        da += scores_by_row(do, tables + R * D, row, scratch + wide * T * R, T, D, R, C)
    a = tl.load(a_in + wide * T * T + tile(T, T))
    kept = a
    if RATE > 0:
        factor = tl.load(mask + tile(T, T))
        kept = a * factor
        da = da * factor.to(tl.float32)
    dv = product(tl.trans(kept), do).to(half)
    weighted = a.to(tl.float32) * da
    ds = (weighted - a.to(tl.float32) * tl.sum(weighted, 1)[:, None]) * scale
    dq = product(ds.to(half), tl.load(k_in + here))
    dk = product(tl.trans(ds.to(half)), tl.load(q_in + here)).to(half)
    if INTERVALS:
        summed_by_row(ds, look_up, sums_out, T, R)
        dq += values_by_row(sums_out, tables, T, D, R, C)
    dq = dq.to(half)
    # the input: by way of the normed query, the keys and the values
    dn = dx1 + product(dq, tl.load(halves + o_query + square))
    hat, rsd = tl.load(hat_in + here).to(tl.float32), tl.load(rsd_in + program * T + t)
    out = normed_backward(dn, hat, rsd, tl.load(model + o_norm + d), N, D)
    out += product(dk, tl.load(halves + o_key + square))
    out += product(dv, tl.load(halves + o_value + square))
    tl.store(dx + here, out)
    tl.store(dn_out + here, dn.to(half))
    tl.store(dq_out + here, dq)
    tl.store(dk_out + here, dk)
    tl.store(dv_out + here, dv)
    tl.store(dn2_out + here, dn2.to(half))
    tl.store(do_out + here, do)
    tl.store(du_out + here, du)
    tl.store(dz_out + here, dz)
