"""The end of a step: group loss, the loss of the record, Adam and the next step's tables.

Gradients so far are of a sum over positions, which keeps them in the range of float16; here they
are divided by the number of positions.

Letters: S seeds.
"""

import triton
import triton.language as tl

from fpt_model.engines.gpu.groups import pair_slopes, pairs_of
from fpt_model.engines.gpu.rng import step_key
from fpt_model.engines.multiseed.inputs import dropped
from fpt_model.engines.multiseed.tiles import FIXED, add_whole, in_turn, whole


@triton.jit(do_not_specialize=["step"])
def group_slopes(
    model, scattered, o_users, keys, clock, step, n_real, steps, groups, losses,
    size, scattered_size, n_users, pairs, margin, weight,
    PAIRS: tl.constexpr, UP: tl.constexpr,
):  # fmt: skip
    """Weighted group loss of random pairs, and its gradient, if grouped. Grid (S, pairs / PAIRS).

    `losses` (S, pairs), padded.
    """
    seed, part = tl.program_id(0), tl.program_id(1)
    model += seed.to(tl.int64) * size + o_users
    scattered += seed.to(tl.int64) * scattered_size + o_users
    groups += seed * (n_users + 1)
    count = tl.load(n_real + seed * steps + step).to(tl.float32)
    key, key2 = step_key(keys, clock, seed, step)
    p, w = part * PAIRS + tl.arange(0, PAIRS), tl.arange(0, UP)[None, :]
    there = (p < pairs) & (tl.load(groups + 1) >= 0)
    u, v = pairs_of(key, key2, p, n_users)
    same = tl.load(groups + u) == tl.load(groups + v)
    x = tl.load(model + u[:, None] * UP + w)
    y = tl.load(model + v[:, None] * UP + w)
    loss, dx, dy = pair_slopes(x, y, same, there, margin, weight, count)
    place = seed * tl.num_programs(1) * PAIRS + p
    tl.store(losses + place, loss)
    add_whole(scattered + u[:, None] * UP + w, dx, there[:, None])
    add_whole(scattered + v[:, None] * UP + w, dy, there[:, None])


@triton.jit(do_not_specialize=["step"])
def sum_up(
    squares, spans, losses, group_losses, n_real, record, norms_out, n_blocks, positions, step,
    steps, l2,
    TABLES: tl.constexpr, P: tl.constexpr, PAIRS: tl.constexpr, CHUNK: tl.constexpr,
    CHUNKS: tl.constexpr,
):  # fmt: skip
    """The step's loss, and the norms of the penalised tables. Grid (S,).

    `record` (S, steps); `group_losses` (S, PAIRS), PAIRS may be 0; `squares` (S, blocks): sums of
    squares as Adam left them; `spans` (tables, 2): first and last block of a table.
    """
    seed = tl.program_id(0)
    p = tl.arange(0, P)
    loss = tl.sum(tl.load(losses + seed * positions + p, mask=p < positions, other=0.0), 0)
    loss = loss / tl.load(n_real + seed * steps + step).to(tl.float32)
    for table in tl.static_range(TABLES):
        low, high = tl.load(spans + 2 * table), tl.load(spans + 2 * table + 1)
        total = tl.zeros((CHUNK,), tl.int64)
        for number in range(CHUNKS):
            place = low + number * CHUNK + tl.arange(0, CHUNK)
            total += tl.load(squares + seed * n_blocks + place, mask=place < high, other=0)
        norm = tl.sqrt((tl.sum(total, 0).to(tl.float64) * (1 / FIXED)).to(tl.float32))
        tl.store(norms_out + seed * TABLES + table, norm)
        loss += l2 * norm
    if PAIRS > 0:
        loss += tl.sum(tl.load(group_losses + seed * PAIRS + tl.arange(0, PAIRS)), 0)
    tl.store(record + seed * steps + step, loss)


@triton.jit(do_not_specialize=["step"])
def adam(
    model, halves, moments, squares_of, scattered, dense, penalised, spans, norms, squares, n_real,
    keys, clock, step, steps, tables, places,
    size, scattered_size, dense_size, shared, n_blocks, l2, rate, beta1, beta2,
    SPLIT: tl.constexpr, TABLES: tl.constexpr, TABLE: tl.constexpr, PLACES: tl.constexpr,
    BLOCK: tl.constexpr, LAYERS: tl.constexpr, INTERVALS: tl.constexpr, RATE: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """One step of Adam over all weights; empties `scattered`. Grid (blocks, S).

    Leaves the interval and position vectors with the dropout of the next step.
    """
    in_turn(OVERLAP)
    block, seed = tl.program_id(0), tl.program_id(1)
    e = tl.arange(0, BLOCK)
    place = block * BLOCK + e
    wide = seed.to(tl.int64) * size + place
    # all that can be on its way together
    p, m, v = tl.load(model + wide), tl.load(moments + wide), tl.load(squares_of + wide)
    positions = tl.load(n_real + seed * steps + step).to(tl.float32)
    count = (tl.load(clock + seed) + step + 1).to(tl.float32)
    table = tl.load(penalised + block)
    if block * BLOCK < scattered_size:
        source = scattered + seed.to(tl.int64) * scattered_size + place
        g = (tl.load(source).to(tl.float64) * (1 / FIXED)).to(tl.float32)
        tl.debug_barrier()  # the thread that empties a place need not be the one that reads it
        tl.store(source, tl.zeros((BLOCK,), tl.int64))
    else:
        g = tl.zeros((BLOCK,), tl.float32)
        parts = dense + seed.to(tl.int64) * SPLIT * dense_size + place - scattered_size
        for part in tl.static_range(SPLIT):
            g += tl.load(parts + part * dense_size)
        if table > 0:
            for layer in tl.static_range(1, LAYERS if INTERVALS else 1):
                for part in tl.static_range(SPLIT):
                    g += tl.load(parts + part * dense_size + layer * shared)
    g = g / positions
    if table >= 0:
        g += l2 * p / tl.maximum(tl.load(norms + seed * TABLES + table), 1e-30)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    unbiased1 = 1 - tl.exp(count * tl.log(beta1))
    unbiased2 = 1 - tl.exp(count * tl.log(beta2))
    p -= rate / unbiased1 * m / (tl.sqrt(v / unbiased2) + 1e-8)
    tl.store(model + wide, p)
    tl.store(halves + wide, p.to(halves.dtype.element_ty))
    tl.store(moments + wide, m)
    tl.store(squares_of + wide, v)
    if table >= 0:
        tl.store(squares + seed * n_blocks + block, tl.sum(whole(p * p), 0))
    if INTERVALS:  # noqa: SIM102 - decided when it is compiled
        if table > 0:
            dropped(
                p, block, table, spans, keys, clock, seed, step + 1, tables, places,
                TABLE, PLACES, BLOCK, LAYERS, RATE,
            )  # fmt: skip
