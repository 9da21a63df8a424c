"""The end of a step: group loss, the loss of the record, Adam and the next step's tables.

Gradients so far are of a sum over positions, which keeps them in the range of float16; here they
are divided by the number of positions.

Letters: S seeds, L blocks (LAYERS).

Arguments that many kernels here have:

    model (S, size) float32: all weights, see `multiseed.layout`
    embedding_grads (S, embedding_size) int64: gradients of looked-up tables, in units of 1 / FIXED
    keys (S, 2), step_counter (S,), step: counter-based random bits, see `gpu.rng`
    n_real (S, steps) int32: positions that have a target, by step
    spans (tables, 2) int32: first and last block of elements of each penalised table
"""

import triton
import triton.language as tl

from fpt_model.engines.gpu.adam import adam_update, learning_rate
from fpt_model.engines.gpu.groups import group_pairs
from fpt_model.engines.gpu.rng import step_key
from fpt_model.engines.multiseed.inputs import dropped
from fpt_model.engines.multiseed.tiles import FIXED_ONE, add_fixed_point, pdl_wait, to_fixed_point


@triton.jit(do_not_specialize=["step"])
def group_loss_grad(
    model, embedding_grads, o_users, keys, step_counter, step, n_real, steps, groups, losses,
    size, embedding_size, n_users, pairs, margin, weight,
    PAIRS: tl.constexpr, UP: tl.constexpr,
):  # fmt: skip
    """Weighted group loss of random pairs, and its gradient, if grouped. Grid (S, pairs / PAIRS).

    Args:
        model: (S, size) float32.
        embedding_grads: (S, embedding_size) int64, gets the users' gradient.
        o_users: where users begin.
        keys, step_counter, step: counter-based random bits.
        n_real: (S, steps) int32.
        groups: (S, n_users + 1) int32, of users; -1 while there are none.
        losses: (S, pairs) float32, padded.
        size, embedding_size: elements of a seed.
        pairs: of users in a step.
        margin, weight: of the group loss.
        PAIRS: pairs of a program.
        UP: padded width of a user's vector.
    """
    seed, part = tl.program_id(0), tl.program_id(1)
    model += seed.to(tl.int64) * size + o_users
    embedding_grads += seed.to(tl.int64) * embedding_size + o_users
    groups += seed * (n_users + 1)

    # gradients are divided by the number of positions in the end, this loss is not
    count = tl.load(n_real + seed * steps + step).to(tl.float32)

    key, key2 = step_key(keys, step_counter, seed, step)
    p = part * PAIRS + tl.arange(0, PAIRS)
    loss, at_x, at_y, dx, dy, mask = group_pairs(
        model, groups, key, key2, p, n_users, pairs, margin, weight, count, UP, UP, UP
    )
    place = seed * tl.num_programs(1) * PAIRS + p
    tl.store(losses + place, loss)
    add_fixed_point(embedding_grads + at_x, dx, mask)
    add_fixed_point(embedding_grads + at_y, dy, mask)


@triton.jit(do_not_specialize=["step"])
def sum_up(
    block_squares, spans, losses, group_losses, n_real, record, norms_out, n_blocks, n_positions,
    step,
    steps, l2,
    TABLES: tl.constexpr, P: tl.constexpr, PAIRS: tl.constexpr, CHUNK: tl.constexpr,
    CHUNKS: tl.constexpr,
):  # fmt: skip
    """The step's loss, and the norms of the penalised tables. Grid (S,).

    Args:
        block_squares: (S, blocks) int64, sums of squares as Adam left them, in units of 1 / FIXED.
        spans: (tables, 2) int32.
        losses: (S, positions) float32, of positions.
        group_losses: (S, PAIRS) float32, weighted, of pairs.
        n_real: (S, steps) int32.
        record: (S, steps) float32, gets the loss.
        norms_out: (S, tables) float32, gets the norms.
        n_blocks, n_positions: elements of a seed in `block_squares` and in `losses`.
        l2: weight of the norms.
        TABLES: penalised ones.
        P: positions as a power of two.
        PAIRS: may be 0.
        CHUNK, CHUNKS: elements at a time, and how often for the longest table.
    """
    seed = tl.program_id(0)
    p = tl.arange(0, P)

    # mean loss of the positions
    loss = tl.sum(tl.load(losses + seed * n_positions + p, mask=p < n_positions, other=0.0), 0)
    loss = loss / tl.load(n_real + seed * steps + step).to(tl.float32)

    # Norm penalty. Whole numbers add up to the same in any order: a resumed training sums squares
    # up anew.
    for table in tl.static_range(TABLES):
        low, high = tl.load(spans + 2 * table), tl.load(spans + 2 * table + 1)
        total = tl.zeros((CHUNK,), tl.int64)
        for number in range(CHUNKS):
            place = low + number * CHUNK + tl.arange(0, CHUNK)
            total += tl.load(block_squares + seed * n_blocks + place, mask=place < high, other=0)
        norm = tl.sqrt((tl.sum(total, 0).to(tl.float64) * (1 / FIXED_ONE)).to(tl.float32))
        tl.store(norms_out + seed * TABLES + table, norm)
        loss += l2 * norm

    # group loss
    if PAIRS > 0:
        loss += tl.sum(tl.load(group_losses + seed * PAIRS + tl.arange(0, PAIRS)), 0)

    # write
    tl.store(record + seed * steps + step, loss)


