"""Attention's sums over the rows of the interval table, for M queries of a sequence.

Keys of one row lie side by side (`fpt_model.fused.intervals`), so a scan sums them and the last key
of a row stores the sum: no two threads write to one place. What threads exchange goes through
memory. The table's R rows come in chunks of C and a rest.

Letters: M queries, T keys, D width, R interval rows.
"""

import triton
import triton.language as tl

from fpt_model.fused import intervals
from fpt_model.fused.tiles import product, tile

FIRST = tl.constexpr(intervals.FIRST)
LAST = tl.constexpr(intervals.LAST)
AHEAD = tl.constexpr(3)  # chunks of the table that are on their way


@triton.jit
def columns(begin, M: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """(M, C) places of a matrix (M, R), from a column on."""
    return tl.arange(0, M)[:, None] * R + begin + tl.arange(0, C)[None, :]


@triton.jit
def places_of_pairs(look_up, M: tl.constexpr, R: tl.constexpr):
    """Where a matrix (M, R) has the row of each pair, (T, M).

    Of places that it can't foresee, Triton gives a warp those along the first dimension: here keys
    of one query, which lie in a few sectors of memory.
    """
    return tl.trans(tl.arange(0, M)[:, None] * R + (look_up & (FIRST - 1)))


@triton.jit
def by_rows(
    x, table, out, begin, M: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr
):
    """x · table for C rows from `begin`, into `out` (M, R)."""
    vectors = tl.load(table + begin * D + tile(C, D))
    found = product(x, tl.trans(vectors)).to(out.dtype.element_ty)
    tl.store(out + columns(begin, M, R, C), found)


@triton.jit
def scores_by_row(
    x, table, look_up, scratch, M: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr
):
    """x · table[row] for all pairs, (M, T)."""
    for begin in tl.range(0, R // C * C, C, num_stages=AHEAD):
        by_rows(x, table, scratch, begin, M, D, R, C)
    if R % C:
        by_rows(x, table, scratch, R // C * C, M, D, R, R % C)
    tl.debug_barrier()
    place = places_of_pairs(look_up, M, R)
    return tl.trans(tl.load(scratch + place, cache_modifier=".cg")).to(tl.float32)


@triton.jit
def emptied(out, M: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Zeros into (M, R)."""
    for begin in range(0, R // C * C, C):
        tl.store(out + columns(begin, M, R, C), tl.zeros((M, C), out.dtype.element_ty))
    if R % C:
        rest = columns(R // C * C, M, R, R % C)
        tl.store(out + rest, tl.zeros((M, R % C), out.dtype.element_ty))


@triton.jit
def from_first(sum1, first1, sum2, first2):
    """Adds up, anew from each first one: the step of a scan."""
    return tl.where(first2 > 0, sum2, sum1 + sum2), first1 | first2


@triton.jit
def summed_by_row(weights, look_up, out, M: tl.constexpr, R: tl.constexpr):
    """The weights' sums by row into `out` (M, R), which is empty."""
    sums, _ = tl.associative_scan((weights, look_up & FIRST), 1, from_first)
    tl.debug_barrier()
    place, is_last = places_of_pairs(look_up, M, R), tl.trans(look_up >= LAST)
    tl.store(out + place, tl.trans(sums.to(out.dtype.element_ty)), mask=is_last)
    tl.debug_barrier()


@triton.jit
def values_by_row(sums, table, M: tl.constexpr, D: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Sums by row (M, R) times the table: (M, D)."""
    values = tl.zeros((M, D), tl.float32)
    for begin in tl.range(0, R // C * C, C, num_stages=AHEAD):
        part = tl.load(sums + columns(begin, M, R, C), cache_modifier=".cg")
        values += product(part, tl.load(table + begin * D + tile(C, D)))
    if R % C:
        part = tl.load(sums + columns(R // C * C, M, R, R % C), cache_modifier=".cg")
        values += product(part, tl.load(table + R // C * C * D + tile(R % C, D)))
    return values
