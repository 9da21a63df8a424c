"""The network forward; one program a (seed, sequence, tile of M positions).

Positions of a sequence meet in attention only, as keys and values, so a launch goes from one
attention to the next: `enter` up to the first block's, `attend` from a block's to the next one's.
Tiles are padded to powers of two and stay in registers. Operands of products are halves where the
scratch is (float16 has the same significand as TF32, and can be read transposed), sums and norms
float32. What the backward pass and the gradients of weights need is saved.

A window lies at the end of its T positions: what comes before its first item is neither written nor
read, and programs that have nothing else return at once.

Letters: S seeds, B batch, T sequence, M positions of a program, P rows or columns of a matrix that
a loop takes at a time, D width, N width before padding, R interval rows, L blocks; G = S·B
sequences.
"""

import triton
import triton.language as tl

from fpt_model.engines.multiseed.by_row import scores_by_row, summed_by_row, values_by_row
from fpt_model.engines.multiseed.inputs import looked_up, numbers_of
from fpt_model.engines.multiseed.saved import HAT, HAT2, VALUES, A, H, K, Q, V, X, at
from fpt_model.engines.multiseed.tiles import (
    AHEAD,
    FIRST,
    QUERY,
    SECOND,
    bias_of,
    columns,
    in_turn,
    keep_mask,
    layer_offset,
    matrix_columns,
    matrix_rows,
    norm,
    normed,
    product,
    read,
    tile,
    whose,
    write,
)


