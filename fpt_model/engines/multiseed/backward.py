"""The network backward; one program a (seed, sequence, tile of M positions).

What a position's keys and values are given comes from the queries of all tiles, so a launch goes
from one attention to the one before: `block_backward` takes the loss (of the last block) or the
gradients by keys of the block above, goes through the pointwise layers and, by queries, through the
attention; `embedding_backward` ends with the gradients by keys of the first block and the
embeddings.

Letters: see `fpt_model.engines.multiseed.forward`.
"""

import triton
import triton.language as tl

from fpt_model.engines.multiseed.activations import (
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
from fpt_model.engines.multiseed.buckets import scores_by_bucket, sum_by_bucket, values_by_bucket
from fpt_model.engines.multiseed.inputs import scatter_embedding_grads
from fpt_model.engines.multiseed.loss import loss_backward
from fpt_model.engines.multiseed.tiles import (
    AHEAD,
    FIRST,
    KEY,
    QUERY,
    SECOND,
    columns,
    keep_mask,
    layer_offset,
    matrix_columns,
    matrix_rows,
    norm,
    normed_backward,
    pdl_wait,
    product,
    program_coordinates,
    read,
    tile,
    write,
)


@triton.jit
def by_keys(
    dx, fp16, tiles, attn, sequence, groups, first, begin, layer,
    T: tl.constexpr, M: tl.constexpr, P: tl.constexpr, D: tl.constexpr,
    LAYERS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Gradient of a block's input at M positions, (M, D): by its queries, keys and values.

    Args:
        dx: (G, T, D) float32, what `block_backward` left: the part by queries.
        fp16: float16 weights of the block.
        tiles: (13, L + 1, G, T, D) float16: DO and Q are read.
        attn: (2, L, G, T, T) float16: A and DS are read.
        layer: number of the block.
    """
    # here the positions are keys: pairs are read with all queries first, (T, M)
    half = fp16.dtype.element_ty
    here = first * D + tile(M, D)
    pairs = tl.arange(0, T)[:, None] * T + first + tl.arange(0, M)[None, :]

    # the part by queries
    total = read(dx + sequence.to(tl.int64) * T * D + here, first, begin, M)

    # the parts by keys and values: one loop over pieces of both, with loads on their way. A value's
    # gradient is weightsᵀ · do, a key's dsᵀ · q.
    for n in tl.range(2 * (D // P), num_stages=AHEAD):
        value, column = n // (D // P), n % (D // P) * P
        weights = tl.where(value == 1, A, DS)
        given = tl.where(value == 1, DO, Q)
        least = tl.where(value == 1, 0.0, float("-inf")).to(half)  # weights are signed
        scale = tl.where(value == 1, 1 / (1 - RATE), 1.0)

        # Weights that were dropped are saved with a minus; gradients of scores may have any sign.
        square = at(attn, weights, layer, sequence, groups, LAYERS, T * T)
        square = read(square + pairs, 0, begin, T)
        vectors = at(tiles, given, layer, sequence, groups, LAYERS + 1, T * D)
        part = read(vectors + columns(column, T, D, P), 0, begin, T)

        # back through the linear layer
        grad = product(tl.trans(tl.maximum(square, least)), part) * scale
        total += product(grad.to(half), matrix_rows(fp16, KEY + value, column, P, D))
    return total


@triton.jit
def pointwise_backward(
    dx, model, fp16, tiles, rsd, mask, sequence, groups, first, begin, layer,
    T: tl.constexpr, M: tl.constexpr, P: tl.constexpr, D: tl.constexpr,
    N: tl.constexpr, LAYERS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """From the gradient of a block's output to that of what its second norm takes, (M, D).

    Args:
        dx: (M, D) float32, in registers.
        model, fp16: the block's weights, float32 and float16.
        tiles: (13, L + 1, G, T, D) float16: H and HAT2 are read, DZ, DU and DN2 written.
        rsd: (2, L, G, T) float32, 1 / sd of both norms.
        mask: the sequence's bytes of the block's dropout, see `forward.pointwise`.
    """
    half = fp16.dtype.element_ty
    here = first * D + tile(M, D)

    # dropout of the output
    dz = dx
    if RATE > 0:
        dz = dz * keep_mask(mask + T * T + T * D + here, first, begin, M, RATE)
    dz = dz.to(half)
    write(at(tiles, DZ, layer, sequence, groups, LAYERS + 1, T * D) + here, dz, first, begin, M)

    # both linear layers, by P hidden columns at a time; the residual is where the sum begins
    dn = dx
    for column in tl.range(0, D, P, num_stages=AHEAD):
        dh = product(dz, matrix_columns(fp16, SECOND, column, P, D))
        place = first * D + columns(column, M, D, P)
        hidden = at(tiles, H, layer, sequence, groups, LAYERS + 1, T * D)

        # What the hidden layer has above zero was neither dropped nor cut by ReLU.
        h = read(hidden + place, first, begin, M)
        du = tl.where(h > 0, dh * (1 / (1 - RATE)), 0.0).to(half)
        to = at(tiles, DU, layer, sequence, groups, LAYERS + 1, T * D)
        write(to + place, du, first, begin, M)
        dn += product(du, matrix_rows(fp16, FIRST, column, P, D))

    # second norm
    write(at(tiles, DN2, layer, sequence, groups, LAYERS + 1, T * D) + here, dn, first, begin, M)
    hat_at = at(tiles, HAT2, layer, sequence, groups, LAYERS + 1, T * D)
    x_hat = read(hat_at + here, first, begin, M)
    rows = first + tl.arange(0, M)
    rstd = tl.load(at(rsd, 1, layer, sequence, groups, LAYERS, T) + rows)
    weight, _ = norm(model, 1, D)
    return normed_backward(dn, x_hat.to(tl.float32), rstd, weight, N, D)


@triton.jit
def softmax_backward(a, da, scale, RATE: tl.constexpr):
    """Gradient of scores from that of the weights, (M, T).

    Args:
        a: (M, T), weights, with a minus where they were dropped.
        da: (M, T) float32, gradient of the weights after their dropout.
        scale: of scores, 1 / √N.
    """
    # softmax: ds = a · (da - Σ a · da), where da is zero for weights that were dropped
    a = a.to(tl.float32)
    weighted = tl.maximum(a, 0.0) * da * (scale / (1 - RATE))
    return weighted - tl.abs(a) * tl.sum(weighted, 1)[:, None]


@triton.jit
def attention_back(
    dx, fp16, buckets, window, tables, seed, tiles, attn, sums, scale, pairs,
    sequence, groups, first, begin, layer,
    T: tl.constexpr, M: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    LAYERS: tl.constexpr, INTERVALS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """From the gradient of what the second norm takes to that of the normed input, by queries.

    Args:
        dx: (M, D) float32, in registers.
        fp16: the block's weights, float16.
        buckets: (windows, T, T) int16, interval row of each pair; window: which is the sequence's.
        tables: (S, L, 2, R, D) float16, interval vectors of keys and values.
        tiles: (13, L + 1, G, T, D) float16: K and V are read, DO, DQ and DN written.
        attn: (2, L, G, T, T) float16: A is read, DS written.
        sums: (2, L, G, T, R) float16, gets KEYS.
        scale: of scores, 1 / √N.
        pairs: (M, T), places of the queries' rows in a matrix (T, T).
    """
    half = fp16.dtype.element_ty
    here = first * D + tile(M, D)

    # through attention's output: it was added to the normed query, so both have gradient dx
    do = dx.to(half)
    write(at(tiles, DO, layer, sequence, groups, LAYERS + 1, T * D) + here, do, first, begin, M)

    # gradient of the weights: do · (v + interval vector)
    v = read(at(tiles, V, layer, sequence, groups, LAYERS + 1, T * D) + tile(T, D), 0, begin, T)
    da = product(do, tl.trans(v))
    if INTERVALS:
        sums = at(sums, KEYS, layer, sequence, groups, LAYERS, T * R) + first * R
        tables += (seed * LAYERS + layer).to(tl.int64) * 2 * R * D
        bucket = read(buckets + window * T * T + pairs, first, begin, M).to(tl.int32)
        da += scores_by_bucket(do, tables + R * D, bucket, sums, first, begin, M, D, R, C)

    # softmax
    a = read(at(attn, A, layer, sequence, groups, LAYERS, T * T) + pairs, first, begin, M)
    ds = softmax_backward(a, da, scale, RATE)
    write(at(attn, DS, layer, sequence, groups, LAYERS, T * T) + pairs, ds, first, begin, M)

    # gradient of the query: ds · (k + interval vector)
    k = read(at(tiles, K, layer, sequence, groups, LAYERS + 1, T * D) + tile(T, D), 0, begin, T)
    dq = product(ds.to(half), k)
    if INTERVALS:
        sum_by_bucket(ds, bucket, sums, M, R)
        dq += values_by_bucket(sums, tables, first, begin, M, D, R, C)

    # query's linear layer, and the residual that the normed query was
    dq = dq.to(half)
    write(at(tiles, DQ, layer, sequence, groups, LAYERS + 1, T * D) + here, dq, first, begin, M)
    dn = dx + product(dq, matrix_rows(fp16, QUERY, 0, D, D))
    write(at(tiles, DN, layer, sequence, groups, LAYERS + 1, T * D) + here, dn, first, begin, M)
    return dn


@triton.jit(do_not_specialize=["layer"])
def block_backward(
    model, fp16, o_items, o_norm, o_blocks, embedding_grads, x, targets, negatives, dx, losses,
    first_real, window_index, buckets, tables, masks, mask_size, tiles, attn, rsd, sums,
    size, embedding_size, batch, scale, layer,
    T: tl.constexpr, M: tl.constexpr, P: tl.constexpr, D: tl.constexpr,
    N: tl.constexpr, R: tl.constexpr, C: tl.constexpr, IW: tl.constexpr, IP: tl.constexpr,
    LAYERS: tl.constexpr, LAST: tl.constexpr, INTERVALS: tl.constexpr, RATE: tl.constexpr,
    PDL: tl.constexpr,
):  # fmt: skip
    """Gradients of a block by queries, after the loss or the keys of the one above. Grid (G·T/M,).

    Leaves in `dx` what the block's input has by way of queries, and saves the gradients of what
    norms and linear layers give, from which `sums.py` takes those of the weights.

    Args:
        model: (S, size) float32, all weights.
        fp16: (S, size) float16, their copies for products.
        o_items, o_norm, o_blocks: where items, the last norm and blocks begin.
        embedding_grads: (S, embedding_size) int64, gets the items' gradient by the loss, see
            `add_fixed_point`.
        x: (G, T, D) float32, the last block's output.
        targets, negatives: (G, T) int32 items, targets 0 where there is none.
        dx: (G, T, D) float32: the block above left its part here, this one leaves its own.
        losses: (G, T) float32, gets the loss of each position, if LAST.
        first_real: (G,) int32, first real position.
        window_index: (G,) int32, number of the sequence's window.
        buckets: (windows, T, T) int16, interval row of each pair.
        tables: (S, L, 2, R, D) float16, interval vectors of keys and values.
        masks: (G, mask_size) uint8, what dropout spares.
        tiles: (13, L + 1, G, T, D) float16: Q to H are read, DO, DQ, DN, DN2, DU, DZ written.
        attn: (2, L, G, T, T) float16: A is read, DS written.
        rsd: (2, L, G, T) float32, 1 / sd of both norms.
        sums: (2, L, G, T, R) float16, gets KEYS: sums of DS by interval row.
        size, embedding_size: weights of a seed, and how many of them are looked up.
        batch: sequences of a seed.
        scale: of scores, 1 / √N.
        layer: number of the block.
        R, C: interval rows, and how many of them a loop takes at a time.
        IW, IP: width of an item's vector, and elements from one to the next.
    """
    groups, sequence, first, begin = program_coordinates(first_real, T, M)

    # nothing but padding: its losses are summed up nevertheless
    if first + M <= begin:
        if LAST:
            tl.store(losses + sequence * T + first + tl.arange(0, M), tl.zeros((M,), tl.float32))
        return
    window = tl.load(window_index + sequence).to(tl.int64)
    pdl_wait(PDL)

    # where the program's part of everything lies
    seed = sequence // batch
    wide = sequence.to(tl.int64)
    model += seed.to(tl.int64) * size
    fp16 += seed.to(tl.int64) * size + o_blocks + layer_offset(layer, D)
    here, pairs = first * D + tile(M, D), first * T + tile(M, T)
    mask = masks + wide * mask_size + T * D + layer * (T * T + 2 * T * D)

    # gradient of the block's output: from the loss, or from the block above
    if LAST:
        embedding_grads += seed.to(tl.int64) * embedding_size
        dx2 = loss_backward(
            model, o_items, o_norm, embedding_grads, x + wide * T * D + here,
            targets + sequence * T + first, negatives + sequence * T + first,
            losses + sequence * T + first,
            at(tiles, HAT, LAYERS, sequence, groups, LAYERS + 1, T * D) + here,
            at(tiles, DN, LAYERS, sequence, groups, LAYERS + 1, T * D) + here,
            first, begin, M, D, N, IW, IP,
        )  # fmt: skip
    else:
        above = fp16 + layer_offset(1, D)
        dx2 = by_keys(
            dx, above, tiles, attn, sequence, groups, first, begin, layer + 1,
            T, M, P, D, LAYERS, RATE,
        )  # fmt: skip

    # pointwise layers and second norm
    model += o_blocks + layer_offset(layer, D)
    dx1 = pointwise_backward(
        dx2, model, fp16, tiles, rsd, mask, sequence, groups, first, begin, layer,
        T, M, P, D, N, LAYERS, RATE,
    )  # fmt: skip

    # attention
    dn = attention_back(
        dx1, fp16, buckets, window, tables, seed, tiles, attn, sums, scale, pairs,
        sequence, groups, first, begin, layer,
        T, M, D, R, C, LAYERS, INTERVALS, RATE,
    )  # fmt: skip

    # first norm; what keys and values give to the input, the next launch adds: it needs the queries
    # of all tiles
    hat_at = at(tiles, HAT, layer, sequence, groups, LAYERS + 1, T * D)
    x_hat = read(hat_at + here, first, begin, M)
    rows = first + tl.arange(0, M)
    rstd = tl.load(at(rsd, 0, layer, sequence, groups, LAYERS, T) + rows)
    weight, _ = norm(model, 0, D)
    out = normed_backward(dn, x_hat.to(tl.float32), rstd, weight, N, D)
    write(dx + wide * T * D + here, out, first, begin, M)


@triton.jit
def embedding_backward(
    fp16, offsets, o_blocks, embedding_grads, dx, ids,
    first_real, masks, mask_size, tiles, attn, size, embedding_size, batch, root,
    T: tl.constexpr, M: tl.constexpr, P: tl.constexpr, D: tl.constexpr, INPUTS: tl.constexpr,
    LAYERS: tl.constexpr, INTERVALS: tl.constexpr, RATE: tl.constexpr,
    PDL: tl.constexpr,
):  # fmt: skip
    """Gradient of the looked-up tables; of positions, if added here, into `dx`. Grid (G·T/M,).

    Args:
        fp16: (S, size) float16, weights for products.
        offsets: of each of the INPUTS the first element of its table.
        o_blocks: where blocks begin.
        embedding_grads: (S, embedding_size) int64, gets the tables' gradients, see
            `add_fixed_point`.
        dx: (G, T, D) float32, what `block_backward` left for the first block's input.
        ids: of each of the INPUTS its numbers, (G, T) or (G,) int32; 0 is padding.
        first_real: (G,) int32, first real position.
        masks: (G, mask_size) uint8, dropout of the input comes first.
        tiles: (13, L + 1, G, T, D) float16: DO and Q are read.
        attn: (2, L, G, T, T) float16: A and DS are read.
        size, embedding_size: weights of a seed, and how many of them are looked up.
        batch: sequences of a seed.
        root: √N, by which looked-up vectors were multiplied.
    """
    groups, sequence, first, begin = program_coordinates(first_real, T, M)
    if first + M <= begin:
        return
    pdl_wait(PDL)

    # where the program's part of everything lies
    seed = sequence // batch
    fp16 += seed.to(tl.int64) * size + o_blocks
    embedding_grads += seed.to(tl.int64) * embedding_size
    here = first * D + tile(M, D)

    # gradient of the input, and its dropout
    g = by_keys(dx, fp16, tiles, attn, sequence, groups, first, begin, 0, T, M, P, D, LAYERS, RATE)
    if RATE > 0:
        g = g * keep_mask(masks + sequence.to(tl.int64) * mask_size + here, first, begin, M, RATE)

    # positions: `sums.input_position_grad` adds them up over the batch
    if not INTERVALS:
        write(dx + sequence.to(tl.int64) * T * D + here, g, first, begin, M)

    # tables
    scatter_embedding_grads(
        g * root, embedding_grads, offsets, ids, sequence, first, fp16.dtype.element_ty,
        T, M, D, INPUTS,
    )  # fmt: skip
