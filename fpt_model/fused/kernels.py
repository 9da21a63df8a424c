"""The kernels of one step, in the order in which they run; one program a (seed, sequence) or tile.

A sequence's activations are a tile of (T, D), padded to powers of two, which a program holds in
registers through a whole block of the network. What the backward pass needs is written to scratch.
Sums over the batch are taken in a fixed order, and what is scattered is added as whole numbers, so
that the same step gives the same bits every time.

Letters: S seeds, B batch, T sequence, D width, R interval rows, L blocks; G = S·B programs.
Masked rows and columns of a tile are zero.
"""

import triton
import triton.language as tl

from fpt_model.fused import chance, layout
from fpt_model.fused.chance import below, bits, kept, step_key

EMBEDDING = tl.constexpr(chance.EMBEDDING)
NEGATIVE = tl.constexpr(chance.NEGATIVE)
ITEM = tl.constexpr(chance.ITEM)
ITEM_ID = tl.constexpr(chance.ITEM_ID)
USER = tl.constexpr(chance.USER)
USER_ID = tl.constexpr(chance.USER_ID)
FIRST = tl.constexpr(chance.FIRST)
SECOND = tl.constexpr(chance.SECOND)
LAYER = tl.constexpr(chance.LAYER)
LAYER_SITES = tl.constexpr(chance.LAYER_SITES)
KEY_TABLE = tl.constexpr(chance.KEY_TABLE)
KEY_PLACE = tl.constexpr(chance.KEY_PLACE)
WEIGHTS = tl.constexpr(chance.WEIGHTS)
HIDDEN = tl.constexpr(chance.HIDDEN)
OUT = tl.constexpr(chance.OUT)

BLOCK = tl.constexpr(layout.BLOCK)
FIXED = tl.constexpr(float(2**40))  # one, in the scattered gradients
SHARES = tl.constexpr(float(2**24))  # one, in the scattered attention weights
SLOPES = tl.constexpr(float(2**24))  # a row's largest, in their scattered gradients


@triton.jit
def tile(T: tl.constexpr, D: tl.constexpr):
    """(T, D) places of a contiguous tile."""
    return tl.arange(0, T)[:, None] * D + tl.arange(0, D)[None, :]


@triton.jit
def normed(x, weight, bias, n, D: tl.constexpr):
    """LayerNorm over the first n columns; also (x - mean) / sd, and 1 / sd."""
    inside = (tl.arange(0, D) < n)[None, :]
    mean = tl.sum(x, 1) / n
    centred = tl.where(inside, x - mean[:, None], 0.0)
    rsd = 1 / tl.sqrt(tl.sum(centred * centred, 1) / n + 1e-8)
    hat = centred * rsd[:, None]
    return hat * weight[None, :] + bias[None, :], hat, rsd


@triton.jit
def normed_backward(dy, hat, rsd, weight, n, D: tl.constexpr):
    """Gradient of the input of a LayerNorm."""
    inside = (tl.arange(0, D) < n)[None, :]
    dhat = dy * weight[None, :]
    inner = tl.sum(dhat * hat, 1) / n
    dx = (dhat - (tl.sum(dhat, 1) / n)[:, None] - hat * inner[:, None]) * rsd[:, None]
    return tl.where(inside, dx, 0.0)


@triton.jit
def linear(x, weight, bias, D: tl.constexpr, PRECISION: tl.constexpr):
    """x Wᵀ + b, with W (D, D) as PyTorch keeps it."""
    w = tl.load(weight + tile(D, D))
    return tl.dot(x, tl.trans(w), input_precision=PRECISION) + tl.load(bias + tl.arange(0, D))[None]