@triton.jit
def gradient_of(
    embedding_grads, dense, seed, block, place, table, embedding_size, dense_size, shared,
    SPLIT: tl.constexpr, BLOCK: tl.constexpr, LAYERS: tl.constexpr, INTERVALS: tl.constexpr,
):  # fmt: skip
    """The gradient of a block of elements, a sum over positions. Arguments: see `adam`."""
    # a looked-up table: fixed-point numbers to reals, and zero for the next step
    if block * BLOCK < embedding_size:
        source = embedding_grads + seed.to(tl.int64) * embedding_size + place
        grad = (tl.load(source).to(tl.float64) * (1 / FIXED_ONE)).to(tl.float32)
        tl.debug_barrier()  # the thread that empties a place need not be the one that reads it
        tl.store(source, tl.zeros((BLOCK,), tl.int64))
    else:
        # any other: sums of parts, in their order
        grad = tl.zeros((BLOCK,), tl.float32)
        parts = dense + seed.to(tl.int64) * SPLIT * dense_size + place - embedding_size
        for part in tl.static_range(SPLIT):
            grad += tl.load(parts + part * dense_size)

        # A table that all blocks use has sums of each block; items, table 0, are looked up.
        if table > 0:
            for layer in tl.static_range(1, LAYERS if INTERVALS else 1):
                for part in tl.static_range(SPLIT):
                    grad += tl.load(parts + part * dense_size + layer * shared)
    return grad


@triton.jit(do_not_specialize=["step"])
def adam(
    model, fp16, exp_avgs, exp_avg_sqs, embedding_grads, dense, penalised, spans, norms,
    block_squares, n_real,
    keys, step_counter, step, steps, tables, positions,
    size, embedding_size, dense_size, shared, n_blocks, l2, rate, beta1, beta2,
    SPLIT: tl.constexpr, TABLES: tl.constexpr, TABLE: tl.constexpr, POSITIONS_SIZE: tl.constexpr,
    BLOCK: tl.constexpr, LAYERS: tl.constexpr, INTERVALS: tl.constexpr, RATE: tl.constexpr,
    PDL: tl.constexpr, SCHEDULED: tl.constexpr, DECAY: tl.constexpr,
):  # fmt: skip
    """One step of Adam over all weights; empties `embedding_grads`. Grid (blocks, S).

    Leaves the interval and position vectors with the dropout of the next step.

    Args:
        model: (S, size) float32, weights.
        fp16: (S, size) float16, their copies for products.
        exp_avgs, exp_avg_sqs: (S, size) float32, Adam's running means of gradients and their
            squares.
        embedding_grads: (S, embedding_size) int64, gradients of looked-up tables; left zero.
        dense: (S, SPLIT, dense_size) float32, partial sums of all other gradients.
        penalised: (blocks,) int32, the number of the penalised table that a block is of, or below
            0; if DECAY -1 where it does not decay, -2 where it does.
        spans: (tables, 2) int32.
        norms: (S, tables) float32, as `sum_up` left them.
        block_squares: (S, blocks) int64, gets sums of the new weights' squares.
        n_real: (S, steps) int32.
        keys, step_counter, step: counter-based random bits.
        tables, positions: (S, L, 2, R, D) float16 and (S, L, 2, T, D) float32, see
            `inputs.dropped`.
        size, embedding_size, dense_size, n_blocks: elements of a seed, or of a part of it.
        shared: elements of tables that all blocks use: each block has sums of its own for them.
        l2: weight of the norms.
        rate: learning rate; if SCHEDULED (S, steps) float32, of each step of the epoch.
        beta1, beta2: decays of Adam.
        SPLIT: partial sums.
        TABLES: penalised tables.
        TABLE, POSITIONS_SIZE: elements of an interval and of a position table.
        BLOCK: elements of a program.
        RATE: of dropout.
        DECAY: weight decay.
    """
    pdl_wait(PDL)
    block, seed = tl.program_id(0), tl.program_id(1)
    e = tl.arange(0, BLOCK)
    place = block * BLOCK + e
    wide = seed.to(tl.int64) * size + place

    # load: all that can be on its way together
    p = tl.load(model + wide)
    exp_avg, exp_avg_sq = tl.load(exp_avgs + wide), tl.load(exp_avg_sqs + wide)
    n_positions = tl.load(n_real + seed * steps + step).to(tl.float32)
    count = (tl.load(step_counter + seed) + step + 1).to(tl.float32)
    table = tl.load(penalised + block)

    # gradient: the mean over positions, and that of the norm penalty, p / norm
    grad = gradient_of(
        embedding_grads, dense, seed, block, place, table, embedding_size, dense_size, shared,
        SPLIT, BLOCK, LAYERS, INTERVALS,
    )  # fmt: skip
    grad = grad / n_positions
    if table >= 0:
        grad += l2 * p / tl.maximum(tl.load(norms + seed * TABLES + table), 1e-30)

    # Adam
    rate = learning_rate(rate, seed * steps + step, SCHEDULED)
    if DECAY > 0:
        p *= tl.where(table == -1, 1.0, 1 - rate * DECAY)
    p, exp_avg, exp_avg_sq = adam_update(p, exp_avg, exp_avg_sq, grad, count, rate, beta1, beta2)

    # write the weights, their copies for products and the moments
    tl.store(model + wide, p)
    tl.store(fp16 + wide, p.to(fp16.dtype.element_ty))
    tl.store(exp_avgs + wide, exp_avg)
    tl.store(exp_avg_sqs + wide, exp_avg_sq)

    # what the next step needs: squares for the norms, tables with their dropout
    if table >= 0:
        tl.store(block_squares + seed * n_blocks + block, tl.sum(to_fixed_point(p * p), 0))
    if INTERVALS:  # noqa: SIM102 - decided when it is compiled
        if table > 0:
            dropped(
                p, block, table, spans, keys, step_counter, seed, step + 1, tables, positions,
                TABLE, POSITIONS_SIZE, BLOCK, LAYERS, RATE,
            )  # fmt: skip
