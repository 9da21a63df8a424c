"""From gradients of activations to those of weights: sums over the batch in a fixed order.

Each kernel writes partial sums of a part of the batch, (S, splits, P'), where P' leaves out the
tables that are looked up; Adam adds the parts.

Tables that all blocks use, positions and intervals, have sums of each block: those of the later
blocks lie behind all others, `shared` places a block.

Letters: S seeds, B batch, T sequence, D width, W columns of a program, R interval rows, C rows of a
table that a program takes, L blocks (LAYERS); G = S·B sequences.

Arguments that many kernels here have:

    dense (S, splits, dense_size) float32: gets partial sums; o_… is where a tensor begins among all
        weights, of which `dense` leaves out the first `embedding_size`
    keys (S, 2), step_counter (S,), step: counter-based random bits, see `gpu.rng`
    first_real (G,) int32: the first position of a sequence that is no padding
    tiles (13, L + 1, G, T, D), attn (2, L, G, T, T), sums (2, L, G, T, R), all float16: what the
        chain saved, see `multiseed.activations`
    shared: elements of the tables that all blocks use; batch: B, sequences of a seed
    PER_SPLIT: sequences of a part of the batch, a power of two; STAGES: loads in flight
"""

import triton
import triton.language as tl

from fpt_model.engines.gpu import layout
from fpt_model.engines.gpu.rng import (
    KEY_POSITION,
    KEY_TABLE,
    LAYER,
    LAYER_STREAMS,
    bits,
    dropout,
    step_key,
)
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
    VALUES,
    A,
    H,
    Q,
    X,
    at,
)
from fpt_model.engines.multiseed.tiles import (
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


@triton.jit
def first_real_of(first_real, seed, part, batch, PER_SPLIT: tl.constexpr, T: tl.constexpr):
    """Of a part of the batch, each sequence's first position that is no padding, (PER_SPLIT,).

    Args:
        first_real: (G,) int32.
        seed, part: which part of whose batch.
        batch: B; sequences past it have no real position.
    """
    b = part * PER_SPLIT + tl.arange(0, PER_SPLIT)
    return tl.load(first_real + seed * batch + b, mask=b < batch, other=T)


@triton.jit
def real_rows(starts, n, PER_SPLIT: tl.constexpr, T: tl.constexpr):
    """Which rows (T, 1) of a part's n-th sequence are no padding.

    Args:
        starts: (PER_SPLIT,) int32, as `first_real_of` gives; in registers, so that no load of a
            loop's waits for another load.
        n: number of the sequence in the part.
    """
    begin = tl.sum(tl.where(tl.arange(0, PER_SPLIT) == n, starts, 0), 0)
    return (tl.arange(0, T) >= begin)[:, None]


@triton.jit
def weight_grad(
    dense, model, o_blocks, o_norm, first_real, tiles, size, dense_size, embedding_size, batch,
    PER_SPLIT: tl.constexpr, T: tl.constexpr, D: tl.constexpr, W: tl.constexpr,
    LAYERS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of linear layers but keys' and values', and of LayerNorms.

    Grid (S, (3·L + 1)·D/W, splits of the batch). Programs: query, first and second of each block,
    last norm, each for W columns of the gradients that it reads. Query and first read what a norm
    gives, hat · weight + bias, and take its gradients along.

    Args:
        dense: (S, splits, dense_size) float32, gets partial sums.
        model: (S, size) float32, for the weights and biases of norms.
        o_blocks, o_norm: where blocks and the last norm begin.
        first_real: (G,) int32, first real position.
        tiles: (13, L + 1, G, T, D) float16: DQ, DU, DZ times HAT, HAT2, H; DN, DN2 beside them.
        size, dense_size, embedding_size, batch: see the top of the file.
    """
    seed, part = tl.program_id(0), tl.program_id(2)
    number, column = tl.program_id(1) // (D // W), tl.program_id(1) % (D // W) * W

    # what this program's layer is, and what its gradient is a product of
    is_last = number == 3 * LAYERS
    own, which = number // 3, tl.where(is_last, 3, number % 3)  # the last norm is above all blocks
    groups = tl.num_programs(0) * batch
    is_second = which == 2
    grads = tl.where(which == 0, DQ, tl.where(is_second, DZ, DU))
    source = tl.where(which == 1, HAT2, tl.where(is_second, H, HAT))
    norms = tl.where(which == 1, DN2, DN)
    mine = columns(column, T, D, W)
    # What wgmma reads, it alone may read: of other loads Triton 3.6 keeps one place less, and the
    # next one would fill what a product on its way still reads. So ones sum up gradients, and what
    # a # norm makes is read twice.
    ones = tl.full((T, 16), 1.0, tiles.dtype.element_ty)

    # total: of the matrix; biases: of its bias; weights, shifts: of the norm
    total = tl.zeros((W, D), tl.float32)
    biases = tl.zeros((W, 16), tl.float32)
    weights, shifts = tl.zeros((T, W), tl.float32), tl.zeros((T, W), tl.float32)

    starts = first_real_of(first_real, seed, part, batch, PER_SPLIT, T)
    for n in tl.range(PER_SPLIT, num_stages=STAGES):
        g, there = seed * batch + part * PER_SPLIT + n, real_rows(starts, n, PER_SPLIT, T)

        # load: gradients of the outputs, inputs, gradients of what the norm gives; the second layer
        # has no norm, the last norm no layer
        slope_at = at(tiles, grads, own, g, groups, LAYERS + 1, T * D) + mine
        grad = tl.load(slope_at, mask=there & (which < 3), other=0.0)
        read_at = at(tiles, source, own, g, groups, LAYERS + 1, T * D)
        read = tl.load(read_at + tile(T, D), mask=there, other=0.0)
        change_at = at(tiles, norms, own, g, groups, LAYERS + 1, T * D) + mine
        change = tl.load(change_at, mask=there & (which != 2), other=0.0).to(tl.float32)
        hat = tl.load(read_at + mine, mask=there & (which != 2), other=0.0)

        # accumulate
        total += product(tl.trans(grad), read)
        biases += product(tl.trans(grad), ones)
        weights += change * hat.to(tl.float32)
        shifts += change

    # where the results belong
    d, h = tl.arange(0, D), column + tl.arange(0, W)
    out = dense + (seed * tl.num_programs(2) + part).to(tl.int64) * dense_size - embedding_size
    bias = tl.sum(biases, 1) * (1 / 16)
    block = o_blocks + layer_offset(own, D)

    # The input was hat · weight + bias: the sum over hat becomes the one over the input by two more
    # factors. Write the norm's own gradients.
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

    # write the linear layer's
    if which < 3:
        place = block + matrix_offset(tl.where(which == 0, QUERY, FIRST + which - 1), D)
        tl.store(out + place + column * D + tile(W, D), total)
        tl.store(out + place + bias_offset(D) + h, bias)


@triton.jit(do_not_specialize=["step"])
def key_grad(
    dense, o_blocks, o_positions_k, o_positions_v, keys, step_counter, step, first_real, tiles,
    attn,
    dense_size, embedding_size, shared, batch,
    PER_SPLIT: tl.constexpr, T: tl.constexpr, D: tl.constexpr, W: tl.constexpr,
    LAYERS: tl.constexpr, INTERVALS: tl.constexpr, RATE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of the linear layers of keys and values, and of the positions added to them.

    Grid (S, 2·L·D/W, splits of the batch): a program takes W columns of a block's keys or values.
    Gradients of keys are taken again rather than read, so that nothing waits for the launch that
    takes them for the input.

    Args:
        dense: (S, splits, dense_size) float32, gets partial sums.
        o_blocks, o_positions_k, o_positions_v: where blocks and position tables of keys and values
            begin.
        keys, step_counter, step: counter-based random bits, of the tables' dropout.
        first_real: (G,) int32, first real position.
        tiles: (13, L + 1, G, T, D) float16: DO, Q and X are read.
        attn: (2, L, G, T, T) float16: A and DS are read.
        dense_size, embedding_size, shared, batch: see the top of the file.
        INTERVALS: whether positions are added to keys and values.
        RATE: of dropout.
    """
    seed, part = tl.program_id(0), tl.program_id(2)
    number, column = tl.program_id(1) // (D // W), tl.program_id(1) % (D // W) * W
    layer, value = number // 2, number % 2
    mine = columns(column, T, D, W)
    groups = tl.num_programs(0) * batch

    # a value's gradient is weightsᵀ · do, a key's dsᵀ · q
    pairs, vectors = tl.where(value == 1, A, DS), tl.where(value == 1, DO, Q)
    least = tl.where(value == 1, 0.0, float("-inf"))  # weights are signed: see `attend`
    scale = tl.where(value == 1, 1 / (1 - RATE), 1.0)

    # total: of the matrix; gradients: of each position's vector, whose sum is the bias's
    total = tl.zeros((W, D), tl.float32)
    grads = tl.zeros((T, W), tl.float32)

    starts = first_real_of(first_real, seed, part, batch, PER_SPLIT, T)
    for n in tl.range(PER_SPLIT, num_stages=STAGES):
        g, real = seed * batch + part * PER_SPLIT + n, real_rows(starts, n, PER_SPLIT, T)

        # load
        square_at = at(attn, pairs, layer, g, groups, LAYERS, T * T) + tile(T, T)
        square = tl.load(square_at, mask=real, other=0.0)
        vector_at = at(tiles, vectors, layer, g, groups, LAYERS + 1, T * D) + mine
        vector = tl.load(vector_at, mask=real, other=0.0)
        read_at = at(tiles, X, layer, g, groups, LAYERS + 1, T * D) + tile(T, D)
        read = tl.load(read_at, mask=real, other=0.0)

        # gradient of the keys or values, rounded as `back.by_keys` rounds it
        square = tl.maximum(square, least.to(square.dtype))
        grad = (product(tl.trans(square), vector) * scale).to(vector.dtype)

        # accumulate
        total += product(tl.trans(grad), read)
        grads += grad.to(tl.float32)

    # write the linear layer's
    out = dense + (seed * tl.num_programs(2) + part).to(tl.int64) * dense_size - embedding_size
    place = o_blocks + layer_offset(layer, D) + matrix_offset(KEY + value, D)
    tl.store(out + place + column * D + tile(W, D), total)
    tl.store(out + place + bias_offset(D) + column + tl.arange(0, W), tl.sum(grads, 0))

    # write the positions', by the dropout that this block saw them with
    if INTERVALS:
        if RATE > 0:
            first, second = step_key(keys, step_counter, seed, step)
            stream = LAYER + LAYER_STREAMS * layer + value + KEY_POSITION
            grads = dropout(grads, bits(first, second, stream, mine), RATE)
        tl.store(
            out + layer * shared + tl.where(value == 1, o_positions_v, o_positions_k) + mine, grads
        )


@triton.jit(do_not_specialize=["step"])
def interval_grad(
    dense, o_intervals_k, o_intervals_v, keys, step_counter, step, first_real, sums, tiles,
    dense_size, embedding_size, shared, batch,
    PER_SPLIT: tl.constexpr, T: tl.constexpr, D: tl.constexpr, R: tl.constexpr,
    C: tl.constexpr, LAYERS: tl.constexpr, RATE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of the interval tables. Grid (S, 2·L·chunks of C rows, splits of the batch).

    Args:
        dense: (S, splits, dense_size) float32, gets partial sums.
        o_intervals_k, o_intervals_v: where the tables of keys and values begin.
        keys, step_counter, step: counter-based random bits, of the tables' dropout.
        first_real: (G,) int32, first real position.
        sums: (2, L, G, T, R) float16: of weights and of gradients of scores, by interval row.
        tiles: (13, L + 1, G, T, D) float16: DO and Q are read.
        dense_size, embedding_size, shared, batch: see the top of the file.
        R, C: interval rows, and how many of them a program takes.
        RATE: of dropout.
    """
    seed, number, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    layer, value, chunk = number // 2 % LAYERS, number % 2, number // (2 * LAYERS)
    groups = tl.num_programs(0) * batch

    t, r = tl.arange(0, T)[:, None], chunk * C + tl.arange(0, C)

    # the values' table meets sums of weights and do, the keys' sums of ds and q
    kind = tl.where(value == 1, VALUES, KEYS)
    vectors = tl.where(value == 1, DO, Q)
    on_table = r[:, None] * D + tl.arange(0, D)[None, :]

    # accumulate sumsᵀ · vectors over the part's sequences
    total = tl.zeros((C, D), tl.float32)
    starts = first_real_of(first_real, seed, part, batch, PER_SPLIT, T)
    for n in tl.range(PER_SPLIT, num_stages=STAGES):
        g, real = seed * batch + part * PER_SPLIT + n, real_rows(starts, n, PER_SPLIT, T)
        by_row = at(sums, kind, layer, g, groups, LAYERS, T * R) + t * R + r[None, :]
        vector = at(tiles, vectors, layer, g, groups, LAYERS + 1, T * D) + tile(T, D)
        total += product(
            tl.trans(tl.load(by_row, mask=real & (r < R)[None, :], other=0.0)),
            tl.load(vector, mask=real, other=0.0),
        )

    # by the dropout that this block saw the table with; write
    if RATE > 0:
        first, second = step_key(keys, step_counter, seed, step)
        stream = LAYER + LAYER_STREAMS * layer + value + KEY_TABLE
        total = dropout(total, bits(first, second, stream, on_table), RATE)
    place = tl.where(value == 1, o_intervals_v, o_intervals_k) - embedding_size + layer * shared
    out = dense + (seed * tl.num_programs(2) + part).to(tl.int64) * dense_size + place + on_table
    tl.store(out, total, mask=(r < R)[:, None])


@triton.jit
def input_position_grad(
    dense, o_positions, first_real, dx, dense_size, embedding_size, batch,
    PER_SPLIT: tl.constexpr, T: tl.constexpr, D: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Gradient of positions that are added to the input. Grid (S, chunks of C places, splits).

    Args:
        dense: (S, splits, dense_size) float32, gets partial sums.
        o_positions: where positions begin.
        first_real: (G,) int32, first real position.
        dx: (G, T, D) float32, gradient of the input before its dropout.
        dense_size, embedding_size, batch: see the top of the file.
        C: positions of a program.
    """
    seed, chunk, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    rows, on_table = chunk * C + tl.arange(0, C), chunk * C * D + tile(C, D)

    # accumulate over the part's sequences, in their order
    total = tl.zeros((C, D), tl.float32)
    for n in tl.static_range(PER_SPLIT):
        b = part * PER_SPLIT + n
        begin = tl.load(first_real + seed * batch + b, mask=b < batch, other=T)
        own = (seed * batch + b).to(tl.int64) * T * D
        total += tl.load(dx + own + on_table, mask=(rows >= begin)[:, None], other=0.0)

    # write
    out = (
        dense
        + (seed * tl.num_programs(2) + part).to(tl.int64) * dense_size
        + o_positions
        - embedding_size
    )
    tl.store(out + on_table, total)
