"""The network forward; one program a (seed, sequence, tile of M positions).

Positions of a sequence meet in attention only, as keys and values, so a launch goes from one
attention to the next: `embed_and_project` up to the first block's, `block_forward` from a block's
to the next one's. Tiles are padded to powers of two and stay in registers. Operands of products are
float16 where the scratch is (float16 has the same significand as TF32, and can be read transposed),
sums and norms float32. What the backward pass and the gradients of weights need is saved.

A window lies at the end of its T positions: what comes before its first item is neither written nor
read, and programs that have nothing else return at once.

Letters: S seeds, B batch, T sequence, M positions of a program, P rows or columns of a matrix that
a loop takes at a time, D width, N width before padding, R interval rows, C of them at a time, L
blocks (LAYERS); G = S·B sequences.

Arguments that many functions here have:

    model (S, size) float32, fp16 (S, size) float16: all weights, see `multiseed.layout`; o_… is
        where a tensor begins in them
    tiles (13, L + 1, G, T, D) float16, attn (2, L, G, T, T) float16, sums (2, L, G, T, R)
        float16, rsd (2, L, G, T) float32: what is saved, see `multiseed.activations`
    masks (G, mask_size) uint8: what dropout spares, one byte an element
    first_real (G,) int32: the first position of a sequence that is no padding
    sequence, first, begin: the program's sequence, its first position and the sequence's first real
        one, see `program_coordinates`; groups: G
    INTERVALS: whether keys and values have vectors of intervals and positions; TRAIN: whether
        dropout falls and activations are saved; RATE: of dropout; OVERLAP: see `pdl_wait`
"""

import triton
import triton.language as tl

from fpt_model.engines.multiseed.activations import HAT, HAT2, VALUES, A, H, K, Q, V, X, at
from fpt_model.engines.multiseed.buckets import scores_by_bucket, sum_by_bucket, values_by_bucket
from fpt_model.engines.multiseed.inputs import embed, numbers_of
from fpt_model.engines.multiseed.tiles import (
    AHEAD,
    FIRST,
    QUERY,
    SECOND,
    bias_of,
    columns,
    keep_mask,
    layer_offset,
    matrix_columns,
    matrix_rows,
    norm,
    normed,
    pdl_wait,
    product,
    program_coordinates,
    read,
    tile,
    write,
)


