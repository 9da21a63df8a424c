"""Kernels at both ends of the blocks: interactions to vectors, and gradients back to tables.

A step's windows lie one after the other without padding: interaction i of the step's sequence b is
token first[b] + i. What a step needs of its sequences is `meta`, (4, B + 1) int32: first token,
first interaction in the data, user, and time scale; column B holds the number of tokens n. Tokens n
to N are there to keep shapes fixed: their gradients are zero.

Letters: B sequences, N tokens, T sequence, D width, K columns, R interval rows, L blocks; BM tokens
of a tile.

Arguments that many kernels here have:

    meta (4, B + 1) int32: see above
    key (3,) int64: two words of the step's random bits, and the number of the step from 1
    flat (P,) float32: all weights; o_… is where a tensor begins
    embedding_grads (P',) int64: gradients of the weights that come first, in units of 1 /
        `FIXED_ONE`
    INPUTS: of each input the numbers of gpu/features.py
    POSITIONS: whether position vectors are part of the input; RATE: of dropout
"""

import triton
import triton.language as tl

from fpt_model.engines.gpu.features import (
    AT,
    COUNT,
    PADDED,
    PER,
    PER_ITEM,
    ROWS,
    SLOTS,
    STRIDE,
    TOKEN,
    WIDTH,
    summed_rows,
)
from fpt_model.engines.gpu.rng import (
    EMBEDDING,
    ITEM,
    ITEM_ID,
    LAYER,
    LAYER_STREAMS,
    USER_ID,
    below,
    bits,
    dropout,
    fast_bits,
    keep_mask,
    step_key,
)
from fpt_model.engines.gpu.rng import USER as USER_STREAM

FIRST: tl.constexpr = tl.constexpr(0)
BEGIN: tl.constexpr = tl.constexpr(1)
USER: tl.constexpr = tl.constexpr(2)
SCALE: tl.constexpr = tl.constexpr(3)
# one, where reals are added as fixed-point numbers
FIXED_ONE: tl.constexpr = tl.constexpr(4294967296.0)
FEW: tl.constexpr = tl.constexpr(16)  # rows of a table


@triton.jit
def begin_step(plan, meta, keys, step_counter, key, PLAN: tl.constexpr, P: tl.constexpr):
    """Take the step's row of the epoch's plan, draw its key, advance the clock. Grid (1,).

    Args:
        plan: (steps, PLAN) int32, `meta` of every step.
        meta: (PLAN,) int32, gets this step's.
        keys: (1, 2) int64, of everything random.
        step_counter: (2,) int64, steps before: of all epochs, and of this one.
        key: (3,) int64, gets two words for `gpu.rng`, and the number of the step from 1.
        P: PLAN as a power of two.
    """
    # copy the step's row: later launches find it where every graph looks
    total, step = tl.load(step_counter), tl.load(step_counter + 1)
    at = tl.arange(0, P)
    values = tl.load(plan + step * PLAN + at, mask=at < PLAN, other=0)
    tl.store(meta + at, values, mask=at < PLAN)

    # the step's key
    first, second = step_key(keys, step_counter, 0, 0)
    tl.store(key, first.to(tl.int64))
    tl.store(key + 1, second.to(tl.int64))
    tl.store(key + 2, total + 1)

    # advance, once every thread has read the clock
    tl.debug_barrier()
    tl.store(step_counter, total + 1)
    tl.store(step_counter + 1, step + 1)


@triton.jit
def words(key):
    """The two words of the step's key."""
    return tl.load(key).to(tl.uint32), tl.load(key + 1).to(tl.uint32)


@triton.jit
def span_of(meta, b):
    """Sequence b's first token, and how many it has."""
    first = tl.load(meta + b)
    return first, tl.load(meta + b + 1) - first


@triton.jit
def _sse(ids, key1, key2, stream, id_stream, place, n, RATE: tl.constexpr):
    """Stochastic shared embeddings: some ids become others.

    Args:
        ids: int32, 0 is padding and stays.
        key1, key2: words of the step's key.
        stream, id_stream: of random bits, whether and by what.
        place: int32 like `ids`, counts the bits.
        n: ids are 1 to n.
        RATE: of being replaced.
    """
    if RATE > 0:
        stays = keep_mask(fast_bits(key1, key2, stream, place), RATE)
        other = 1 + below(bits(key1, key2, id_stream, place), n)
        ids = tl.where(stays | (ids == 0), ids, other)
    return ids


