"""Interval attention over windows that lie one after the other, forwards and back.

The sums over interval rows are products with the tables before and after these kernels (see
`fpt_model.model.intervals`):

    by_bucket = q · E_Kᵀ        gathered here, by the row of each pair
    weights_by_bucket                  attention weights summed by row, here; times E_V afterwards

Rows descend along the keys of a query since times ascend, so the tokens of row r are neighbours:
`weights_by_bucket` is a difference of two running sums at places that `counts` knows
(tokens.row_counts), and nothing has to be added atomically. Running sums of a tile are a product
with a triangle of ones.

Each kernel does one thing to a tile of BM queries by BN keys, in chunks of WC of the width, so that
many fit on a processor side by side: windows are short, and what costs time is waiting.

Entries of pairs that a query may not see are zero up to the end of its last tile of keys, so tiles
are read and written whole.

Letters: B sequences, N tokens, H heads, T sequence, TS its stride, W columns of a head, K of all, R
columns of by_bucket, C of counts; BM queries and BN keys of a tile, WC columns of a chunk.

Arguments that many kernels here have:

    meta (4, B + 1) int32: first token, first interaction, user and time scale of each sequence, see
        tokens.py
    key (3,) int64: of the step's random bits
    rows (N, TS) int16, or int32 of many rows: of the interval tables, for a query and each key, see
        `pair_rows`
    INTERVALS: whether there are interval and position vectors; RATE: of dropout
"""

import triton
import triton.language as tl

from fpt_model.engines.gpu.rng import fast_bits, keep_mask
from fpt_model.engines.jagged.tokens import SCALE, span_of, words

LOG2E: tl.constexpr = tl.constexpr(1.4426950408889634)
# Gradients of scores are small beside half precision's least number: kept so many times larger
LARGER: tl.constexpr = tl.constexpr(256.0)


