"""Attention's sums over the rows of the interval table, for M queries of a sequence.

Keys of one row lie side by side (`intervals.py`), so a scan sums them and the last key
of a row stores the sum: no two threads write to one place. What threads exchange goes through
memory. The table's R rows come in chunks of C.

Letters: M queries, T keys, D width, R interval rows.
"""

import triton
import triton.language as tl

from fpt_model.engines.multiseed import intervals
from fpt_model.engines.multiseed.tiles import AHEAD, columns, from_first, product, tile

FIRST_FLAG = tl.constexpr(intervals.FIRST)
LAST_FLAG = tl.constexpr(intervals.LAST)


@triton.jit
def bucket_offsets(bucket, M: tl.constexpr, R: tl.constexpr):
    """Where a matrix (M, R) has the row of each pair, (T, M).

    Of places that it can't foresee, Triton gives a warp those along the first dimension: here keys
    of one query, which lie in a few sectors of memory.

    Args:
        bucket: (M, T) int32, rows of pairs with their flags.
    """
    return tl.trans(tl.arange(0, M)[:, None] * R + (bucket & (FIRST_FLAG - 1)))


@triton.jit
def vectors_at(table, row, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """C rows of a table from `row` on, zero past its end.

    Args:
        table: (R, D) float16.
    """
    # the last chunk may reach past the table
    there = row + tl.arange(0, C) < R
    return tl.load(table + row * D + tile(C, D), mask=there[:, None], other=0.0)


@triton.jit
def inside(row, first, begin, M: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Which of (M, C) places of sums by row, from a row of the table on, are no padding."""
    there = (row + tl.arange(0, C) < R)[None, :]
    return there & (first + tl.arange(0, M) >= begin)[:, None]


@triton.jit
def scores_by_bucket(
    x, table, bucket, scratch, first, begin,
    M: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """x · table[row] for all pairs, (M, T) float32.

    Args:
        x: (M, D) float16, in registers.
        table: (R, D) float16.
        bucket: (M, T) int32, rows of pairs with their flags.
        scratch: (M, R) float16, the program's own; left empty, as `sum_by_bucket` wants it.
    """
    # product with every row: fewer than there are pairs
    for row in tl.range(0, R, C, num_stages=AHEAD):
        found = product(x, tl.trans(vectors_at(table, row, D, R, C)))
        real = inside(row, first, begin, M, R, C)
        tl.store(scratch + columns(row, M, R, C), found.to(scratch.dtype.element_ty), mask=real)

    # Gather by pair. A thread reads what others wrote: a barrier, and loads past the L1 cache.
    tl.debug_barrier()
    place = bucket_offsets(bucket, M, R)
    found = tl.trans(tl.load(scratch + place, cache_modifier=".cg")).to(tl.float32)

    # empty the scratch, once all threads have read it
    tl.debug_barrier()
    for row in tl.range(0, R, C):
        empty = tl.zeros((M, C), scratch.dtype.element_ty)
        real = inside(row, first, begin, M, R, C)
        tl.store(scratch + columns(row, M, R, C), empty, mask=real)
    return found


@triton.jit
def sum_by_bucket(weights, bucket, out, M: tl.constexpr, R: tl.constexpr):
    """Sums of weights by row.

    Args:
        weights: (M, T) float32, in registers.
        bucket: (M, T) int32, rows of pairs with their flags.
        out: (M, R) float16, which is empty.
    """
    # running sums along the keys, anew at the first key of each row
    sums, _ = tl.associative_scan((weights, bucket & FIRST_FLAG), 1, from_first)

    # The last key of a row has its sum. Barriers: others have emptied `out`, and will read it.
    tl.debug_barrier()

    place, is_last = bucket_offsets(bucket, M, R), tl.trans(bucket >= LAST_FLAG)
    tl.store(out + place, tl.trans(sums.to(out.dtype.element_ty)), mask=is_last)
    tl.debug_barrier()


@triton.jit
def values_by_bucket(
    sums, table, first, begin,
    M: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Sums by row times the table, (M, D) float32.

    Args:
        sums: (M, R) float16, as `sum_by_bucket` left them.
        table: (R, D) float16.
    """
    values = tl.zeros((M, D), tl.float32)
    for row in tl.range(0, R, C, num_stages=AHEAD):
        # others wrote them: past the L1 cache
        place, real = sums + columns(row, M, R, C), inside(row, first, begin, M, R, C)
        part = tl.load(place, mask=real, other=0.0, cache_modifier=".cg")
        values += product(part, vectors_at(table, row, D, R, C))
    return values