@triton.jit
def _embed(
    x, flat, table, ids, of_items, positions, t, here, key1, key2, root, place,
    INPUT: tl.constexpr, K: tl.constexpr, POSITIONS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """One input's columns of a tile.

    Args:
        x: (N, K) float16, gets them.
        flat: (P,) float32; table, places: where the table and the positions begin.
        ids: (BM,) int32, rows of the table; or items, whose rows `of_items` (I + 1, COUNT) has.
        t, here: (BM,) tokens, and which are there.
        place: (BM,) int32, rows of the positions.
        root: √D, by which looked-up vectors are multiplied.
    """
    w = tl.arange(0, INPUT[PADDED])
    mask = here[:, None] & (w < INPUT[WIDTH])[None, :]

    # look up, scale
    if INPUT[PER] == PER_ITEM:
        values = summed_rows(flat + table, of_items, ids, w[None, :], mask, INPUT) * root
    else:
        own = flat + table + ids[:, None] * INPUT[STRIDE] + w[None, :]
        values = tl.load(own, mask=mask, other=0.0) * root

    # positions, dropout
    if POSITIONS:
        own = positions + place[:, None] * K + INPUT[AT] + w[None, :]
        values += tl.load(flat + own, mask=mask, other=0.0)
    at = t[:, None] * K + INPUT[AT] + w[None, :]
    if RATE > 0:
        values = dropout(values, fast_bits(key1, key2, EMBEDDING, at), RATE)
    tl.store(x + at, values.to(x.dtype.element_ty), mask=mask)


@triton.jit
def pack_tokens(
    meta, key, flat, offsets, o_positions, all_numbers, all_times, all_query_times, all_targets,
    numbers, times, query_times, targets, sequence, x, root, n_items, n_users,
    B: tl.constexpr, T: tl.constexpr, BM: tl.constexpr, K: tl.constexpr,
    INPUTS: tl.constexpr, POSITIONS: tl.constexpr, TRAIN: tl.constexpr,
    RATE: tl.constexpr, ITEM_RATE: tl.constexpr, USER_RATE: tl.constexpr,
):  # fmt: skip
    """Numbers, targets and inputs of a tile of a sequence's tokens. Grid (B, tiles of T).

    Args:
        meta: (4, B + 1) int32.
        key: (3,) int64.
        flat: (P,) float32; offsets, o_positions: where the inputs' tables and the positions begin.
        all_numbers: of each input (interactions,) int32, the data, or (I + 1, COUNT) of items;
            items are the first.
        all_times, all_query_times: (interactions,) int32, the data.
        all_targets: (interactions,) int32, the item to be learnt after each.
        numbers: of each input (N,) int32, get those of tokens.
        times, query_times: (N,) int32, get those of tokens.
        targets: (N,) int32, gets the items to be learnt, if TRAIN.
        sequence: (N,) int32, gets the number of each token's sequence, if TRAIN.
        x: (N, K) float16, gets the inputs.
        root: √D, by which looked-up vectors are multiplied.
        n_items, n_users: ids are 1 to these.
        RATE, ITEM_RATE, USER_RATE: of dropout, and of items and users that become others.
    """
    # which tokens: programs past the sequence's end have none
    b, tile = tl.program_id(0), tl.program_id(1)
    first, length = span_of(meta, b)
    i = tile * BM + tl.arange(0, BM)
    if tile * BM >= length:
        return
    here = i < length
    t = first + i
    key1, key2 = words(key)

    # items, some of them replaced; what came next is not
    source = tl.load(meta + BEGIN * (B + 1) + b) + i
    user = tl.load(meta + USER * (B + 1) + b)
    items = tl.load(all_numbers[0] + source, mask=here, other=0)
    items = _sse(items, key1, key2, ITEM, ITEM_ID, t, n_items, ITEM_RATE)
    tl.store(numbers[0] + t, items, mask=here)
    place = T - length + i
    if TRAIN:
        tl.store(targets + t, tl.load(all_targets + source, mask=here, other=0), mask=here)
        tl.store(sequence + t, tl.zeros((BM,), tl.int32) + b, mask=here)

    # times, for attention
    tl.store(times + t, tl.load(all_times + source, mask=here, other=0), mask=here)
    tl.store(query_times + t, tl.load(all_query_times + source, mask=here, other=0), mask=here)

    # inputs: a part of the columns from each table
    _embed(
        x, flat, offsets[0], items, items, o_positions, t, here, key1, key2, root, place,
        tl.constexpr(INPUTS[0]), K, POSITIONS, RATE,
    )  # fmt: skip
    for n in tl.static_range(1, len(INPUTS)):
        if INPUTS[n][PER] == TOKEN:
            ids = tl.load(all_numbers[n] + source, mask=here, other=0)
        elif INPUTS[n][PER] == PER_ITEM:
            ids = items
        else:
            # A user is replaced for a whole window: the draw counts by sequence.
            one = tl.zeros((BM,), tl.int32)
            ids = _sse(one + user, key1, key2, USER_STREAM, USER_ID, one + b, n_users, USER_RATE)
        if INPUTS[n][PER] != PER_ITEM:
            tl.store(numbers[n] + t, ids, mask=here)
        _embed(
            x, flat, offsets[n], ids, all_numbers[n], o_positions, t, here, key1, key2, root, place,
            tl.constexpr(INPUTS[n]), K, POSITIONS, RATE,
        )  # fmt: skip


@triton.jit
def add_fixed_point(to, place, values, mask):
    """Scatter, `FIXED_ONE` to one: floating-point sums depend on their order, whole ones do not.

    Args:
        to: (P',) int64.
        place: int32, elements of it.
        values: reals of the same shape.
        mask: which are added.
    """
    tl.atomic_add(to + place, (values * FIXED_ONE).to(tl.int64), mask=mask, sem="relaxed")


@triton.jit
def _input_grad(
    dx, t, here, key1, key2, root, INPUT: tl.constexpr,
    K: tl.constexpr, POSITIONS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Gradients of one input's columns of a tile, before their dropout.

    Args:
        dx: (N, K) float16, gradients of the inputs; with POSITIONS it gets these.
        t, here: (BM,) tokens, and which are there.
        root: √D, by which looked-up vectors were multiplied.
    """
    w = tl.arange(0, INPUT[PADDED])
    mask = here[:, None] & (w < INPUT[WIDTH])[None, :]
    at = t[:, None] * K + INPUT[AT] + w[None, :]

    grad = tl.load(dx + at, mask=mask, other=0.0).to(tl.float32)
    if RATE > 0:
        grad = dropout(grad, fast_bits(key1, key2, EMBEDDING, at), RATE)

    # `position_grad` sums these up
    if POSITIONS:
        tl.store(dx + at, grad.to(dx.dtype.element_ty), mask=mask)
    return grad * root


@triton.jit
def embedding_backward(
    meta, key, embedding_grads, offsets, numbers, all_numbers, dx, root,
    BM: tl.constexpr, K: tl.constexpr, INPUTS: tl.constexpr,
    POSITIONS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Gradients of a tile of a sequence's inputs to those of the tables that were looked up.

    Where positions are part of the input, `dx` becomes the gradient before the dropout. Grid (B,
    tiles of T).

    Args:
        meta: (4, B + 1) int32.
        key: (3,) int64.
        embedding_grads: (P',) int64, gets the gradients; offsets: where the inputs' tables begin.
        numbers: of each input (N,) int32, of tokens, as `pack_tokens` left them.
        all_numbers: see `pack_tokens`.
        dx: (N, K) float16, gradients of the inputs.
        root: √D, by which looked-up vectors were multiplied.
    """
    # which tokens
    b, tile = tl.program_id(0), tl.program_id(1)
    first, length = span_of(meta, b)
    if tile * BM >= length:
        return
    i = tile * BM + tl.arange(0, BM)
    here = i < length
    t = first + i
    key1, key2 = words(key)

    # items: mostly different ones
    items = tl.load(numbers[0] + t, mask=here, other=0)
    of_items = _input_grad(
        dx, t, here, key1, key2, root, tl.constexpr(INPUTS[0]), K, POSITIONS, RATE
    )
    w = tl.arange(0, INPUTS[0][PADDED])
    mask = here[:, None] & (w < INPUTS[0][WIDTH])[None, :]
    place = offsets[0] + items[:, None] * INPUTS[0][STRIDE] + w[None, :]
    add_fixed_point(embedding_grads, place, of_items, mask)

    for n in tl.static_range(1, len(INPUTS)):
        own = _input_grad(
            dx, t, here, key1, key2, root, tl.constexpr(INPUTS[n]), K, POSITIONS, RATE
        )
        if INPUTS[n][PER] == TOKEN:
            ids = tl.load(numbers[n] + t, mask=here, other=0)
            _by_number(embedding_grads, offsets[n], ids, own, here, tl.constexpr(INPUTS[n]))
        elif INPUTS[n][PER] == PER_ITEM:
            _by_item(
                embedding_grads, offsets[n], items, all_numbers[n], own, tl.constexpr(INPUTS[n])
            )
        else:
            # one for the whole tile
            w = tl.arange(0, INPUTS[n][PADDED])
            place = offsets[n] + tl.load(numbers[n] + first) * INPUTS[n][STRIDE] + w
            add_fixed_point(embedding_grads, place, tl.sum(own, 0), w < INPUTS[n][WIDTH])


@triton.jit
def _by_number(embedding_grads, offset, ids, own, here, INPUT: tl.constexpr):
    """Add gradients to rows that tokens share: many additions to one place wait for each other.

    Args:
        embedding_grads: (P',) int64, gets them; offset: where the input's table begins.
        ids, here: (BM,) rows of the table, and which are there.
        own: (BM, PADDED), gradients of the input's columns.
    """
    w = tl.arange(0, INPUT[PADDED])
    if INPUT[ROWS] > 0 and INPUT[ROWS] <= FEW:
        for one in tl.static_range(1, INPUT[ROWS] + 1):
            theirs = tl.sum(tl.where((ids == one)[:, None], own, 0.0), 0)
            add_fixed_point(
                embedding_grads, offset + one * INPUT[STRIDE] + w, theirs, w < INPUT[WIDTH]
            )
    else:
        # tokens of a tile mostly share one, as with weeks
        one = tl.max(ids, 0)
        if tl.min(tl.where(here, ids, one), 0) == one:
            place = offset + one * INPUT[STRIDE] + w
            add_fixed_point(embedding_grads, place, tl.sum(own, 0), w < INPUT[WIDTH])
        else:
            some = here[:, None] & (w < INPUT[WIDTH])[None, :]
            add_fixed_point(
                embedding_grads, offset + ids[:, None] * INPUT[STRIDE] + w[None, :], own, some
            )


@triton.jit
def _by_item(embedding_grads, offset, items, of_items, own, INPUT: tl.constexpr):
    """Add gradients to rows of items' numbers: of each row, those of the tokens whose item has it.

    Args:
        embedding_grads: (P',) int64, gets them; offset: where the input's table begins.
        items: (BM,) int32.
        of_items: (I + 1, COUNT) int32, of each item its numbers, 0 for none.
        own: (BM, PADDED), gradients of the input's columns, 0 where there is no token.
    """
    w, slot = tl.arange(0, INPUT[PADDED]), tl.arange(0, INPUT[SLOTS])[None, :]
    at = of_items + items[:, None] * INPUT[COUNT] + slot
    numbers = tl.load(at, mask=slot < INPUT[COUNT], other=0)  # (BM, SLOTS)
    for row in range(1, INPUT[ROWS] + 1):
        has = tl.sum((numbers == row).to(tl.float32), 1)
        theirs = tl.sum(own * has[:, None], 0)
        add_fixed_point(embedding_grads, offset + row * INPUT[STRIDE] + w, theirs, w < INPUT[WIDTH])


@triton.jit
def bucket_counts(
    meta, query_times, times, edges, counts,
    B: tl.constexpr, SPAN: tl.constexpr, EDGES: tl.constexpr, C: tl.constexpr,
    BM: tl.constexpr, BR: tl.constexpr, SEARCH: tl.constexpr,
):  # fmt: skip
    """How many tokens a query sees of each interval row or above. Grid (B, tiles of T).

    Times ascend, so rows descend along the keys of a query, and these tokens come first.

    Args:
        meta: (4, B + 1) int32.
        query_times, times: (N,) int32, a query's time, and when an interaction happened.
        edges: (EDGES,) int32, units of time at which rows past SPAN begin.
        counts: (N, C) int16, gets for token t and row r: tokens up to t, from the sequence's first.
        SPAN, EDGES: rows 0 to SPAN are single units, EDGES more follow.
        BR: rows at a time.
        SEARCH: bits of the longest sequence's length.
    """
    # which tokens
    b, tile = tl.program_id(0), tl.program_id(1)
    first, length = span_of(meta, b)
    if tile * BM >= length:
        return
    i = tile * BM + tl.arange(0, BM)
    here = i < length

    # the queries' moments
    time = tl.load(query_times + first + i, mask=here, other=0).to(tl.int64)
    scale = tl.load(meta + SCALE * (B + 1) + b).to(tl.int64)
    for start in tl.range(0, C, BR):
        # the latest time that a token of row r or above may have
        r = start + tl.arange(0, BR)
        beyond = (r > SPAN) & (r <= SPAN + EDGES)
        edge = tl.load(edges + r - SPAN - 1, mask=beyond, other=0).to(tl.int64)
        least = tl.where(r <= SPAN, r.to(tl.int64), edge)  # the row's shortest interval
        latest = tl.maximum(time[:, None] - (least * scale)[None, :], -1).to(tl.int32)
        latest = tl.where((r <= SPAN + EDGES)[None, :], latest, -1)

        # Binary search in the times, from the highest bit on: all pairs at once, no branch.
        count = tl.zeros((BM, BR), tl.int32)
        for bit in tl.static_range(SEARCH):
            more = count + (1 << (SEARCH - 1 - bit))
            known = more <= (i + 1)[:, None]
            there = tl.load(times + first + more - 1, mask=known & here[:, None], other=0)
            count = tl.where(known & (there <= latest), more, count)

        # write
        at = (first + i)[:, None] * C + r[None, :]
        tl.store(counts + at, count.to(tl.int16), mask=here[:, None] & (r < C)[None, :])


@triton.jit
def drop_tables(
    flat, key, tables, positions, o_table, o_table_2, o_positions, o_positions_2,
    R: tl.constexpr, T: tl.constexpr, D: tl.constexpr, K: tl.constexpr, KH: tl.constexpr,
    W: tl.constexpr, STRIDE: tl.constexpr, GAPS: tl.constexpr,
    BLOCK: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Interval and position vectors as each block sees them. Grid (blocks of elements, 2, L).

    Args:
        flat: (P,) float32.
        key: (3,) int64.
        tables: (L, 2, R, KH) float16, gets interval vectors of keys and values.
        positions: (L, 2, T, KH) float16, gets position vectors.
        o_table, o_table_2, o_positions, o_positions_2: where those of keys and values begin.
        D, K, KH, W, STRIDE, GAPS: see norms.py.
        BLOCK: elements of a program.
    """
    # which elements, of keys' or values' table, as which block sees them
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    kind, layer = tl.program_id(1), tl.program_id(2)
    key1, key2 = words(key)
    stream = LAYER + LAYER_STREAMS * layer + kind
    own = 2 * layer + kind

    # where they go: columns by head
    place, real = at, at >= 0
    if GAPS:
        column = at % K
        place = at // K * KH + column + column // W * (STRIDE - W)
        real = column < D

    # intervals
    mask = (at < R * K) & real
    vectors = tl.load(flat + tl.where(kind == 0, o_table, o_table_2) + at, mask=mask, other=0.0)
    if RATE > 0:
        vectors = dropout(vectors, fast_bits(key1, key2, stream, at), RATE)
    tl.store(tables + own * R * KH + place, vectors.to(tables.dtype.element_ty), mask=mask)

    # positions
    mask = (at < T * K) & real
    vectors = tl.load(
        flat + tl.where(kind == 0, o_positions, o_positions_2) + at, mask=mask, other=0.0
    )
    if RATE > 0:
        vectors = dropout(vectors, fast_bits(key1, key2, stream + 2, at), RATE)
    tl.store(positions + own * T * KH + place, vectors.to(positions.dtype.element_ty), mask=mask)


@triton.jit
def table_grad(
    grads, key, raw, o_table, o_table_2, factor, splits, size,
    TABLE: tl.constexpr, LAYERS: tl.constexpr,
    BLOCK: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Gradients of the interval tables, from those of what each block saw. Grid (blocks, 2).

    Args:
        grads: (P,) float32, gets them.
        key: (3,) int64.
        raw: (splits, L, 2, R · K) float32, partial sums, `size` elements from one to the next.
        o_table, o_table_2: where the tables of keys and values begin.
        factor: of the keys' table, by which gradients of scores are true.
        TABLE: R · K.
        LAYERS: L.
        BLOCK: elements of a program.
    """
    # which elements of which table
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    kind = tl.program_id(1)
    key1, key2 = words(key)
    mask = at < TABLE

    # add up parts, then blocks, each by the dropout that it saw the table with
    total = tl.zeros((BLOCK,), tl.float32)
    for layer in tl.static_range(LAYERS):
        own = raw + (2 * layer + kind) * TABLE + at
        grad = tl.zeros((BLOCK,), tl.float32)
        for split in range(splits):
            grad += tl.load(own + split * size, mask=mask, other=0.0)
        if RATE > 0:
            grad = dropout(
                grad, fast_bits(key1, key2, LAYER + LAYER_STREAMS * layer + kind, at), RATE
            )
        total += grad

    # write
    total *= tl.where(kind == 0, factor, 1.0)
    tl.store(grads + tl.where(kind == 0, o_table, o_table_2) + at, total, mask=mask)


@triton.jit
def position_grad(
    meta, grads, key, d_input, o_positions, o_positions_2, N,
    B: tl.constexpr, T: tl.constexpr, D: tl.constexpr, K: tl.constexpr, KH: tl.constexpr,
    W: tl.constexpr, STRIDE: tl.constexpr, GAPS: tl.constexpr, KINDS: tl.constexpr,
    LAYERS: tl.constexpr,
    BB: tl.constexpr, BW: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Gradients of a position's vector: sums over sequences. Grid (T, KINDS, chunks of BW columns).

    Args:
        meta: (4, B + 1) int32.
        grads: (P,) float32, gets them.
        key: (3,) int64.
        d_input: (L, N, KINDS · KH) float16, of keys and values, or (N, K), of the inputs.
        o_positions, o_positions_2: where the tables begin.
        N: stride between blocks, in tokens.
        KINDS: 2 tables, of keys and values, or 1.
        LAYERS: L, or 1 where positions are part of the input.
        D, K, KH, W, STRIDE, GAPS: see norms.py; without GAPS, KH is K.
        BB, BW: sequences at a time, and columns.
    """
    # which position's vector, of which table, and which of its columns
    place, kind = tl.program_id(0), tl.program_id(1)
    w = tl.program_id(2) * BW + tl.arange(0, BW)
    key1, key2 = words(key)

    # the table's columns; there are none for what is between heads
    column, real = w, w < D
    if GAPS:
        column, real = w // STRIDE * W + w % STRIDE, (w % STRIDE < W) & (w < KH)

    # add up sequences in a fixed order, then blocks
    total = tl.zeros((BW,), tl.float32)
    for layer in tl.static_range(LAYERS):
        partial = tl.zeros((BB, BW), tl.float32)
        for start in range(0, B, BB):
            b = start + tl.arange(0, BB)
            first = tl.load(meta + b, mask=b < B, other=0)
            end = tl.load(meta + b + 1, mask=b < B, other=0)

            # Windows end at the last position: short ones do not reach the first.
            t = end - (T - place)
            mask = ((b < B) & (t >= first))[:, None] & (w < KH)[None, :]
            at = (layer * N + t)[:, None] * (KINDS * KH) + kind * KH + w[None, :]
            partial += tl.load(d_input + at, mask=mask, other=0.0).to(tl.float32)
        own = tl.sum(partial, 0)
        if RATE > 0:
            stream = LAYER + LAYER_STREAMS * layer + kind + 2
            own = dropout(own, fast_bits(key1, key2, stream, place * K + column), RATE)
        total += own

    # write
    to = grads + tl.where(kind == 0, o_positions, o_positions_2)
    tl.store(to + place * K + column, total, mask=real)
