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

FIRST = tl.constexpr(intervals.FIRST)
LAST = tl.constexpr(intervals.LAST)


@triton.jit
def places_of_pairs(look_up, M: tl.constexpr, R: tl.constexpr):
    """Where a matrix (M, R) has the row of each pair, (T, M).

    Of places that it can't foresee, Triton gives a warp those along the first dimension: here keys
    of one query, which lie in a few sectors of memory.
    """
    return tl.trans(tl.arange(0, M)[:, None] * R + (look_up & (FIRST - 1)))


@triton.jit
def vectors_at(table, row, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """C rows of a table (R, D) from `row` on, zero past its end."""
    there = row + tl.arange(0, C) < R
    return tl.load(table + row * D + tile(C, D), mask=there[:, None], other=0.0)


@triton.jit
def inside(row, first, begin, M: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Which of (M, C) places of sums by row, from a row of the table on, are no padding."""
    there = (row + tl.arange(0, C) < R)[None, :]
    return there & (first + tl.arange(0, M) >= begin)[:, None]


@triton.jit
def scores_by_row(
    x, table, look_up, scratch, first, begin,
    M: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """x · table[row] for all pairs, (M, T), by way of `scratch` (M, R), left empty."""
    for row in tl.range(0, R, C, num_stages=AHEAD):
        found = product(x, tl.trans(vectors_at(table, row, D, R, C)))
        real = inside(row, first, begin, M, R, C)
        tl.store(scratch + columns(row, M, R, C), found.to(scratch.dtype.element_ty), mask=real)
    tl.debug_barrier()
    place = places_of_pairs(look_up, M, R)
    found = tl.trans(tl.load(scratch + place, cache_modifier=".cg")).to(tl.float32)
    tl.debug_barrier()
    for row in tl.range(0, R, C):
        empty = tl.zeros((M, C), scratch.dtype.element_ty)
        real = inside(row, first, begin, M, R, C)
        tl.store(scratch + columns(row, M, R, C), empty, mask=real)
    return found


@triton.jit
def summed_by_row(weights, look_up, out, M: tl.constexpr, R: tl.constexpr):
    """The weights' sums by row into `out` (M, R), which is empty."""
    sums, _ = tl.associative_scan((weights, look_up & FIRST), 1, from_first)
    tl.debug_barrier()
    place, is_last = places_of_pairs(look_up, M, R), tl.trans(look_up >= LAST)
    tl.store(out + place, tl.trans(sums.to(out.dtype.element_ty)), mask=is_last)
    tl.debug_barrier()


@triton.jit
def values_by_row(
    sums, table, first, begin,
    M: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Sums by row (M, R) times the table: (M, D)."""
    values = tl.zeros((M, D), tl.float32)
    for row in tl.range(0, R, C, num_stages=AHEAD):
        place, real = sums + columns(row, M, R, C), inside(row, first, begin, M, R, C)
        part = tl.load(place, mask=real, other=0.0, cache_modifier=".cg")
        values += product(part, vectors_at(table, row, D, R, C))
    return values