@triton.jit
def project(
    x, model, halves, places, tiles, rsd_out, x_out, sequence, groups, first, begin, layer,
    T: tl.constexpr, M: tl.constexpr, P: tl.constexpr, D: tl.constexpr,
    N: tl.constexpr, LAYERS: tl.constexpr, INTERVALS: tl.constexpr, TRAIN: tl.constexpr,
):  # fmt: skip
    """Query, key and value of a block's input x, saved; its normed query, into `x_out`.

    `places` (2, T, D) is added to key and value.
    """
    half = halves.dtype.element_ty
    here = first * D + tile(M, D)
    weight, bias = norm(model, 0, D)
    query, hat, rsd = normed(x, weight, bias, N, D)
    write(x_out + sequence.to(tl.int64) * T * D + here, query, first, begin, M)
    x, query = x.to(half), query.to(half)
    for n in tl.range(3 * (D // P), num_stages=AHEAD):
        matrix, left = n // (D // P), n % (D // P) * P
        w = matrix_rows(halves, matrix, left, P, D)
        out = product(tl.where(matrix == QUERY, query, x), tl.trans(w))
        out += bias_of(model, matrix, left, D, P)
        place = first * D + columns(left, M, D, P)
        if INTERVALS:
            added = matrix != QUERY
            out += tl.load(places + (matrix - 1) * T * D + place, mask=added, other=0.0)
        to = at(tiles, matrix, layer, sequence, groups, LAYERS + 1, T * D)
        write(to + place, out, first, begin, M)
    if TRAIN:
        write(at(tiles, X, layer, sequence, groups, LAYERS + 1, T * D) + here, x, first, begin, M)
        write(
            at(tiles, HAT, layer, sequence, groups, LAYERS + 1, T * D) + here, hat, first, begin, M
        )
        rows = first + tl.arange(0, M)
        tl.store(at(rsd_out, 0, layer, sequence, groups, LAYERS, T) + rows, rsd)


@triton.jit
def enter(
    model, halves, offsets, o_places, o_blocks, ids, begins,
    masks, mask_size, places, tiles, rsd, x, size, batch, root,
    T: tl.constexpr, M: tl.constexpr, P: tl.constexpr, D: tl.constexpr,
    N: tl.constexpr, INPUTS: tl.constexpr,
    LAYERS: tl.constexpr, INTERVALS: tl.constexpr, TRAIN: tl.constexpr, RATE: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """The network's input and its projections. Grid (G·T/M,).

    `offsets`: of each of the INPUTS the first element of its table; `ids`: its numbers.
    """
    if not TRAIN:
        in_turn(OVERLAP)  # the windows were chosen by the launch before
    groups, sequence, first, begin = whose(begins, T, M)
    if first + M <= begin:
        return
    here, rows = first * D + tile(M, D), first + tl.arange(0, M)
    seed, inside = sequence // batch, rows >= begin
    numbers = numbers_of(ids, sequence, rows, T, INPUTS)
    if TRAIN:
        in_turn(OVERLAP)
    model += seed.to(tl.int64) * size
    halves += seed.to(tl.int64) * size + o_blocks
    x0 = looked_up(model, offsets, numbers, inside, M, D, INPUTS) * root
    if not INTERVALS:
        x0 += tl.load(model + o_places + here)
    if RATE > 0:
        x0 = x0 * keep_mask(masks + sequence.to(tl.int64) * mask_size + here, first, begin, M, RATE)
    x0 = tl.where(inside[:, None], x0, 0.0)
    places += (seed * LAYERS).to(tl.int64) * 2 * T * D
    project(
        x0, model + o_blocks, halves, places, tiles, rsd, x, sequence, groups, first, begin, 0,
        T, M, P, D, N, LAYERS, INTERVALS, TRAIN,
    )  # fmt: skip


@triton.jit
def softmax(s, items, first, scale, T: tl.constexpr, M: tl.constexpr):
    """Weights of the keys that M queries may see: real ones up to the query, and itself."""
    row, key = first + tl.arange(0, M)[:, None], tl.arange(0, T)
    real = (tl.load(items + key) > 0)[None, :]
    key = key[None, :]
    s = tl.where(((key <= row) & real) | (key == row), s * scale, float("-inf"))
    s = tl.exp2(s - tl.max(s, 1)[:, None])
    return s * (1 / tl.sum(s, 1))[:, None]


@triton.jit
def pointwise(
    y, model, halves, tiles, mask, sequence, groups, first, begin, layer,
    T: tl.constexpr, M: tl.constexpr, P: tl.constexpr, D: tl.constexpr,
    LAYERS: tl.constexpr, TRAIN: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """A block's two pointwise layers, onto their input y."""
    half = halves.dtype.element_ty
    x, z = y.to(half), tl.zeros((M, D), tl.float32)
    for left in tl.range(0, D, P, num_stages=AHEAD):
        w = matrix_rows(halves, FIRST, left, P, D)
        w2 = matrix_columns(halves, SECOND, left, P, D)
        place = first * D + columns(left, M, D, P)
        h = product(x, tl.trans(w)) + bias_of(model, FIRST, left, D, P)
        if RATE > 0:
            h = h * keep_mask(mask + T * T + place, first, begin, M, RATE)
        h = tl.maximum(h, 0.0).to(half)
        if TRAIN:
            to = at(tiles, H, layer, sequence, groups, LAYERS + 1, T * D)
            write(to + place, h, first, begin, M)
        z += product(h, tl.trans(w2))
    z += bias_of(model, SECOND, 0, D, D)
    if RATE > 0:
        here = first * D + tile(M, D)
        z = z * keep_mask(mask + T * T + T * D + here, first, begin, M, RATE)
    return y + z


@triton.jit(do_not_specialize=["layer"])
def attend(
    model, halves, o_blocks, x, items, begins, chosen, look_ups, tables, places, masks, mask_size,
    tiles, squares, rsd, sums, size, batch, scale, layer,
    T: tl.constexpr, M: tl.constexpr, P: tl.constexpr, D: tl.constexpr,
    N: tl.constexpr, R: tl.constexpr, C: tl.constexpr, LAYERS: tl.constexpr, LAST: tl.constexpr,
    INTERVALS: tl.constexpr, TRAIN: tl.constexpr, RATE: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """A block from its attention on, and the next one's projections unless LAST. Grid (G·T/M,).

    `x` (G, T, D): the normed query becomes the next one's, or the block's output. `model` (S, P)
    float32 for norms and biases, `halves` its copy for products. `masks` (G, mask_size). Weights
    are saved with a minus where dropout takes them. `scale` of scores: log2 e / √N, as weights are
    powers of two.
    """
    groups, sequence, first, begin = whose(begins, T, M)
    if first + M <= begin:
        return
    if LAST and not TRAIN:  # noqa: SIM102 - decided when it is compiled; one position is ranked
        if first + M < T:
            return
    window = tl.load(chosen + sequence).to(tl.int64)
    in_turn(OVERLAP)
    seed = sequence // batch
    model += seed.to(tl.int64) * size + o_blocks + layer_offset(layer, D)
    halves += seed.to(tl.int64) * size + o_blocks + layer_offset(layer, D)
    half = halves.dtype.element_ty
    here, pairs = first * D + tile(M, D), first * T + tile(M, T)
    mask = masks + sequence.to(tl.int64) * mask_size + T * D + layer * (T * T + 2 * T * D)
    drawn = (seed * LAYERS + layer).to(tl.int64) * 2
    q = read(at(tiles, Q, layer, sequence, groups, LAYERS + 1, T * D) + here, first, begin, M)
    k = read(at(tiles, K, layer, sequence, groups, LAYERS + 1, T * D) + tile(T, D), 0, begin, T)
    s = product(q, tl.trans(k))
    if INTERVALS:
        sums = at(sums, VALUES, layer if TRAIN else 0, sequence, groups, LAYERS, T * R) + first * R
        tables += drawn * R * D
        look_up = read(look_ups + window * T * T + pairs, first, begin, M).to(tl.int32)
        s += scores_by_row(q, tables, look_up, sums, first, begin, M, D, R, C)
    a = softmax(s, items + sequence * T, first, scale, T, M)
    if TRAIN:
        signed = a
        if RATE > 0:
            factor = keep_mask(mask + pairs, first, begin, M, RATE)
            signed = tl.where(factor > 0, a, -a)
            a = a * factor
        weights = at(squares, A, layer, sequence, groups, LAYERS, T * T)
        write(weights + pairs, signed, first, begin, M)
    v = read(at(tiles, V, layer, sequence, groups, LAYERS + 1, T * D) + tile(T, D), 0, begin, T)
    o = product(a.to(half), v)
    if INTERVALS:
        summed_by_row(a, look_up, sums, M, R)
        o += values_by_row(sums, tables + R * D, first, begin, M, D, R, C)
    wide = sequence.to(tl.int64) * T * D
    weight, bias = norm(model, 1, D)
    y, hat, rsd2 = normed(read(x + wide + here, first, begin, M) + o, weight, bias, N, D)
    if TRAIN:
        write(
            at(tiles, HAT2, layer, sequence, groups, LAYERS + 1, T * D) + here, hat, first, begin, M
        )
        rows = first + tl.arange(0, M)
        tl.store(at(rsd, 1, layer, sequence, groups, LAYERS, T) + rows, rsd2)
    out = pointwise(
        y, model, halves, tiles, mask, sequence, groups, first, begin, layer,
        T, M, P, D, LAYERS, TRAIN, RATE,
    )  # fmt: skip
    if LAST:
        write(x + wide + here, out, first, begin, M)
    else:
        places += (drawn + 2) * T * D
        project(
            out, model + layer_offset(1, D), halves + layer_offset(1, D), places, tiles, rsd, x,
            sequence, groups, first, begin, layer + 1,
            T, M, P, D, N, LAYERS, INTERVALS, TRAIN,
        )  # fmt: skip