@triton.jit
def _pair_rows(time_i, time_j, scale, edges, SPAN: tl.constexpr, EDGES: tl.constexpr):
    """Rows of the interval tables for a tile of pairs, (BM, BN); see `intervals.interval_rows`.

    Args:
        time_i: (BM,) int32, moments of the queries.
        time_j: (BN,) int32, times of the keys.
        scale: int32, seconds of the sequence's unit of time.
        edges: (EDGES,) int32, units at which rows past SPAN begin.
    """
    gap = tl.maximum(time_i[:, None] - time_j[None, :], 0)
    # gap // scale by a multiplication, at most one too small
    inverse = tl.where(scale > 1, (4294967296 // scale.to(tl.int64)), 4294967295).to(tl.uint32)
    interval = tl.umulhi(gap.to(tl.uint32), inverse).to(tl.int32)
    interval += (gap - interval * scale >= scale).to(tl.int32)

    # clipped at SPAN, and one row further for each edge that is passed
    row = tl.minimum(interval, SPAN)
    for edge in tl.static_range(EDGES):
        row += (interval >= tl.load(edges + edge)).to(tl.int32)
    return row


@triton.jit
def pair_rows(
    meta, query_times, times, edges, rows,
    B: tl.constexpr, TS: tl.constexpr, SPAN: tl.constexpr, EDGES: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Rows of the interval tables for a tile of queries: the same for all heads and blocks, and on
    the way back. Grid (tiles of T, B).

    Args:
        meta: (4, B + 1) int32.
        query_times, times: (N,) int32, a query's time, and when an interaction happened.
        edges: (EDGES,) int32, intervals at which rows past SPAN begin.
        rows: (N, TS), gets them.
    """
    tile, b = tl.program_id(0), tl.program_id(1)
    first, length = span_of(meta, b)
    if tile * BM >= length:
        return

    scale = tl.load(meta + SCALE * (B + 1) + b)
    i = tile * BM + tl.arange(0, BM)
    time_i = tl.load(query_times + first + i, mask=i < length, other=0)
    for start in range(0, tl.minimum(tile * BM + BM, length), BN):
        j = start + tl.arange(0, BN)
        time_j = tl.load(times + first + j, mask=j < length, other=0)
        row = _pair_rows(time_i, time_j, scale, edges, SPAN, EDGES).to(rows.dtype.element_ty)
        at = (first + i)[:, None] * TS + j[None, :]
        tl.store(rows + at, row, mask=(i < length)[:, None] & (j < TS)[None, :])


@triton.jit
def add_positions(
    meta, kv, positions, B: tl.constexpr, T: tl.constexpr, K: tl.constexpr, BM: tl.constexpr,
    BW: tl.constexpr,
):  # fmt: skip
    """Add position vectors to keys and values: pairs ask for q · (k + p), and for Σ a · (v + p).

    Grid (tiles of T, B, chunks of 2·K columns).

    Args:
        meta: (4, B + 1) int32.
        kv: (N, 2·K) float16, keys and values; get their positions'.
        positions: (2, T, K) float16, position vectors of keys and values, the latest last.
        BW: columns of a program.
    """
    tile, b = tl.program_id(0), tl.program_id(1)
    first, length = span_of(meta, b)
    if tile * BM >= length:
        return
    j = tile * BM + tl.arange(0, BM)
    w = tl.program_id(2) * BW + tl.arange(0, BW)
    mask = (j < length)[:, None] & (w < 2 * K)[None, :]
    to = kv + (first + j)[:, None] * (2 * K) + w[None, :]

    # those of values follow those of all keys; eight columns stay together
    row = (T - length + j)[:, None] + (w >= K)[None, :].to(tl.int32) * T
    column = tl.max_contiguous(tl.multiple_of(tl.where(w < K, w, w - K), 8), 8)
    own = tl.load(positions + row * K + column[None, :], mask=mask)
    tl.store(to, tl.load(to, mask=mask) + own, mask=mask)


@triton.jit
def _vectors(
    x, first, length, j, h, c, AT: tl.constexpr, STRIDE: tl.constexpr, W: tl.constexpr,
    WC: tl.constexpr,
):  # fmt: skip
    """Chunk c of vectors of tokens j of a sequence, (tokens, WC).

    Args:
        x: (N, STRIDE) float16; the vectors' columns begin at AT.
        first, length: the sequence's first token, and how many it has.
        j: numbers of tokens in the sequence; past its end they are zero.
        h, c: head, and chunk of its columns.
    """
    w = c * WC + tl.arange(0, WC)
    mask = (j < length)[:, None] & (w < W)[None, :]
    at = (first + j)[:, None] * STRIDE + AT + h * W + w[None, :]
    return tl.load(x + at, mask=mask, other=0.0)


@triton.jit
def _pair_products(
    x, kv, by_bucket, rows, first, length, i, j, t, h, tokens, N,
    AT: tl.constexpr, TS: tl.constexpr, W: tl.constexpr, WC: tl.constexpr, K: tl.constexpr,
    R: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, INTERVALS: tl.constexpr,
):  # fmt: skip
    """x · (vector + interval vector) of a tile of pairs, (BM, BN) float32.

    Args:
        x: (N, K) float16, of queries.
        kv: (N, 2·K) float16, keys (AT = 0) and values (AT = K).
        by_bucket: (H, N, R) float16, products of x with every row of the interval table.
        rows: (N, TS) int16.
        i, j: (BM,) and (BN,), numbers of queries and keys in the sequence.
        t: (BM,) tokens of the queries; tokens: (BM, 1), which of them are there.
    """
    total = tl.zeros((BM, BN), tl.float32)
    for c in tl.static_range((W + WC - 1) // WC):
        own = _vectors(x, first, length, i, h, c, 0, K, W, WC)
        theirs = _vectors(kv, first, length, j, h, c, AT, 2 * K, W, WC)
        total = tl.dot(own, tl.trans(theirs), total, input_precision="ieee")

    # interval vectors: what the row of each pair gives
    if INTERVALS:
        there = tokens & (j < TS)[None, :]
        row = tl.load(rows + t[:, None] * TS + j[None, :], mask=there, other=0).to(tl.int32)
        at = (h * N + t)[:, None] * R + row
        total += tl.load(by_bucket + at, mask=tokens, other=0.0).to(tl.float32)
    return total


@triton.jit
def sum_by_bucket(
    meta, sums, counts, out, factor, N, LIMIT,
    B: tl.constexpr, H: tl.constexpr, TS: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
    BM: tl.constexpr, BR: tl.constexpr,
):  # fmt: skip
    """Running sums to sums by interval row. Grid (tokens / BM, R / BR).

    Args:
        meta: (4, B + 1) int32.
        sums: (H, N, TS) float32, running sums along the keys of each query.
        counts: (N, C) int16, how many keys have row r or above: they come first.
        out: (H, N, R) float16, gets `factor` · sums by row; zero past the last token.
        factor: of the sums.
        N: stride between heads, in tokens.
        LIMIT: tokens up to which `out` is read, padding included.
    """
    t = tl.program_id(0) * BM + tl.arange(0, BM)
    r = tl.program_id(1) * BR + tl.arange(0, BR)

    here = (t < tl.load(meta + B))[:, None] & (r < R)[None, :]
    at = t[:, None] * C + r[None, :]

    # keys of row r are those from `lower` to `upper`
    upper = tl.load(counts + at, mask=here, other=0).to(tl.int32)
    lower = tl.load(counts + at + 1, mask=here & (r + 1 < C)[None, :], other=0).to(tl.int32)
    some = here & (upper > lower)

    # the same of all heads
    own = t[:, None] * TS - 1
    to = t[:, None] * R + r[None, :]
    written = (t < LIMIT)[:, None] & (r < R)[None, :]
    for _ in tl.range(H, loop_unroll_factor=4):
        # the difference of the running sums at both ends; none stands before the first key
        value = tl.load(sums + own + upper, mask=some, other=0.0)
        value -= tl.load(sums + own + lower, mask=some & (lower > 0), other=0.0)

        # write, zeros where there is no key: products read whole rows
        tl.store(out + to, (value * factor).to(out.dtype.element_ty), mask=written)
        sums += N * TS
        out += N * R


@triton.jit
def weigh(
    meta, key, q, kv, by_bucket, rows, weights, sums, stream, N,
    B: tl.constexpr, H: tl.constexpr, T: tl.constexpr, TS: tl.constexpr, W: tl.constexpr,
    WC: tl.constexpr, K: tl.constexpr, R: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    FACTOR: tl.constexpr, INTERVALS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Attention weights of a tile of queries. Grid (tiles of T, B, H).

    Args:
        meta: (4, B + 1) int32.
        key: (3,) int64, of random bits.
        q: (N, K) float16, queries.
        kv: (N, 2·K) float16, keys and values.
        by_bucket: (H, N, R) float16, q · E_Kᵀ.
        rows: (N, TS) int16.
        weights: (H, N, TS) float16, gets weights, negative where they were dropped.
        sums: (H, N, TS) float32, gets running sums of those that are left; holds scores before.
        stream: of the dropout's random bits.
        N: stride between heads, in tokens.
        FACTOR: of scores, log2 e / √W, as weights are powers of two.
    """
    # The longest tiles begin first: what is left at the end is short.
    tile, b, h = tl.num_programs(0) - 1 - tl.program_id(0), tl.program_id(1), tl.program_id(2)
    first, length = span_of(meta, b)
    if tile * BM >= length:
        return

    # the queries
    i = tile * BM + tl.arange(0, BM)
    tokens = (i < length)[:, None]
    t = first + i
    end = tl.minimum(tile * BM + BM, length)

    # First pass over the keys: scores, and the sum of their powers as softmax needs it, with the
    # maximum so far taken off.
    top = tl.full((BM,), -1e30, tl.float32)
    total = tl.zeros((BM,), tl.float32)
    for start in range(0, end, BN):
        j = start + tl.arange(0, BN)
        seen = (j[None, :] <= i[:, None]) & (j < length)[None, :] & tokens

        scores = _pair_products(
            q, kv, by_bucket, rows, first, length,
            i, j, t, h, tokens, N, 0, TS, W, WC, K, R, BM, BN, INTERVALS,
        )  # fmt: skip

        # mask, and keep for the second pass: there is no memory for all on the processor
        scores = tl.where(seen, scores * FACTOR, float("-inf"))
        at = (h * N + t)[:, None] * TS + j[None, :]
        tl.store(sums + at, scores, mask=tokens & (j < TS)[None, :])

        # online softmax: what was summed up shrinks when a higher score comes
        higher = tl.maximum(top, tl.max(scores, 1))
        total = total * tl.exp2(top - higher) + tl.sum(tl.exp2(scores - higher[:, None]), 1)
        top = higher

    # threads read scores that others wrote
    tl.debug_barrier()

    # log2 of each query's sum; a query that sees nothing gets zeros
    least = top + tl.log2(tl.where(total > 0, total, 1.0))

    # second pass: weights, dropout, running sums
    key1, key2 = words(key)
    half = weights.dtype.element_ty
    triangle = (tl.arange(0, BN)[:, None] <= tl.arange(0, BN)[None, :]).to(half)
    sofar = tl.zeros((BM,), tl.float32)
    for start in range(0, end, BN):
        j = start + tl.arange(0, BN)

        at = (h * N + t)[:, None] * TS + j[None, :]
        mask = tokens & (j < TS)[None, :]
        scores = tl.load(sums + at, mask=mask, other=float("-inf"))

        # normalise; a minus says what is dropped, at no memory of its own
        weight = tl.exp2(scores - least[:, None])
        if RATE > 0:
            weight = tl.where(keep_mask(fast_bits(key1, key2, stream, at), RATE), weight, -weight)
        tl.store(weights + at, weight.to(half), mask=mask)

        # Running sums of what stays: a product with a triangle of ones, of the weights as rounded
        stays = tl.maximum(weight, 0.0).to(half)
        if INTERVALS:
            running = tl.dot(stays, triangle, input_precision="ieee") + sofar[:, None]
            tl.store(sums + at, running, mask=mask)
            sofar += tl.sum(stays.to(tl.float32), 1)


@triton.jit
def combine(
    meta, pairs, kv, out, factor, N,
    B: tl.constexpr, H: tl.constexpr, T: tl.constexpr, TS: tl.constexpr, W: tl.constexpr,
    WC: tl.constexpr, K: tl.constexpr, AT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    POSITIVE: tl.constexpr,
):  # fmt: skip
    """Weighted sums of keys or values. Grid (tiles of T, B, H · chunks).

    Args:
        meta: (4, B + 1) int32.
        pairs: (H, N, TS) float16, weights or gradients of scores.
        kv: (N, 2·K) float16, keys (AT = 0) and values (AT = K).
        out: (N, K) float16, gets `factor` · pairs · vectors.
        factor: of the sums.
        N: stride between heads, in tokens.
        POSITIVE: whether negative entries of `pairs`, dropped weights, count as zero.
    """
    tile, b = tl.num_programs(0) - 1 - tl.program_id(0), tl.program_id(1)
    h, c = tl.program_id(2) % H, tl.program_id(2) // H
    first, length = span_of(meta, b)
    if tile * BM >= length:
        return

    # accumulate over the keys up to the tile's last query
    i = tile * BM + tl.arange(0, BM)
    t = first + i
    total = tl.zeros((BM, WC), tl.float32)
    for start in range(0, tl.minimum(tile * BM + BM, length), BN):
        j = start + tl.arange(0, BN)
        mask = (i < length)[:, None] & (j < TS)[None, :]
        own = tl.load(pairs + (h * N + t)[:, None] * TS + j[None, :], mask=mask, other=0.0)
        if POSITIVE:
            own = tl.maximum(own, 0.0).to(pairs.dtype.element_ty)
        values = _vectors(kv, first, length, j, h, c, AT, 2 * K, W, WC)
        total = tl.dot(own, values, total, input_precision="ieee")

    # write
    w = c * WC + tl.arange(0, WC)
    to = out + t[:, None] * K + h * W + w[None, :]
    mask = (i < length)[:, None] & (w < W)[None, :]
    tl.store(to, (total * factor).to(out.dtype.element_ty), mask=mask)


@triton.jit
def attention_backward(
    meta, kv, by_bucket, rows, out, dout, weights, d_scores, sums, N,
    B: tl.constexpr, H: tl.constexpr, T: tl.constexpr, TS: tl.constexpr, W: tl.constexpr,
    WC: tl.constexpr, K: tl.constexpr, R: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    INTERVALS: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Gradients of the unscaled scores of a tile of queries, and their running sums.

    Grid (tiles of T, B, H).

    Args:
        meta: (4, B + 1) int32.
        kv: (N, 2·K) float16, keys and values.
        by_bucket: (H, N, R) float16, dout · E_Vᵀ here.
        rows: (N, TS) int16.
        out, dout: (N, K) float16, what attention gave, and its gradient.
        weights: (H, N, TS) float16, negative where they were dropped.
        d_scores: (H, N, TS) float16, gets `LARGER` times the gradients.
        sums: (H, N, TS) float32, gets their running sums along the keys.
        N: stride between heads, in tokens.
    """
    tile, b, h = tl.num_programs(0) - 1 - tl.program_id(0), tl.program_id(1), tl.program_id(2)
    first, length = span_of(meta, b)
    if tile * BM >= length:
        return

    # the queries
    i = tile * BM + tl.arange(0, BM)
    tokens = (i < length)[:, None]
    t = first + i

    # Σ weights · dweights of a query is dout · out: known before there is a tile of weights
    along = tl.zeros((BM,), tl.float32)
    for c in tl.static_range((W + WC - 1) // WC):
        grad = _vectors(dout, first, length, i, h, c, 0, K, W, WC)
        result = _vectors(out, first, length, i, h, c, 0, K, W, WC)
        along += tl.sum(grad.to(tl.float32) * result.to(tl.float32), 1)

    half = d_scores.dtype.element_ty
    triangle = (tl.arange(0, BN)[:, None] <= tl.arange(0, BN)[None, :]).to(half)

    # over the keys up to the tile's last query
    sofar = tl.zeros((BM,), tl.float32)
    for start in range(0, tl.minimum(tile * BM + BM, length), BN):
        j = start + tl.arange(0, BN)

        # gradient of the weights
        dweight = _pair_products(
            dout, kv, by_bucket, rows, first, length,
            i, j, t, h, tokens, N, K, TS, W, WC, K, R, BM, BN, INTERVALS,
        )  # fmt: skip

        # dropout: what the sign says was dropped has no gradient, but a part in the softmax
        at = (h * N + t)[:, None] * TS + j[None, :]
        mask = tokens & (j < TS)[None, :]
        weight = tl.load(weights + at, mask=mask, other=0.0).to(tl.float32)
        if RATE > 0:
            dweight = tl.where(weight > 0, dweight * (1 / (1 - RATE)), 0.0)
            weight = tl.abs(weight)

        # softmax: ds = a · (da - Σ a · da); rounded after it is made larger
        dscore = (weight * (dweight - along[:, None]) * LARGER).to(half)
        tl.store(d_scores + at, dscore, mask=mask)
        if INTERVALS:
            # running sums, from which `sum_by_bucket` takes those by interval row
            running = tl.dot(dscore, triangle, input_precision="ieee") + sofar[:, None]
            tl.store(sums + at, running, mask=mask)
            sofar += tl.sum(dscore.to(tl.float32), 1)


@triton.jit
def key_value_grad(
    meta, pairs, x, out, factor, N,
    B: tl.constexpr, H: tl.constexpr, T: tl.constexpr, TS: tl.constexpr, W: tl.constexpr,
    WC: tl.constexpr, K: tl.constexpr, AT: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    POSITIVE: tl.constexpr,
):  # fmt: skip
    """`combine` the other way: gradients of keys or values. Grid (tiles of T, B, H · chunks).

    Args:
        meta: (4, B + 1) int32.
        pairs: (H, N, TS) float16, gradients of scores or weights.
        x: (N, K) float16, queries or gradients of what attention gave.
        out: (N, 2·K) float16, gets `factor` · pairsᵀ · x from column AT on.
        factor: of the sums.
        N: stride between heads, in tokens.
        POSITIVE: whether negative entries of `pairs`, dropped weights, count as zero.
    """
    tile, b = tl.program_id(0), tl.program_id(1)
    h, c = tl.program_id(2) % H, tl.program_id(2) // H
    first, length = span_of(meta, b)
    if tile * BN >= length:
        return

    # accumulate over the queries from the tile's first key on, in whole tiles of queries
    j = tile * BN + tl.arange(0, BN)
    total = tl.zeros((BN, WC), tl.float32)
    for start in range(tile * BN // BM * BM, length, BM):
        i = start + tl.arange(0, BM)
        mask = (i < length)[:, None] & (j < TS)[None, :]
        own = tl.load(pairs + (h * N + first + i)[:, None] * TS + j[None, :], mask=mask, other=0.0)
        if POSITIVE:
            own = tl.maximum(own, 0.0).to(pairs.dtype.element_ty)
        values = _vectors(x, first, length, i, h, c, 0, K, W, WC)
        total = tl.dot(tl.trans(own), values, total, input_precision="ieee")

    # write
    w = c * WC + tl.arange(0, WC)
    to = out + (first + j)[:, None] * (2 * K) + AT + h * W + w[None, :]
    mask = (j < length)[:, None] & (w < W)[None, :]
    tl.store(to, (total * factor).to(out.dtype.element_ty), mask=mask)
