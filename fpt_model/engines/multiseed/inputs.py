"""What a step begins with, and the gradient of what it looks up: windows, negatives, dropout.

Letters: S seeds, B batch, T sequence, M positions of a program, D width, R interval rows, L blocks
(LAYERS); G = S·B sequences.

Arguments that many functions here have:

    keys (S, 2), step_counter (S,), step: counter-based random bits, see `gpu.rng`
    INPUTS: see `gpu.features`; offsets: where the table of each begins among a seed's weights; ids:
        the numbers of each, (G, T) or (G,) int32
"""

import triton
import triton.language as tl

from fpt_model.engines.gpu.features import (
    AT,
    COUNT,
    PER,
    PER_ITEM,
    ROWS,
    SEQUENCE,
    STRIDE,
    TOKEN,
    WIDTH,
    summed_rows,
)
from fpt_model.engines.gpu.negatives import draw_negatives
from fpt_model.engines.gpu.rng import (
    DROPOUT,
    ITEM,
    ITEM_ID,
    KEY_POSITION,
    KEY_TABLE,
    LAYER,
    LAYER_STREAMS,
    NEGATIVE,
    USER,
    USER_ID,
    below,
    bits,
    dropout,
    keep_mask,
    step_key,
)
from fpt_model.engines.multiseed.tiles import add_fixed_point, product

ROWS_AT_ONCE = tl.constexpr(32)  # of a table that items share


@triton.jit
def count_targets(real, windows, order, n_order, out, batch, B: tl.constexpr):
    """How many positions have a target, by step. Grid (S, steps).

    Args:
        real: (windows,) int32, positions of a window that are no padding.
        windows: of a seed, or 0 where all share them.
        order: (S, n_order) int32, the users of an epoch.
        out: (S, steps) int32, gets the counts.
        batch: sequences of a step; B: the same as a power of two.
    """
    seed, step = tl.program_id(0), tl.program_id(1)

    # the users of the step
    b = tl.arange(0, B)
    place = step * batch + b
    there = (b < batch) & (place < n_order)

    # their windows: every real position has a target
    row = tl.load(order + seed * n_order + place, mask=there, other=0)
    counts = tl.load(real + seed * windows + row, mask=there, other=0)
    tl.store(out + seed * tl.num_programs(1) + step, tl.sum(counts, 0))


