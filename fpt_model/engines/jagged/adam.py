"""The end of a step: its loss, the norm penalty, and Adam over all weights at once.

Letters: P elements, S splits of the items' gradient.
"""

import triton
import triton.language as tl

from fpt_model.engines.jagged.tokens import WHOLE


@triton.jit
def sum_squares(flat, squares, BLOCK: tl.constexpr):
    """Sums of squares by block, (P / BLOCK,): of the weights a step begins with, resumed or not."""
    block = tl.program_id(0)
    own = tl.load(flat + block * BLOCK + tl.arange(0, BLOCK))
    tl.store(squares + block, tl.sum(own * own, 0))


@triton.jit
def sum_up(
    now, squares, spans, losses, group_losses, norms, record, count, l2,
    B: tl.constexpr, TABLES: tl.constexpr, GROUPED: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Norms of the penalised tables, and the step's loss added to `record` (1,) float64.

    `squares` (P / BLOCK,) sums of squares by block; `spans` (TABLES, 2) the tables' blocks;
    `losses` (count,) and `group_losses` (GROUPED,) sums by program.
    """
    at = tl.arange(0, CHUNK)
    penalty = 0.0
    for table in tl.static_range(TABLES):
        end = tl.load(spans + 2 * table + 1)
        total = tl.zeros((CHUNK,), tl.float32)
        for start in range(tl.load(spans + 2 * table), end, CHUNK):
            total += tl.load(squares + start + at, mask=start + at < end, other=0.0)
        norm = tl.sqrt(tl.sum(total, 0))
        tl.store(norms + table, norm)
        penalty += norm
    total = tl.zeros((CHUNK,), tl.float32)
    for start in range(0, count, CHUNK):
        total += tl.load(losses + start + at, mask=start + at < count, other=0.0)
    loss = tl.sum(total, 0) / tl.load(now + B).to(tl.float32) + l2 * penalty
    for start in range(0, GROUPED, CHUNK):
        there = start + at < GROUPED
        loss += tl.sum(tl.load(group_losses + start + at, mask=there, other=0.0), 0)
    tl.store(record, tl.load(record) + loss.to(tl.float64))


@triton.jit
def adam(
    now, key, flat, rounded, moments, second, grads, scattered, item_parts, product_parts,
    table_of, norms, o_tables, o_products, item_size, product_size, splits,
    l2, rate, log_beta1, log_beta2, beta1, beta2,
    B: tl.constexpr, ITEM_SPLITS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One block: its gradient, Adam, and the rounded copy.

    Gradients are sums over tokens. Those before `o_tables` come from `scattered` (zeroed again),
    for items with `item_parts` (ITEM_SPLITS, item_size); those from `o_products` on are sums of
    `product_parts` (splits, product_size); those between stand in `grads`.
    """
    block = tl.program_id(0)
    at = block * BLOCK + tl.arange(0, BLOCK)
    old = tl.load(flat + at)
    if block * BLOCK < o_tables:
        slope = tl.load(scattered + at).to(tl.float32) / WHOLE
        tl.debug_barrier()  # another thread may zero what this one reads
        tl.store(scattered + at, tl.zeros((BLOCK,), tl.int64))
        for split in tl.static_range(ITEM_SPLITS):
            own = item_parts + split * item_size + at
            slope += tl.load(own, mask=at < item_size, other=0.0)
    elif block * BLOCK < o_products:
        slope = tl.load(grads + at)
    else:
        slope = tl.zeros((BLOCK,), tl.float32)
        for split in range(splits):
            slope += tl.load(product_parts + split * product_size + at - o_products)
    slope /= tl.load(now + B).to(tl.float32)
    table = tl.load(table_of + block)
    if table >= 0:
        norm = tl.load(norms + table)
        slope += tl.where(norm > 0, l2 / norm, 0.0) * old
    count = tl.load(key + 2).to(tl.float32)
    first = tl.load(moments + at) * beta1 + (1 - beta1) * slope
    square = tl.load(second + at) * beta2 + (1 - beta2) * slope * slope
    unbiased = first / (1 - tl.exp(count * log_beta1))
    deviation = tl.sqrt(square / (1 - tl.exp(count * log_beta2))) + 1e-8
    new = old - rate * unbiased / deviation
    tl.store(moments + at, first)
    tl.store(second + at, square)
    tl.store(flat + at, new)
    tl.store(rounded + at, new.to(rounded.dtype.element_ty))