@triton.jit
def project(
    x, model, fp16, positions, tiles, rsd_out, x_out, sequence, groups, first, begin, layer,
    T: tl.constexpr, M: tl.constexpr, P: tl.constexpr, D: tl.constexpr,
    N: tl.constexpr, LAYERS: tl.constexpr, INTERVALS: tl.constexpr, TRAIN: tl.constexpr,
):  # fmt: skip
    """Query, key and value of a block's input, saved; its normed query, into `x_out`.

    Args:
        x: (M, D) float32, in registers: the block's input.
        model: float32 weights of the block, for norms and biases.
        fp16: float16 weights of the block, for products.
        positions: (2, T, D) float32, position vectors that are added to key and value.
        tiles: (13, L + 1, G, T, D), gets Q, K, V and, to train, X and HAT.
        rsd_out: (2, L, G, T), gets the first norm's 1 / sd, to train.
        x_out: (G, T, D) float32, gets the normed query, for the residual.
        layer: number of the block.
    """
    half = fp16.dtype.element_ty
    here = first * D + tile(M, D)

    # normalise: the query alone comes from the normed input
    weight, bias = norm(model, 0, D)
    query, x_hat, rstd = normed(x, weight, bias, N, D)
    write(x_out + sequence.to(tl.int64) * T * D + here, query, first, begin, M)
    x, query = x.to(half), query.to(half)

    # project: one loop over pieces of all three matrices, so that the next piece is on its way
    # while this one is multiplied, from one matrix to the next too
    for n in tl.range(3 * (D // P), num_stages=AHEAD):
        matrix, column = n // (D // P), n % (D // P) * P
        w = matrix_rows(fp16, matrix, column, P, D)
        out = product(tl.where(matrix == QUERY, query, x), tl.trans(w))
        out += bias_of(model, matrix, column, D, P)

        # positions belong to keys and values
        place = first * D + columns(column, M, D, P)
        if INTERVALS:
            added = matrix != QUERY
            out += tl.load(positions + (matrix - 1) * T * D + place, mask=added, other=0.0)
        to = at(tiles, matrix, layer, sequence, groups, LAYERS + 1, T * D)
        write(to + place, out, first, begin, M)

    # save what the backward pass needs of the norm and of the products' operands
    if TRAIN:
        write(at(tiles, X, layer, sequence, groups, LAYERS + 1, T * D) + here, x, first, begin, M)
        hat_at = at(tiles, HAT, layer, sequence, groups, LAYERS + 1, T * D)
        write(hat_at + here, x_hat, first, begin, M)
        rows = first + tl.arange(0, M)
        tl.store(at(rsd_out, 0, layer, sequence, groups, LAYERS, T) + rows, rstd)


@triton.jit
def embed_and_project(
    model, fp16, offsets, o_positions, o_blocks, ids, first_real,
    masks, mask_size, positions, tiles, rsd, x, size, batch, root,
    T: tl.constexpr, M: tl.constexpr, P: tl.constexpr, D: tl.constexpr,
    N: tl.constexpr, INPUTS: tl.constexpr,
    LAYERS: tl.constexpr, INTERVALS: tl.constexpr, TRAIN: tl.constexpr, RATE: tl.constexpr,
    PDL: tl.constexpr,
):  # fmt: skip
    """The network's input and the projections of its first block. Grid (G·T/M,).

    Args:
        model: (S, size) float32, all weights.
        fp16: (S, size) float16, their copies for products.
        offsets: of each of the INPUTS the first element of its table.
        o_positions, o_blocks: where positions and blocks begin.
        ids: of each of the INPUTS its numbers, (G, T) or (G,) int32; 0 is padding.
        first_real: (G,) int32, first real position.
        masks: (G, mask_size) uint8, dropout of the input comes first.
        positions: (S, L, 2, T, D) float32, position vectors of keys and values.
        tiles: (13, L + 1, G, T, D) float16, gets the first block's Q, K, V, X and HAT.
        rsd: (2, L, G, T) float32, gets 1 / sd of its first norm.
        x: (G, T, D) float32, gets the normed query.
        size: weights of a seed.
        batch: sequences of a seed.
        root: √N, by which looked-up vectors are multiplied.
    """
    # A batch is drawn a step ahead when we train, so its ids may be read before the launch before
    # has ended: it still changes weights. To rank, that launch draws the batch.
    if not TRAIN:
        pdl_wait(PDL)
    groups, sequence, first, begin = program_coordinates(first_real, T, M)
    if first + M <= begin:  # nothing but padding
        return
    here, rows = first * D + tile(M, D), first + tl.arange(0, M)
    seed, inside = sequence // batch, rows >= begin

    # load ids, then wait for the weights
    numbers = numbers_of(ids, sequence, rows, T, INPUTS)
    if TRAIN:
        pdl_wait(PDL)
    model += seed.to(tl.int64) * size
    fp16 += seed.to(tl.int64) * size + o_blocks

    # embed: look up, scale, add positions
    x0 = embed(model, offsets, numbers, inside, M, D, INPUTS) * root
    if not INTERVALS:
        x0 += tl.load(model + o_positions + here)
    if RATE > 0:
        x0 = x0 * keep_mask(masks + sequence.to(tl.int64) * mask_size + here, first, begin, M, RATE)
    x0 = tl.where(inside[:, None], x0, 0.0)

    # query, key and value of the first block
    positions += (seed * LAYERS).to(tl.int64) * 2 * T * D
    project(
        x0, model + o_blocks, fp16, positions, tiles, rsd, x, sequence, groups, first, begin, 0,
        T, M, P, D, N, LAYERS, INTERVALS, TRAIN,
    )  # fmt: skip


@triton.jit
def softmax(s, items, first, scale, T: tl.constexpr, M: tl.constexpr):
    """Weights of the keys that M queries may see: real ones up to the query, and itself.

    Args:
        s: (M, T) float32, scores.
        items: (T,) int32 of the sequence; 0 is padding.
        first: position of the first query.
        scale: of scores, log2 e included: powers of two are what the hardware computes.
    """
    row, key = first + tl.arange(0, M)[:, None], tl.arange(0, T)
    real = (tl.load(items + key) > 0)[None, :]
    key = key[None, :]

    # A padded query sees itself: a row without any key would divide by zero.
    s = tl.where(((key <= row) & real) | (key == row), s * scale, float("-inf"))
    s = tl.exp2(s - tl.max(s, 1)[:, None])
    return s * (1 / tl.sum(s, 1))[:, None]


@triton.jit
def attention(
    items, buckets, window, tables, drawn, mask, tiles, attn, sums, scale,
    sequence, groups, first, begin, layer,
    T: tl.constexpr, M: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    LAYERS: tl.constexpr, INTERVALS: tl.constexpr, TRAIN: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """What M queries get of the values, (M, D) float32.

    Args:
        items: (G, T) int32, 0 is padding.
        buckets: (windows, T, T) int16, interval row of each pair; window: which is the sequence's.
        tables: (S · L · 2, R, D) float16, interval vectors; drawn: which are the keys'.
        mask: the sequence's bytes of the block's dropout, those on weights come first.
        tiles: (13, L + 1, G, T, D) float16: Q, K, V are read.
        attn: (2, L, G, T, T) float16, gets A, to train.
        sums: (2, L, G, T, R) float16, gets VALUES.
        scale: of scores, log2 e included.
    """
    here, pairs = first * D + tile(M, D), first * T + tile(M, T)

    # scores: q · (k + interval vector); keys have their positions already
    q = read(at(tiles, Q, layer, sequence, groups, LAYERS + 1, T * D) + here, first, begin, M)
    k = read(at(tiles, K, layer, sequence, groups, LAYERS + 1, T * D) + tile(T, D), 0, begin, T)
    s = product(q, tl.trans(k))
    if INTERVALS:
        sums = at(sums, VALUES, layer if TRAIN else 0, sequence, groups, LAYERS, T * R) + first * R
        tables += drawn * R * D
        bucket = read(buckets + window * T * T + pairs, first, begin, M).to(tl.int32)
        s += scores_by_bucket(q, tables, bucket, sums, first, begin, M, D, R, C)

    # softmax, dropout; the sign saves the mask with the weight, at no memory of its own
    a = softmax(s, items + sequence * T, first, scale, T, M)
    if TRAIN:
        signed = a
        if RATE > 0:
            factor = keep_mask(mask + pairs, first, begin, M, RATE)
            signed = tl.where(factor > 0, a, -a)
            a = a * factor
        weights = at(attn, A, layer, sequence, groups, LAYERS, T * T)
        write(weights + pairs, signed, first, begin, M)

    # accumulate: weights · (v + interval vector); values have their positions already
    v = read(at(tiles, V, layer, sequence, groups, LAYERS + 1, T * D) + tile(T, D), 0, begin, T)
    o = product(a.to(v.dtype), v)
    if INTERVALS:
        sum_by_bucket(a, bucket, sums, M, R)
        o += values_by_bucket(sums, tables + R * D, first, begin, M, D, R, C)
    return o


@triton.jit
def pointwise(
    y, model, fp16, tiles, mask, sequence, groups, first, begin, layer,
    T: tl.constexpr, M: tl.constexpr, P: tl.constexpr, D: tl.constexpr,
    LAYERS: tl.constexpr, TRAIN: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """A block's two pointwise layers, onto their input.

    Args:
        y: (M, D) float32, in registers: what the second norm makes.
        model, fp16: the block's weights, float32 and float16.
        tiles: (13, L + 1, G, T, D) float16, gets H, to train.
        mask: the sequence's bytes of the block's dropout: on weights (T, T), then on the hidden
            layer and the output, (T, D) each.
    """
    half = fp16.dtype.element_ty
    x, z = y.to(half), tl.zeros((M, D), tl.float32)

    # Both layers by P hidden columns at a time: the hidden layer never needs all its registers.
    for column in tl.range(0, D, P, num_stages=AHEAD):
        w = matrix_rows(fp16, FIRST, column, P, D)
        w2 = matrix_columns(fp16, SECOND, column, P, D)

        # hidden layer; dropout before ReLU, so that zero says dropped or negative alike
        place = first * D + columns(column, M, D, P)
        h = product(x, tl.trans(w)) + bias_of(model, FIRST, column, D, P)
        if RATE > 0:
            h = h * keep_mask(mask + T * T + place, first, begin, M, RATE)
        h = tl.maximum(h, 0.0).to(half)
        if TRAIN:
            to = at(tiles, H, layer, sequence, groups, LAYERS + 1, T * D)
            write(to + place, h, first, begin, M)

        # its part of the output
        z += product(h, tl.trans(w2))

    # bias, dropout, residual
    z += bias_of(model, SECOND, 0, D, D)
    if RATE > 0:
        here = first * D + tile(M, D)
        z = z * keep_mask(mask + T * T + T * D + here, first, begin, M, RATE)
    return y + z


@triton.jit(do_not_specialize=["layer"])
def block_forward(
    model, fp16, o_blocks, x, items, first_real, window_index, buckets, tables, positions, masks,
    mask_size,
    tiles, attn, rsd, sums, size, batch, scale, layer,
    T: tl.constexpr, M: tl.constexpr, P: tl.constexpr, D: tl.constexpr,
    N: tl.constexpr, R: tl.constexpr, C: tl.constexpr, LAYERS: tl.constexpr, LAST: tl.constexpr,
    INTERVALS: tl.constexpr, TRAIN: tl.constexpr, RATE: tl.constexpr,
    PDL: tl.constexpr,
):  # fmt: skip
    """A block from its attention on, and the next one's projections unless LAST. Grid (G·T/M,).

    Args:
        model: (S, size) float32, all weights: for norms and biases.
        fp16: (S, size) float16, their copies for products.
        o_blocks: where blocks begin.
        x: (G, T, D) float32, the normed query; becomes the next one's, or the block's output.
        items: (G, T) int32, 0 is padding.
        first_real: (G,) int32, first real position.
        window_index: (G,) int32, number of the sequence's window.
        buckets: (windows, T, T) int16, interval row of each pair, see `multiseed.intervals`.
        tables: (S, L, 2, R, D) float16, interval vectors of keys and values.
        positions: (S, L, 2, T, D) float32, position vectors of keys and values.
        masks: (G, mask_size) uint8, what dropout spares.
        tiles: (13, L + 1, G, T, D) float16: Q, K, V are read; HAT2, H and the next block's written.
        attn: (2, L, G, T, T) float16, gets A: weights, with a minus where dropout takes them.
        rsd: (2, L, G, T) float32, gets 1 / sd of the second norm.
        sums: (2, L, G, T, R) float16, gets VALUES: the weights' sums by interval row.
        size: weights of a seed.
        batch: sequences of a seed.
        scale: of scores, log2 e / √N, as weights are powers of two.
        layer: number of the block.
        R, C: interval rows, and how many of them a loop takes at a time.
    """
    groups, sequence, first, begin = program_coordinates(first_real, T, M)
    if first + M <= begin:  # nothing but padding
        return
    if LAST and not TRAIN:  # noqa: SIM102 - decided when it is compiled; one position is ranked
        if first + M < T:
            return
    window = tl.load(window_index + sequence).to(tl.int64)
    pdl_wait(PDL)

    # where the program's part of everything lies
    seed = sequence // batch
    model += seed.to(tl.int64) * size + o_blocks + layer_offset(layer, D)
    fp16 += seed.to(tl.int64) * size + o_blocks + layer_offset(layer, D)
    here = first * D + tile(M, D)
    mask = masks + sequence.to(tl.int64) * mask_size + T * D + layer * (T * T + 2 * T * D)
    drawn = (seed * LAYERS + layer).to(tl.int64) * 2

    # attention
    o = attention(
        items, buckets, window, tables, drawn, mask, tiles, attn, sums, scale,
        sequence, groups, first, begin, layer,
        T, M, D, R, C, LAYERS, INTERVALS, TRAIN, RATE,
    )  # fmt: skip

    # residual onto the normed query, second norm
    wide = sequence.to(tl.int64) * T * D
    weight, bias = norm(model, 1, D)
    y, x_hat, rstd = normed(read(x + wide + here, first, begin, M) + o, weight, bias, N, D)
    if TRAIN:
        hat_at = at(tiles, HAT2, layer, sequence, groups, LAYERS + 1, T * D)
        write(hat_at + here, x_hat, first, begin, M)
        rows = first + tl.arange(0, M)
        tl.store(at(rsd, 1, layer, sequence, groups, LAYERS, T) + rows, rstd)

    # pointwise layers
    out = pointwise(
        y, model, fp16, tiles, mask, sequence, groups, first, begin, layer,
        T, M, P, D, LAYERS, TRAIN, RATE,
    )  # fmt: skip

    # the block's output, or the next block's projections of it
    if LAST:
        write(x + wide + here, out, first, begin, M)
    else:
        positions += (drawn + 2) * T * D
        project(
            out, model + layer_offset(1, D), fp16 + layer_offset(1, D), positions, tiles, rsd, x,
            sequence, groups, first, begin, layer + 1,
            T, M, P, D, N, LAYERS, INTERVALS, TRAIN,
        )  # fmt: skip
