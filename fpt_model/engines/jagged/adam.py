"""The end of a step: its loss, the norm penalty, and Adam over all weights at once.

Letters: P elements, S splits of the items' gradient, D width, K columns, KH columns by head.
"""

import triton
import triton.language as tl

from fpt_model.engines.gpu.adam import adam_update, learning_rate
from fpt_model.engines.jagged.tokens import FIXED_ONE


@triton.jit
def sum_squares(flat, block_squares, BLOCK: tl.constexpr):
    """Sums of squares by block: of the weights a step begins with, resumed or not. Grid (blocks,).

    Args:
        flat: (P,) float32.
        block_squares: (P / BLOCK,) float32.
    """
    block = tl.program_id(0)
    own = tl.load(flat + block * BLOCK + tl.arange(0, BLOCK))
    tl.store(block_squares + block, tl.sum(own * own, 0))


@triton.jit
def sum_up(
    meta, block_squares, spans, losses, group_losses, norms, record, count, l2,
    B: tl.constexpr, TABLES: tl.constexpr, GROUPED: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Norms of the penalised tables, and the step's loss added to `record`. Grid (1,).

    Args:
        meta: (4, B + 1) int32; its last column says how many tokens there are.
        block_squares: (P / BLOCK,) float32, sums of squares by block.
        spans: (TABLES, 2) int32, first and last block of each table.
        losses: (count,) float32, sums by program.
        group_losses: (GROUPED,) float32, likewise.
        norms: (TABLES,) float32, gets the norms.
        record: (1,) float64, to which the loss is added.
        l2: weight of the norms.
        CHUNK: elements at a time.
    """
    at = tl.arange(0, CHUNK)

    # norm penalty
    penalty = 0.0
    for table in tl.static_range(TABLES):
        end = tl.load(spans + 2 * table + 1)
        total = tl.zeros((CHUNK,), tl.float32)
        for start in range(tl.load(spans + 2 * table), end, CHUNK):
            total += tl.load(block_squares + start + at, mask=start + at < end, other=0.0)
        norm = tl.sqrt(tl.sum(total, 0))
        tl.store(norms + table, norm)
        penalty += norm

    # mean loss of the tokens
    total = tl.zeros((CHUNK,), tl.float32)
    for start in range(0, count, CHUNK):
        total += tl.load(losses + start + at, mask=start + at < count, other=0.0)
    loss = tl.sum(total, 0) / tl.load(meta + B).to(tl.float32) + l2 * penalty

    # group loss
    for start in range(0, GROUPED, CHUNK):
        there = start + at < GROUPED
        loss += tl.sum(tl.load(group_losses + start + at, mask=there, other=0.0), 0)

    tl.store(record, tl.load(record) + loss.to(tl.float64))


@triton.jit
def adam(
    meta, key, flat, fp16, exp_avgs, exp_avg_sqs, grads, embedding_grads, item_parts, product_parts,
    table_of, norms, o_tables, o_products, item_size, product_size, splits,
    l2, rate, beta1, beta2,
    B: tl.constexpr, ITEM_SPLITS: tl.constexpr, LAYER: tl.constexpr, D: tl.constexpr,
    K: tl.constexpr, KH: tl.constexpr, W: tl.constexpr, STRIDE: tl.constexpr, GAPS: tl.constexpr,
    BLOCK: tl.constexpr, SCHEDULED: tl.constexpr, DECAY: tl.constexpr, NORMS: tl.constexpr,
):  # fmt: skip
    """One block: its gradient, Adam, and the rounded copy. Grid (P / BLOCK,).

    Gradients are sums over tokens.

    Args:
        meta: (4, B + 1) int32; its last column says how many tokens there are.
        key: (3,) int64; the last is the number of the step from 1.
        flat: (P,) float32, weights.
        fp16: (P,) float16, their copies for products, see weights.py.
        exp_avgs, exp_avg_sqs: (P,) float32, Adam's running means of gradients and their squares.
        grads: (P,) float32, gradients of what begins between `o_tables` and `o_products`.
        embedding_grads: (o_tables,) int64, gradients of what comes before; left zero.
        item_parts: (ITEM_SPLITS, item_size) float32, partial sums that belong to the items, too.
        product_parts: (splits, product_size) float32, those of what begins at `o_products`.
        table_of: (P / BLOCK,) int32, the number of a block's penalised table, or -1.
        norms: (tables,) float32, as `sum_up` left them.
        l2: weight of the norms.
        rate: learning rate; if SCHEDULED (steps,) float32, of each step of the training.
        beta1, beta2: decays of Adam.
        LAYER: elements from a block's matrices to the next one's.
        W, STRIDE: width of a head, and columns to the next.
        GAPS: whether something lies between heads.
        BLOCK: elements of a program.
        DECAY: weight decay, of all but biases and what begins between NORMS and `o_tables`.
        NORMS: first element of the LayerNorms.
    """
    block = tl.program_id(0)
    at = block * BLOCK + tl.arange(0, BLOCK)
    old = tl.load(flat + at)

    # gradient: where it stands depends on the block
    if block * BLOCK < o_tables:
        grad = tl.load(embedding_grads + at).to(tl.float32) / FIXED_ONE
        tl.debug_barrier()  # another thread may zero what this one reads
        tl.store(embedding_grads + at, tl.zeros((BLOCK,), tl.int64))
        for split in tl.static_range(ITEM_SPLITS):
            own = item_parts + split * item_size + at
            grad += tl.load(own, mask=at < item_size, other=0.0)
    elif block * BLOCK < o_products:
        grad = tl.load(grads + at)
    else:
        grad = tl.zeros((BLOCK,), tl.float32)
        for split in range(splits):
            grad += tl.load(product_parts + split * product_size + at - o_products)

    # mean over tokens, norm penalty: its gradient is weight / norm
    grad /= tl.load(meta + B).to(tl.float32)
    table = tl.load(table_of + block)
    if table >= 0:
        norm = tl.load(norms + table)
        grad += tl.where(norm > 0, l2 / norm, 0.0) * old

    # Adam
    number = tl.load(key + 2)
    count, rate = number.to(tl.float32), learning_rate(rate, number - 1, SCHEDULED)
    exp_avg, exp_avg_sq = tl.load(exp_avgs + at), tl.load(exp_avg_sqs + at)
    if DECAY > 0:
        decays = _decays(at, o_tables, o_products, LAYER, D, K, NORMS)
        old *= tl.where(decays, 1 - rate * DECAY, 1.0)
    new, exp_avg, exp_avg_sq = adam_update(
        old, exp_avg, exp_avg_sq, grad, count, rate, beta1, beta2
    )

    # write
    tl.store(exp_avgs + at, exp_avg)
    tl.store(exp_avg_sqs + at, exp_avg_sq)
    tl.store(flat + at, new)
    place, real = at, at >= 0
    if GAPS:
        place, real = _apart(at, o_products, LAYER, D, K, KH, W, STRIDE)
    tl.store(fp16 + place, new.to(fp16.dtype.element_ty), mask=real)


@triton.jit
def _decays(
    at, o_tables, o_products, LAYER: tl.constexpr, D: tl.constexpr, K: tl.constexpr,
    NORMS: tl.constexpr,
):  # fmt: skip
    """Which weights are of matrices and tables.

    Args:
        at: int32, elements of the weights.
        o_tables, o_products: where what follows the LayerNorms begins, and where matrices do.
    """
    norm = (at >= NORMS) & (at < o_tables)
    column = tl.maximum(at - o_products, 0) % LAYER % K
    return ~norm & ((at < o_products) | (column != D))


@triton.jit
def _apart(
    at, o_products, LAYER: tl.constexpr, D: tl.constexpr, K: tl.constexpr, KH: tl.constexpr,
    W: tl.constexpr, STRIDE: tl.constexpr,
):  # fmt: skip
    """Where weights stand in the copy for products, and which do: rows of zeros are left out.

    Args:
        at: int32, elements of the weights.
        o_products: where the matrices begin.
    """
    within = tl.maximum(at - o_products, 0) % LAYER
    by_head = (at >= o_products) & (within < 3 * KH * K)
    row = within % (KH * K) // K
    place = at + tl.where(by_head, row // W * ((STRIDE - W) * K), 0)

    # eight elements stay together, since rows have a multiple of eight
    place = tl.max_contiguous(tl.multiple_of(place, 8), 8)
    return place, tl.max_constancy(~by_head | (row < D), 8)