@triton.jit(do_not_specialize=["step"])
def prepare(
    model, o_items, o_weeks, o_users, o_places, keys, clock, step,
    w_items, w_weeks, w_times, w_targets, w_users, w_scales, edges, w_stride, order, n_order,
    gaps, firsts, counts, n_items, n_users,
    x_out, items_out, weeks_out, users_out, targets_out, negatives_out, rows_out,
    size, batch, length, root,
    T: tl.constexpr, D: tl.constexpr, IW: tl.constexpr, WW: tl.constexpr, UW: tl.constexpr,
    IP: tl.constexpr, WP: tl.constexpr, UP: tl.constexpr,
    INTERVALS: tl.constexpr, SPAN: tl.constexpr, EDGES: tl.constexpr, SEARCH: tl.constexpr,
    TRAIN: tl.constexpr, RATE: tl.constexpr, ITEM_RATE: tl.constexpr, USER_RATE: tl.constexpr,
):  # fmt: skip
    """Windows, negatives, replaced ids, the network's input, the interval rows. Grid (G,)."""
    program = tl.program_id(0)
    seed, b = program // batch, program % batch
    model += seed.to(tl.int64) * size
    first, second = step_key(keys, clock, seed, step)
    t = tl.arange(0, T)
    place = step * batch + b
    there = place < n_order
    chosen = tl.load(order + seed * n_order + place, mask=there, other=0)
    window = seed.to(tl.int64) * w_stride + chosen.to(tl.int64) * length + t
    inside = (t < length) & there
    items = tl.load(w_items + window, mask=inside, other=0)
    weeks = tl.load(w_weeks + window, mask=inside, other=0)
    user = tl.load(w_users + chosen)
    own = b * T + t
    if TRAIN:
        tl.store(targets_out + program * T + t, tl.load(w_targets + window, mask=inside, other=0))
        begin, count = tl.load(firsts + user - 1), tl.load(counts + user - 1)
        nth = below(bits(first, second, NEGATIVE, own), n_items - count)
        low, high = tl.zeros_like(nth), tl.zeros_like(nth) + count
        for _ in range(SEARCH):
            middle = (low + high) // 2
            going = low < high
            gap = tl.load(gaps + begin + middle, mask=going, other=0)
            low = tl.where(going & (gap <= nth), middle + 1, low)
            high = tl.where(going & (gap > nth), middle, high)
        tl.store(negatives_out + program * T + t, nth + 1 + low)
    if ITEM_RATE > 0:
        other = 1 + below(bits(first, second, ITEM_ID, own), n_items)
        stays = kept(first, second, ITEM, own, ITEM_RATE) > 0
        items = tl.where(stays | (items == 0), items, other)
    if USER_RATE > 0:
        other_user = 1 + below(bits(first, second, USER_ID, b), n_users)
        user_stays = kept(first, second, USER, b, USER_RATE) > 0
        seen_user = tl.where(user_stays, user, other_user)
    else:
        seen_user = user
    tl.store(items_out + program * T + t, items)
    tl.store(weeks_out + program * T + t, weeks)
    tl.store(users_out + program, seen_user)
    d = tl.arange(0, D)[None, :]
    column = tl.zeros((T, 1), tl.int32) + d
    x = tl.load(model + o_items + items[:, None] * IP + d, mask=column < IW, other=0.0)
    if WW > 0:
        theirs = (column >= IW) & (column < IW + WW)
        x += tl.load(model + o_weeks + weeks[:, None] * WP + d - IW, mask=theirs, other=0.0)
    if UW > 0:
        theirs = (column >= IW + WW) & (column < IW + WW + UW) & inside[:, None]
        x += tl.load(model + o_users + seen_user * UP + column - IW - WW, mask=theirs, other=0.0)
    x = x * root
    if not INTERVALS:
        x += tl.load(model + o_places + tile(T, D))
    if RATE > 0:
        x = x * kept(first, second, EMBEDDING, b * T * D + tile(T, D), RATE)
    x = tl.where(inside[:, None], x, 0.0)
    tl.store(x_out + program.to(tl.int64) * T * D + tile(T, D), x)
    if INTERVALS:
        times = tl.load(w_times + window, mask=inside, other=0)
        scale = tl.load(w_scales + chosen)
        units = tl.abs(times[:, None] - times[None, :]) // scale
        rows = tl.minimum(units, SPAN)
        for e in tl.static_range(EDGES):
            rows += (units >= tl.load(edges + e)).to(tl.int32)
        tl.store(rows_out + program.to(tl.int64) * T * T + tile(T, T), rows.to(tl.int16))