@triton.jit(do_not_specialize=["step"])
def draw(
    keys, step_counter, step, masks, batch, pairs,
    PAIRS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """What dropout keeps, two elements by 32 bits. Grid (G, pairs / PAIRS).

    Args:
        keys, step_counter, step: counter-based random bits.
        masks: (G, 2·pairs) uint8, gets 1 where an element is kept, else 0.
        batch: sequences of a seed.
        pairs: of elements of a sequence.
        PAIRS: of a program.
        RATE: of dropout.
    """
    program = tl.program_id(0)
    seed, b = program // batch, program % batch
    first, second = step_key(keys, step_counter, seed, step)

    # Half of 32 bits decides on an element. The two elements lie `pairs` apart, so that each store
    # is of neighbours.
    place = tl.program_id(1) * PAIRS + tl.arange(0, PAIRS)
    drawn = bits(first, second, DROPOUT, b * pairs + place)
    low = keep_mask(drawn << 16, RATE).to(tl.uint8)
    high = keep_mask(drawn & 0xFFFF0000, RATE).to(tl.uint8)

    # write
    masks += program.to(tl.int64) * 2 * pairs
    tl.store(masks + place, low, mask=place < pairs)
    tl.store(masks + pairs + place, high, mask=place < pairs)


@triton.jit(do_not_specialize=["step"])
def choose(
    keys, step_counter, step, w_tokens, w_targets, w_users, real, windows, order, n_order,
    gaps, firsts, counts, n_items, n_users,
    tokens_out, targets_out, negatives_out, users_out, window_index_out, first_real_out,
    batch, length,
    T: tl.constexpr, SEARCH: tl.constexpr, TRAIN: tl.constexpr,
    ITEM_RATE: tl.constexpr, USER_RATE: tl.constexpr,
):  # fmt: skip
    """Windows of a step, some of their ids replaced, and items that users have not seen. Grid (G,).

    A window lies at the end of T places.

    Args:
        keys, step_counter, step: counter-based random bits.
        w_tokens: of each input that has a number of each token (windows, length) int32; items are
            the
            first.
        w_targets: (windows, length) int32.
        w_users: (windows,) int32.
        real: (windows,) int32, positions of a window that are no padding.
        windows: how many lie between those of one seed and the next; 0 where they share them.
        order: (S, n_order) int32, the users of an epoch.
        gaps, firsts, counts: see `gpu.negatives.NegativeIndex`.
        n_items, n_users: ids are 1 to these.
        tokens_out: of each input that has a number of each token (G, T) int32, gets them.
        targets_out, negatives_out: (G, T) int32, get items, if TRAIN.
        users_out, window_index_out: (G,) int32, get users and the numbers of windows.
        first_real_out: (G,) int32, gets the first position that is real, T past the last user.
        batch, length: sequences of a seed, positions of a window.
        SEARCH: steps of a search in `gaps`.
        ITEM_RATE, USER_RATE: of items and users that become others.
    """
    program = tl.program_id(0)
    seed, b = program // batch, program % batch
    key, key2 = step_key(keys, step_counter, seed, step)

    # which window; past the epoch's last user there is none
    place = step * batch + b
    there = place < n_order
    user_row = tl.load(order + seed * n_order + place, mask=there, other=0)
    window = seed * windows + user_row
    begin = T - tl.load(real + window, mask=there, other=0)
    user = tl.load(w_users + window)

    # load items; places of random bits are those of a seed alone, whatever seeds lie beside it
    t = tl.arange(0, T)
    own, to = b * T + t, program * T + t
    from_window = window.to(tl.int64) * length + t - (T - length)
    inside = t >= begin
    items = tl.load(w_tokens[0] + from_window, mask=inside, other=0)

    # targets, and negatives of the window's own user
    if TRAIN:
        tl.store(targets_out + to, tl.load(w_targets + from_window, mask=inside, other=0))
        drawn = bits(key, key2, NEGATIVE, own)
        first, count = tl.load(firsts + user - 1), tl.load(counts + user - 1)
        negatives = draw_negatives(drawn, gaps, first, count, n_items, SEARCH)
        tl.store(negatives_out + to, negatives)

    # stochastic shared embeddings: some ids become others
    if ITEM_RATE > 0:
        other = 1 + below(bits(key, key2, ITEM_ID, own), n_items)
        stays = keep_mask(bits(key, key2, ITEM, own), ITEM_RATE)
        items = tl.where(stays | (items == 0), items, other)
    if USER_RATE > 0:
        other_user = 1 + below(bits(key, key2, USER_ID, b), n_users)
        user = tl.where(keep_mask(bits(key, key2, USER, b), USER_RATE), user, other_user)

    # write
    tl.store(tokens_out[0] + to, items)
    for n in tl.static_range(1, len(w_tokens)):
        tl.store(tokens_out[n] + to, tl.load(w_tokens[n] + from_window, mask=inside, other=0))
    tl.store(users_out + program, user)
    tl.store(window_index_out + program, window)
    tl.store(first_real_out + program, begin)


@triton.jit
def dropped(
    x, block, table, spans, keys, step_counter, seed, step, tables, positions,
    TABLE: tl.constexpr, POSITIONS_SIZE: tl.constexpr, BLOCK: tl.constexpr,
    LAYERS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Write a block of interval or position vectors with the dropout of each layer.

    Of the penalised tables, 1 and 2 are positions of keys and values, 3 and 4 intervals.

    Args:
        x: (BLOCK,) float32, the vectors.
        block, table: which elements, and of which penalised table.
        spans: (tables, 2) int32, first and last block of each table.
        keys, step_counter, seed, step: counter-based random bits.
        tables: (S, L, 2, R, D) float16, gets intervals.
        positions: (S, L, 2, T, D) float32, gets positions.
        TABLE, POSITIONS_SIZE: R·D and T·D.
        RATE: of dropout.
    """
    first, second = step_key(keys, step_counter, seed, step)

    # place within the table: what the dropout's bits are counted by
    place = (block - tl.load(spans + 2 * table)) * BLOCK + tl.arange(0, BLOCK)

    # each layer has a dropout of its own, and its copy of the table
    for layer in tl.static_range(LAYERS):
        stream, out = LAYER + LAYER_STREAMS * layer, (seed * LAYERS + layer).to(tl.int64) * 2
        if table < 3:
            y = x
            if RATE > 0:
                drawn = bits(first, second, stream + KEY_POSITION + table - 1, place)
                y = dropout(x, drawn, RATE)
            tl.store(
                positions + (out + table - 1) * POSITIONS_SIZE + place,
                y,
                mask=place < POSITIONS_SIZE,
            )
        else:
            z = x
            if RATE > 0:
                drawn = bits(first, second, stream + KEY_TABLE + table - 3, place)
                z = dropout(x, drawn, RATE)
            z = z.to(tables.dtype.element_ty)
            tl.store(tables + (out + table - 3) * TABLE + place, z, mask=place < TABLE)


@triton.jit(do_not_specialize=["step"])
def drop_tables(
    model, penalised, spans, keys, step_counter, step, tables, positions, size,
    TABLE: tl.constexpr, POSITIONS_SIZE: tl.constexpr, BLOCK: tl.constexpr,
    LAYERS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """What Adam leaves to the next step, where there was none before. Grid (blocks, S).

    Args:
        model: (S, size) float32.
        penalised: (blocks,) int32, the number of the penalised table that a block is of, or below
            0.
        spans, keys, step_counter, step, tables, positions, TABLE, POSITIONS_SIZE, RATE: see
            `dropped`.
        size: weights of a seed.
        BLOCK: elements of a program.
    """
    block, seed = tl.program_id(0), tl.program_id(1)
    table = tl.load(penalised + block)

    # items, table 0, have no dropout of their own
    if table > 0:
        x = tl.load(model + seed.to(tl.int64) * size + block * BLOCK + tl.arange(0, BLOCK))
        dropped(
            x, block, table, spans, keys, step_counter, seed, step, tables, positions,
            TABLE, POSITIONS_SIZE, BLOCK, LAYERS, RATE,
        )  # fmt: skip


@triton.jit
def numbers_of(ids, sequence, rows, T: tl.constexpr, INPUTS: tl.constexpr):
    """Of each input the numbers of some positions, (M,), or the sequence's own, or all items'.

    Args:
        ids: of each input, (G, T) or (G,) int32, or (I + 1, COUNT).
        sequence: which.
        rows: (M,) positions.
    """
    # A tuple that grows: the loop is unrolled when it is compiled.
    found = ()
    for n in tl.static_range(len(INPUTS)):
        if INPUTS[n][PER] == TOKEN:
            found += (tl.load(ids[n] + sequence * T + rows),)  # type: ignore[assignment]
        elif INPUTS[n][PER] == SEQUENCE:
            found += (tl.load(ids[n] + sequence),)  # type: ignore[assignment]
        else:
            found += (ids[n],)  # type: ignore[assignment]
    return found


@triton.jit
def embed(model, offsets, numbers, inside, M: tl.constexpr, D: tl.constexpr, INPUTS: tl.constexpr):
    """Embeddings (M, D) of M positions, parts side by side.

    Args:
        model: (size,) float32, the seed's weights.
        offsets: of each input, where its table begins.
        numbers: of each input, as `numbers_of` gives them.
        inside: (M,), which positions are no padding.
    """
    # Each input fills its own columns of the tile, so a sum puts them side by side.
    column = tl.zeros((M, 1), tl.int32) + tl.arange(0, D)[None, :]
    items = numbers[0]
    x = vectors(model + offsets[0], items, items, inside, column, tl.constexpr(INPUTS[0]))
    for n in tl.static_range(1, len(INPUTS)):
        x += vectors(model + offsets[n], numbers[n], items, inside, column, tl.constexpr(INPUTS[n]))
    return x


@triton.jit
def vectors(table, numbers, items, inside, column, INPUT: tl.constexpr):
    """One input's part of the embeddings, zero in all columns but its own.

    Args:
        table: (numbers, STRIDE) float32.
        numbers: (M,) or one, or (I + 1, COUNT) of items.
        items: (M,).
        inside: (M,), which positions are no padding.
        column: (M, D), numbers of columns.
        INPUT: see `gpu.features`.
    """
    # an input's own columns
    theirs = (column >= INPUT[AT]) & (column < INPUT[AT] + INPUT[WIDTH])
    if INPUT[PER] == PER_ITEM:
        found = summed_rows(table, numbers, items, column - INPUT[AT], theirs, INPUT)
    else:
        rows = numbers
        if INPUT[PER] == TOKEN:
            rows = numbers[:, None]
        else:
            theirs &= inside[:, None]
        own = table + rows * INPUT[STRIDE] + column - INPUT[AT]
        found = tl.load(own, mask=theirs, other=0.0)
    return found


@triton.jit
def scatter_embedding_grads(
    g, embedding_grads, offsets, ids, sequence, first, half: tl.constexpr,
    T: tl.constexpr, M: tl.constexpr, D: tl.constexpr, INPUTS: tl.constexpr,
):  # fmt: skip
    """Add the gradients of M positions' embeddings to those of the tables.

    Args:
        g: (M, D) float32, the gradients.
        embedding_grads: (embedding_size,) int64 of the seed.
        offsets, ids: of each input, see the top of the file.
        sequence, first: which, and its first position of the program.
        half: the type of what products take.
    """
    # items: mostly different ones; padding adds nothing anywhere
    item = tl.load(ids[0] + sequence * T + first + tl.arange(0, M))
    real = (item > 0)[:, None]
    column = tl.zeros((M, 1), tl.int32) + tl.arange(0, D)[None, :]
    own = embedding_grads + offsets[0] + item[:, None] * INPUTS[0][STRIDE] + column
    add_fixed_point(own, g, real & (column < INPUTS[0][WIDTH]))

    # all other inputs: few additions to one place, since those wait for each other
    for n in tl.static_range(1, len(INPUTS)):
        to = embedding_grads + offsets[n]
        if INPUTS[n][PER] == TOKEN:
            by_number(
                to, g, ids[n] + sequence * T + first, real, half, M, D, tl.constexpr(INPUTS[n])
            )
        elif INPUTS[n][PER] == PER_ITEM:
            by_item(to, g, item, ids[n], real, half, M, D, tl.constexpr(INPUTS[n]))
        else:
            by_sequence(to, g, tl.load(ids[n] + sequence), real, D, tl.constexpr(INPUTS[n]))


@triton.jit
def by_number(
    to, g, ids, real, half: tl.constexpr, M: tl.constexpr, D: tl.constexpr, INPUT: tl.constexpr
):
    """Positions share their numbers, so the last of each number adds for all of them.

    Args:
        to: int64, the gradient of the input's table.
        g: (M, D) float32, gradients.
        ids: (M,) int32.
        real: (M, 1), which positions are no padding.
        half: the type of what products take.
        INPUT: see `gpu.features`.
    """
    m, d = tl.arange(0, M), tl.arange(0, D)[None, :]
    number = tl.load(ids + m)

    # which positions have one number, and which is its last
    same = number[:, None] == number[None, :]
    later = same & (m[None, :] > m[:, None])
    theirs = (tl.sum(later.to(tl.int32), 1) == 0)[:, None]
    theirs = theirs & (d >= INPUT[AT]) & (d < INPUT[AT] + INPUT[WIDTH])

    # sums over positions of one number, as a product
    sums = product(same.to(half), tl.where(real, g, 0.0).to(half))
    add_fixed_point(to + number[:, None] * INPUT[STRIDE] + d - INPUT[AT], sums, theirs)


@triton.jit
def by_item(
    to, g, items, of_items, real, half: tl.constexpr,
    M: tl.constexpr, D: tl.constexpr, INPUT: tl.constexpr,
):  # fmt: skip
    """Items share their numbers: of each number, a sum over the positions whose item has it.

    Args:
        to: int64, the gradient of the input's table.
        g: (M, D) float32, gradients.
        items: (M,) int32.
        of_items: (I + 1, COUNT) int32, of each item its numbers, 0 for none.
        real: (M, 1), which positions are no padding.
        half: the type of what products take.
        INPUT: see `gpu.features`.
    """
    d = tl.arange(0, D)[None, :]
    theirs = (d >= INPUT[AT]) & (d < INPUT[AT] + INPUT[WIDTH])
    g = tl.where(real, g, 0.0).to(half)

    # some numbers at a time, as rows of a product
    for start in range(1, INPUT[ROWS] + 1, ROWS_AT_ONCE):
        row = start + tl.arange(0, ROWS_AT_ONCE)
        has = tl.zeros((M, ROWS_AT_ONCE), tl.float32)
        for slot in range(INPUT[COUNT]):
            number = tl.load(of_items + items * INPUT[COUNT] + slot)
            has += (number[:, None] == row[None, :]).to(tl.float32)
        sums = product(tl.trans(has.to(half)), g)
        place = to + row[:, None] * INPUT[STRIDE] + d - INPUT[AT]
        add_fixed_point(place, sums, (row <= INPUT[ROWS])[:, None] & theirs)


@triton.jit
def by_sequence(to, g, number, real, D: tl.constexpr, INPUT: tl.constexpr):
    """All positions have the sequence's number.

    Args:
        to: int64, the gradient of the input's table.
        g: (M, D) float32, gradients.
        number: int32.
        real: (M, 1), which positions are no padding.
        INPUT: see `gpu.features`.
    """
    d = tl.arange(0, D)
    theirs = (d >= INPUT[AT]) & (d < INPUT[AT] + INPUT[WIDTH])

    # one addition a tile instead of one a position
    total = tl.sum(tl.where(real, g, 0.0), 0)
    add_fixed_point(to + number * INPUT[STRIDE] + d - INPUT[AT], total, theirs)