@triton.jit(do_not_specialize=["step"])
def drop_tables(
    model, o_intervals_k, o_intervals_v, o_places_k, o_places_v, keys, clock, step,
    tables_out, places_out, size,
    D: tl.constexpr, TABLE: tl.constexpr, PLACES: tl.constexpr,
    LAYERS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Interval and position vectors with their dropout, anew for each layer.

    Grid (S, 2·L, blocks of the larger table). Out: (S, L, 2, R, D) and (S, L, 2, T, D).
    """
    seed, which = tl.program_id(0), tl.program_id(1)
    layer, value = which // 2, which % 2
    model += seed.to(tl.int64) * size
    first, second = step_key(keys, clock, seed, step)
    place = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    out = (seed * LAYERS * 2 + which).to(tl.int64)
    source = tl.where(value == 0, o_intervals_k, o_intervals_v)
    x = tl.load(model + source + place, mask=place < TABLE, other=0.0)
    site = LAYER + LAYER_SITES * layer + value
    if RATE > 0:
        x = x * kept(first, second, site + KEY_TABLE, place, RATE)
    tl.store(tables_out + out * TABLE + place, x, mask=place < TABLE)
    source = tl.where(value == 0, o_places_k, o_places_v)
    y = tl.load(model + source + place, mask=place < PLACES, other=0.0)
    if RATE > 0:
        y = y * kept(first, second, site + KEY_PLACE, place, RATE)
    tl.store(places_out + out * PLACES + place, y, mask=place < PLACES)


@triton.jit(do_not_specialize=["step", "layer"])
def block_forward(
    model, o_norm, o_query, o_key, o_value, o_norm2, o_first, o_second, o_bias, keys, clock, step,
    x_in, x_out, items, rows, tables, places, q_out, k_out, v_out, a_out, x1_out, h_out,
    by_row, shares, size, batch, root, layer,
    T: tl.constexpr, D: tl.constexpr, N: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    LAYERS: tl.constexpr, INTERVALS: tl.constexpr, TRAIN: tl.constexpr, RATE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One block of the network, (T, D) to (T, D). Grid (G,).

    The offsets of a layer's tensors are those of its weights; a bias lies `o_bias` behind a matrix,
    a norm's one `BLOCK` behind its weight.
    """
    program = tl.program_id(0)
    seed, b = program // batch, program % batch
    model += seed.to(tl.int64) * size
    wide = program.to(tl.int64)
    if TRAIN:
        first, second = step_key(keys, clock, seed, step)
    site = LAYER + LAYER_SITES * layer
    d = tl.arange(0, D)
    t = tl.arange(0, T)
    x = tl.load(x_in + wide * T * D + tile(T, D))
    norm = model + o_norm
    query, _, _ = normed(x, tl.load(norm + d), tl.load(norm + BLOCK + d), N, D)
    q = linear(query, model + o_query, model + o_query + o_bias, D, PRECISION)
    k = linear(x, model + o_key, model + o_key + o_bias, D, PRECISION)
    v = linear(x, model + o_value, model + o_value + o_bias, D, PRECISION)
    drawn = tables + (seed * LAYERS + layer).to(tl.int64) * 2 * R * D
    if INTERVALS:
        drawn_places = places + (seed * LAYERS + layer).to(tl.int64) * 2 * T * D
        k += tl.load(drawn_places + tile(T, D))
        v += tl.load(drawn_places + T * D + tile(T, D))
    if TRAIN:
        tl.store(q_out + wide * T * D + tile(T, D), q)
        tl.store(k_out + wide * T * D + tile(T, D), k)
        tl.store(v_out + wide * T * D + tile(T, D), v)
    s = tl.dot(q, tl.trans(k), input_precision=PRECISION)
    if INTERVALS:
        mine = by_row + wide * T * R
        for c in range(0, R, C):
            keys_c = tl.load(drawn + c * D + tile(C, D))
            part = tl.dot(q, tl.trans(keys_c), input_precision=PRECISION)
            tl.store(mine + t[:, None] * R + c + tl.arange(0, C)[None, :], part)
        row = tl.load(rows + wide * T * T + tile(T, T)).to(tl.int32)
        tl.debug_barrier()
        s += tl.load(mine + t[:, None] * R + row, cache_modifier=".cg")
    real = tl.load(items + program * T + t) > 0
    here, there = t[:, None], t[None, :]
    allowed = ((there <= here) & real[None, :]) | (there == here)
    s = tl.where(allowed, s / root, float("-inf"))
    s = tl.exp(s - tl.max(s, 1)[:, None])
    a = s / tl.sum(s, 1)[:, None]
    if TRAIN:
        tl.store(a_out + wide * T * T + tile(T, T), a)
        if RATE > 0:
            a = a * kept(first, second, site + WEIGHTS, b * T * T + tile(T, T), RATE)
    o = tl.dot(a, v, input_precision=PRECISION)
    if INTERVALS:
        share = shares + wide * T * R
        whole = (a * SHARES + 0.5).to(tl.int32)
        tl.atomic_add(share + t[:, None] * R + row, whole, mask=allowed, sem="relaxed")
        tl.debug_barrier()
        for c in range(0, R, C):
            place = t[:, None] * R + c + tl.arange(0, C)[None, :]
            on_rows = tl.load(share + place, cache_modifier=".cg").to(tl.float32) / SHARES
            values_c = tl.load(drawn + R * D + c * D + tile(C, D))
            o += tl.dot(on_rows, values_c, input_precision=PRECISION)
            if not TRAIN:
                tl.store(share + place, tl.zeros((T, C), tl.int32))
    x1 = query + o
    norm2 = model + o_norm2
    y, _, _ = normed(x1, tl.load(norm2 + d), tl.load(norm2 + BLOCK + d), N, D)
    h = linear(y, model + o_first, model + o_first + o_bias, D, PRECISION)
    if TRAIN:
        tl.store(x1_out + wide * T * D + tile(T, D), x1)
        if RATE > 0:
            h = h * kept(first, second, site + HIDDEN, b * T * D + tile(T, D), RATE)
    h = tl.maximum(h, 0.0)
    z = linear(h, model + o_second, model + o_second + o_bias, D, PRECISION)
    if TRAIN:
        tl.store(h_out + wide * T * D + tile(T, D), h)
        if RATE > 0:
            z = z * kept(first, second, site + OUT, b * T * D + tile(T, D), RATE)
    tl.store(x_out + wide * T * D + tile(T, D), y + z)


@triton.jit(do_not_specialize=["step"])
def loss_and_slopes(
    model, o_items, o_norm, scattered, x_in, targets, negatives, n_real, step, steps,
    dx_out, norm_slopes, losses, size, scattered_size, batch,
    T: tl.constexpr, D: tl.constexpr, N: tl.constexpr, IW: tl.constexpr, IP: tl.constexpr,
):  # fmt: skip
    """Binary cross-entropy, its gradient, and that of the last norm and the items. Grid (G,)."""
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
    count = tl.load(n_real + seed * steps + step).to(tl.float32)
    used = real[:, None] & (d < IW)[None, :]
    to_target = target[:, None] * IP + d[None, :]
    to_negative = negative[:, None] * IP + d[None, :]
    wanted = tl.load(model + o_items + to_target, mask=used, other=0.0)
    unwanted = tl.load(model + o_items + to_negative, mask=used, other=0.0)
    up, down = tl.sum(f * wanted, 1), tl.sum(f * unwanted, 1)
    loss = softplus(-up) + softplus(down)
    tl.store(losses + program, tl.sum(tl.where(real, loss, 0.0), 0) / count)
    slope_up = tl.where(real, (tl.sigmoid(up) - 1) / count, 0.0)
    slope_down = tl.where(real, tl.sigmoid(down) / count, 0.0)
    df = slope_up[:, None] * wanted + slope_down[:, None] * unwanted
    add_whole(scattered + o_items + to_target, slope_up[:, None] * f, used)
    add_whole(scattered + o_items + to_negative, slope_down[:, None] * f, used)
    slopes = norm_slopes + wide * 2 * D
    tl.store(slopes + d, tl.sum(df * hat, 0))
    tl.store(slopes + D + d, tl.sum(df, 0))
    dx = normed_backward(df, hat, rsd, weight, N, D)
    tl.store(dx_out + wide * T * D + tile(T, D), dx)


@triton.jit
def softplus(x):
    """log(1 + exp(x))."""
    return tl.maximum(x, 0.0) + tl.log(1 + tl.exp(-tl.abs(x)))


@triton.jit
def add_whole(pointers, values, mask):
    """Scatter as whole numbers: a sum of those is the same in any order."""
    rounded = tl.floor(values.to(tl.float64) * FIXED + 0.5).to(tl.int64)
    tl.atomic_add(pointers, rounded, mask=mask, sem="relaxed")


@triton.jit(do_not_specialize=["step", "layer"])
def block_backward(
    model, o_norm, o_query, o_key, o_value, o_norm2, o_first, o_second, keys, clock, step,
    x_in, dx, rows, items, tables, q_in, k_in, v_in, a_in, x1_in, h_in,
    dq_out, dk_out, dv_out, do_out, du_out, dz_out, by_row, slopes, tops, norm_slopes,
    size, batch, root, layer,
    T: tl.constexpr, D: tl.constexpr, N: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    LAYERS: tl.constexpr, INTERVALS: tl.constexpr, RATE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradient of a block: `dx` (G, T, D) of its output becomes that of its input. Grid (G,).

    Leaves the gradients of the linear layers' outputs, from which `weight_slopes` takes those of
    the weights.
    """
    program = tl.program_id(0)
    seed, b = program // batch, program % batch
    model += seed.to(tl.int64) * size
    wide = program.to(tl.int64)
    first, second = step_key(keys, clock, seed, step)
    site = LAYER + LAYER_SITES * layer
    d, t = tl.arange(0, D), tl.arange(0, T)
    here = wide * T * D + tile(T, D)
    # the pointwise layers
    dx2 = tl.load(dx + here)
    dz = dx2
    if RATE > 0:
        dz = dz * kept(first, second, site + OUT, b * T * D + tile(T, D), RATE)
    tl.store(dz_out + here, dz)
    dh = tl.dot(dz, tl.load(model + o_second + tile(D, D)), input_precision=PRECISION)
    du = tl.where(tl.load(h_in + here) > 0, dh * (1 / (1 - RATE)), 0.0)
    tl.store(du_out + here, du)
    dy = dx2 + tl.dot(du, tl.load(model + o_first + tile(D, D)), input_precision=PRECISION)
    weight = tl.load(model + o_norm2 + d)
    _, hat, rsd = normed(tl.load(x1_in + here), weight, weight, N, D)
    norms = norm_slopes + wide * 2 * D
    norms2 = norms + tl.num_programs(0).to(tl.int64) * 2 * D
    tl.store(norms2 + d, tl.sum(dy * hat, 0))
    tl.store(norms2 + D + d, tl.sum(dy, 0))
    do = normed_backward(dy, hat, rsd, weight, N, D)
    tl.store(do_out + here, do)
    # attention
    drawn = tables + (seed * LAYERS + layer).to(tl.int64) * 2 * R * D
    v = tl.load(v_in + here)
    da = tl.dot(do, tl.trans(v), input_precision=PRECISION)
    if INTERVALS:
        mine = by_row + wide * T * R
        for c in range(0, R, C):
            values_c = tl.load(drawn + R * D + c * D + tile(C, D))
            part = tl.dot(do, tl.trans(values_c), input_precision=PRECISION)
            tl.store(mine + t[:, None] * R + c + tl.arange(0, C)[None, :], part)
        row = tl.load(rows + wide * T * T + tile(T, T)).to(tl.int32)
        tl.debug_barrier()
        da += tl.load(mine + t[:, None] * R + row, cache_modifier=".cg")
    a = tl.load(a_in + wide * T * T + tile(T, T))
    dropped = a
    if RATE > 0:
        factor = kept(first, second, site + WEIGHTS, b * T * T + tile(T, T), RATE)
        dropped = a * factor
        da = da * factor
    dv = tl.dot(tl.trans(dropped), do, input_precision=PRECISION)
    ds = a * (da - tl.sum(a * da, 1)[:, None]) / root
    q = tl.load(q_in + here)
    k = tl.load(k_in + here)
    dq = tl.dot(ds, k, input_precision=PRECISION)
    dk = tl.dot(tl.trans(ds), q, input_precision=PRECISION)
    if INTERVALS:
        top = tl.maximum(tl.max(tl.abs(ds), 1), 1e-30)
        tl.store(tops + wide * T + t, top)
        real = tl.load(items + program * T + t) > 0
        allowed = (t[None, :] <= t[:, None]) & real[None, :] | (t[None, :] == t[:, None])
        whole = tl.floor(ds / top[:, None] * SLOPES + 0.5).to(tl.int32)
        slope = slopes + wide * T * R
        tl.atomic_add(slope + t[:, None] * R + row, whole, mask=allowed, sem="relaxed")
        tl.debug_barrier()
        for c in range(0, R, C):
            place = t[:, None] * R + c + tl.arange(0, C)[None, :]
            on_rows = tl.load(slope + place, cache_modifier=".cg").to(tl.float32)
            on_rows = on_rows * (top / SLOPES)[:, None]
            keys_c = tl.load(drawn + c * D + tile(C, D))
            dq += tl.dot(on_rows, keys_c, input_precision=PRECISION)
    tl.store(dq_out + here, dq)
    tl.store(dk_out + here, dk)
    tl.store(dv_out + here, dv)
    # the input: by way of the normed query, the keys and the values
    dquery = do + tl.dot(dq, tl.load(model + o_query + tile(D, D)), input_precision=PRECISION)
    weight = tl.load(model + o_norm + d)
    _, hat, rsd = normed(tl.load(x_in + here), weight, weight, N, D)
    tl.store(norms + d, tl.sum(dquery * hat, 0))
    tl.store(norms + D + d, tl.sum(dquery, 0))
    out = normed_backward(dquery, hat, rsd, weight, N, D)
    out += tl.dot(dk, tl.load(model + o_key + tile(D, D)), input_precision=PRECISION)
    out += tl.dot(dv, tl.load(model + o_value + tile(D, D)), input_precision=PRECISION)
    tl.store(dx + here, out)


@triton.jit(do_not_specialize=["step"])
def embedding_slopes(
    scattered, o_items, o_weeks, o_users, keys, clock, step, dx, items, weeks, users,
    scattered_size, batch, root,
    T: tl.constexpr, D: tl.constexpr, IW: tl.constexpr, WW: tl.constexpr, UW: tl.constexpr,
    IP: tl.constexpr, WP: tl.constexpr, UP: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Gradient of the looked-up tables; `dx` becomes that of the input before dropout. Grid (G,)."""
    program = tl.program_id(0)
    seed, b = program // batch, program % batch
    scattered += seed.to(tl.int64) * scattered_size
    wide = program.to(tl.int64)
    t = tl.arange(0, T)
    d = tl.arange(0, D)[None, :]
    here = wide * T * D + tile(T, D)
    g = tl.load(dx + here)
    if RATE > 0:
        first, second = step_key(keys, clock, seed, step)
        g = g * kept(first, second, EMBEDDING, b * T * D + tile(T, D), RATE)
        tl.store(dx + here, g)
    g = g * root
    item = tl.load(items + program * T + t)
    column = tl.zeros((T, 1), tl.int32) + d
    real = (item > 0)[:, None]
    add_whole(scattered + o_items + item[:, None] * IP + d, g, real & (column < IW))
    if WW > 0:
        week = tl.load(weeks + program * T + t)
        theirs = real & (column >= IW) & (column < IW + WW)
        add_whole(scattered + o_weeks + week[:, None] * WP + d - IW, g, theirs)
    if UW > 0:
        user = tl.load(users + program)
        one = tl.arange(0, D)
        theirs = (one >= IW + WW) & (one < IW + WW + UW)
        total = tl.sum(tl.where(real, g, 0.0), 0)
        add_whole(scattered + o_users + user * UP + one - IW - WW, total, theirs)


@triton.jit
def weight_slopes(
    dense, offsets, model, x_in, x1_in, h_in, dq, dk, dv, du, dz,
    size, dense_size, looked_up, o_bias, batch, split,
    PER_SPLIT: tl.constexpr,
    T: tl.constexpr, D: tl.constexpr, N: tl.constexpr, LAYERS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Partial sums of the gradients of the linear layers. Grid (S, L·5, splits of the batch).

    `offsets` (L, 7): of norm, query, key, value, norm2, first, second.
    """
    seed, which, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    layer, kind = which // 5, which % 5
    model += seed.to(tl.int64) * size
    groups = tl.num_programs(0) * batch
    d = tl.arange(0, D)
    # query and first read a norm's output, key and value the input, second the hidden layer
    norm = tl.load(offsets + layer * 7 + tl.where(kind == 3, 4, 0))
    weight, bias = tl.load(model + norm + d), tl.load(model + norm + BLOCK + d)
    y = dq
    source = x_in
    if kind == 1:
        y = dk
    if kind == 2:
        y = dv
    if kind == 3:
        y = du
        source = x1_in
    if kind == 4:
        y = dz
        source = h_in
    total = tl.zeros((D, D), tl.float32)
    total_bias = tl.zeros((D,), tl.float32)
    for n in range(PER_SPLIT):
        b = part * PER_SPLIT + n
        inside = b < batch
        own = (layer * groups + seed * batch + b).to(tl.int64) * T * D + tile(T, D)
        dy = tl.load(y + own, mask=inside, other=0.0)
        x = tl.load(source + own, mask=inside, other=0.0)
        through_norm, _, _ = normed(x, weight, bias, N, D)
        x = tl.where((kind == 0) | (kind == 3), through_norm, x)
        total += tl.dot(tl.trans(dy), x, input_precision=PRECISION)
        total_bias += tl.sum(dy, 0)
    place = tl.load(offsets + layer * 7 + 1 + kind + tl.where(kind > 2, 1, 0)) - looked_up
    out = dense + (seed * split + part).to(tl.int64) * dense_size + place
    tl.store(out + tile(D, D), total)
    tl.store(out + o_bias + d, total_bias)


@triton.jit(do_not_specialize=["step"])
def interval_slopes(
    dense, o_intervals_k, o_intervals_v, keys, clock, step, shares, slopes, tops, q_in, do_in,
    dense_size, looked_up, batch, split,
    PER_SPLIT: tl.constexpr,
    T: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr, LAYERS: tl.constexpr,
    RATE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Partial sums of the interval tables' gradients; empties `shares` and `slopes`.

    Grid (S, 2·R / C, splits of the batch).
    """
    seed, which, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    value, chunk = which % 2, which // 2
    groups = tl.num_programs(0) * batch
    t, c = tl.arange(0, T), chunk * C + tl.arange(0, C)
    first, second = step_key(keys, clock, seed, step)
    total = tl.zeros((C, D), tl.float32)
    source, y = slopes, q_in
    if value == 1:
        source, y = shares, do_in
    for layer in range(LAYERS):
        sum_ = tl.zeros((C, D), tl.float32)
        for n in range(PER_SPLIT):
            b = part * PER_SPLIT + n
            inside = b < batch
            own = (layer * groups + seed * batch + b).to(tl.int64)
            place = own * T * R + t[:, None] * R + c[None, :]
            on_rows = tl.load(source + place, mask=inside, other=0)
            tl.store(source + place, tl.zeros((T, C), tl.int32), mask=inside)
            if value == 0:
                unit = tl.load(tops + own * T + t, mask=inside & (t < T), other=0.0) / SLOPES
            else:
                unit = tl.zeros((T,), tl.float32) + 1 / SHARES
            weights = on_rows.to(tl.float32) * unit[:, None]
            rows = tl.load(y + own * T * D + tile(T, D), mask=inside, other=0.0)
            sum_ += tl.dot(tl.trans(weights), rows, input_precision=PRECISION)
        if RATE > 0:
            site = LAYER + LAYER_SITES * layer + value + KEY_TABLE
            sum_ = sum_ * kept(first, second, site, chunk * C * D + tile(C, D), RATE)
        total += sum_
    place = tl.where(value == 0, o_intervals_k, o_intervals_v) - looked_up
    out = dense + (seed * split + part).to(tl.int64) * dense_size + place
    tl.store(out + chunk * C * D + tile(C, D), total)


@triton.jit(do_not_specialize=["step"])
def place_slopes(
    dense, o_places_k, o_places_v, keys, clock, step, dk, dv, dx,
    dense_size, looked_up, batch, split,
    PER_SPLIT: tl.constexpr,
    T: tl.constexpr, D: tl.constexpr, LAYERS: tl.constexpr, INTERVALS: tl.constexpr,
    RATE: tl.constexpr,
):  # fmt: skip
    """Partial sums of the position tables' gradients. Grid (S, tables, splits of the batch)."""
    seed, value, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    groups = tl.num_programs(0) * batch
    total = tl.zeros((T, D), tl.float32)
    if INTERVALS:
        first, second = step_key(keys, clock, seed, step)
        source = dk
        if value == 1:
            source = dv
        for layer in range(LAYERS):
            sum_ = tl.zeros((T, D), tl.float32)
            for n in range(PER_SPLIT):
                b = part * PER_SPLIT + n
                own = (layer * groups + seed * batch + b).to(tl.int64) * T * D
                sum_ += tl.load(source + own + tile(T, D), mask=b < batch, other=0.0)
            if RATE > 0:
                site = LAYER + LAYER_SITES * layer + value + KEY_PLACE
                sum_ = sum_ * kept(first, second, site, tile(T, D), RATE)
            total += sum_
    else:
        for n in range(PER_SPLIT):
            b = part * PER_SPLIT + n
            own = (seed * batch + b).to(tl.int64) * T * D
            total += tl.load(dx + own + tile(T, D), mask=b < batch, other=0.0)
    place = tl.where(value == 0, o_places_k, o_places_v) - looked_up
    tl.store(dense + (seed * split + part).to(tl.int64) * dense_size + place + tile(T, D), total)


@triton.jit
def norm_sums(
    dense, norms, norm_slopes, dense_size, looked_up, batch, split,
    PER_SPLIT: tl.constexpr, D: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Partial sums of the LayerNorms' gradients. Grid (S, 2·(2·L + 1), splits of the batch).

    `norms` (2·L + 1,): offsets of the norms' weights, the last one's last.
    """
    seed, which, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    norm, bias = which // 2, which % 2
    groups = tl.num_programs(0) * batch
    d = tl.arange(0, D)[None, :]
    n = tl.arange(0, B)
    b = part * PER_SPLIT + n
    inside = ((n < PER_SPLIT) & (b < batch))[:, None]
    own = (((norm * groups + seed * batch + b) * 2 + bias) * D)[:, None] + d
    rows = tl.load(norm_slopes + own, mask=inside, other=0.0)
    place = tl.load(norms + norm) + bias * BLOCK - looked_up
    out = dense + (seed * split + part).to(tl.int64) * dense_size + place
    tl.store(out + tl.arange(0, D), tl.sum(rows, 0))


@triton.jit(do_not_specialize=["step"])
def group_slopes(
    model, scattered, o_users, keys, clock, step, groups, losses, size, scattered_size,
    n_users, pairs, margin, weight,
    PAIRS: tl.constexpr, UP: tl.constexpr,
):  # fmt: skip
    """Group loss of random pairs and its gradient, once there are groups. Grid (S,)."""
    seed = tl.program_id(0)
    model += seed.to(tl.int64) * size + o_users
    scattered += seed.to(tl.int64) * scattered_size + o_users
    groups += seed * (n_users + 1)
    key, key2 = step_key(keys, clock, seed, step)
    p, w = tl.arange(0, PAIRS), tl.arange(0, UP)[None, :]
    there = (p < pairs) & (tl.load(groups + 1) >= 0)
    u = 1 + below(bits(key, key2, FIRST, p), n_users)
    v = 1 + below(bits(key, key2, SECOND, p), n_users)
    same = tl.load(groups + u) == tl.load(groups + v)
    x = tl.load(model + u[:, None] * UP + w)
    y = tl.load(model + v[:, None] * UP + w)
    size_x = tl.maximum(tl.sqrt(tl.sum(x * x, 1)), 1e-8)
    size_y = tl.maximum(tl.sqrt(tl.sum(y * y, 1)), 1e-8)
    cosine = tl.sum(x * y, 1) / (size_x * size_y)
    loss = tl.where(same, 1 - cosine, tl.maximum(cosine - margin, 0.0))
    tl.store(losses + seed, weight * tl.sum(tl.where(there, loss, 0.0), 0))
    slope = tl.where(same, -1.0, tl.where(cosine > margin, 1.0, 0.0))
    slope = tl.where(there, slope * weight, 0.0)
    hat_x, hat_y = x / size_x[:, None], y / size_y[:, None]
    dx = (slope / size_x)[:, None] * (hat_y - cosine[:, None] * hat_x)
    dy = (slope / size_y)[:, None] * (hat_x - cosine[:, None] * hat_y)
    add_whole(scattered + u[:, None] * UP + w, dx, there[:, None])
    add_whole(scattered + v[:, None] * UP + w, dy, there[:, None])


@triton.jit(do_not_specialize=["step"])
def sum_up(
    squares, spans, losses, group_losses, record, norms_out, n_blocks, batch, step, steps, l2,
    TABLES: tl.constexpr, B: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
    GROUPS: tl.constexpr,
):  # fmt: skip
    """The step's loss into `record` (S, steps), and the norms of the penalised tables. Grid (S,).

    `squares` (S, blocks): sums of squares as Adam left them; `spans` (tables, 2): first and last
    block of a table.
    """
    seed = tl.program_id(0)
    b = tl.arange(0, B)
    loss = tl.sum(tl.load(losses + seed * batch + b, mask=b < batch, other=0.0), 0)
    for table in tl.static_range(TABLES):
        low, high = tl.load(spans + 2 * table), tl.load(spans + 2 * table + 1)
        total = tl.zeros((CHUNK,), tl.float32)
        for number in range(CHUNKS):
            place = low + number * CHUNK + tl.arange(0, CHUNK)
            total += tl.load(squares + seed * n_blocks + place, mask=place < high, other=0.0)
        norm = tl.sqrt(tl.sum(total, 0))
        tl.store(norms_out + seed * TABLES + table, norm)
        loss += l2 * norm
    if GROUPS:
        loss += tl.load(group_losses + seed)
    tl.store(record + seed * steps + step, loss)


@triton.jit(do_not_specialize=["step"])
def adam(
    model, moments, squares_of, scattered, dense, penalised, norms, squares, clock, step,
    size, scattered_size, dense_size, n_blocks, l2, rate, beta1, beta2,
    SPLIT: tl.constexpr, TABLES: tl.constexpr,
):  # fmt: skip
    """One step of Adam over all weights; empties `scattered`. Grid (blocks, S)."""
    block, seed = tl.program_id(0), tl.program_id(1)
    e = tl.arange(0, BLOCK)
    place = block * BLOCK + e
    wide = seed.to(tl.int64) * size + place
    p = tl.load(model + wide)
    if block * BLOCK < scattered_size:
        source = scattered + seed.to(tl.int64) * scattered_size + place
        g = (tl.load(source).to(tl.float64) / FIXED).to(tl.float32)
        tl.store(source, tl.zeros((BLOCK,), tl.int64))
    else:
        g = tl.zeros((BLOCK,), tl.float32)
        parts = dense + seed.to(tl.int64) * SPLIT * dense_size + place - scattered_size
        for part in tl.static_range(SPLIT):
            g += tl.load(parts + part * dense_size)
    table = tl.load(penalised + block)
    if table >= 0:
        g += l2 * p / tl.maximum(tl.load(norms + seed * TABLES + table), 1e-30)
    count = (tl.load(clock + seed) + step + 1).to(tl.float32)
    m = beta1 * tl.load(moments + wide) + (1 - beta1) * g
    v = beta2 * tl.load(squares_of + wide) + (1 - beta2) * g * g
    unbiased1 = 1 - tl.exp(count * tl.log(beta1))
    unbiased2 = 1 - tl.exp(count * tl.log(beta2))
    p -= rate / unbiased1 * m / (tl.sqrt(v / unbiased2) + 1e-8)
    tl.store(model + wide, p)
    tl.store(moments + wide, m)
    tl.store(squares_of + wide, v)
    tl.store(squares + seed * n_blocks + block, tl.sum(p * p, 0))
