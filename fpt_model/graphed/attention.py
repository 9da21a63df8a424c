"""Interval attention over windows that lie one after the other, forwards and back.

The sums over interval rows are products with the tables before and after these kernels (see
`fpt_model.intervals`):

    by_row = q · E_Kᵀ        gathered here, by the row of each pair
    on_rows                  attention weights summed by row, here; times E_V afterwards

Rows descend along the keys of a query since times ascend, so the tokens of row r are neighbours:
`on_rows` is a difference of two running sums at places that `counts` knows (tokens.row_counts), and
nothing has to be added atomically. Running sums of a tile are a product with a triangle of ones.

Letters: N tokens, H heads, T sequence, W width of a head, K columns, R columns of by_row, C of
counts. A tile is BM queries by BM keys.
"""

import triton
import triton.language as tl

from fpt_model.fused.chance import kept
from fpt_model.graphed.tokens import SCALE, words

LOG2E: tl.constexpr = tl.constexpr(1.4426950408889634)
# Slopes of scores are small beside half precision's least number: they are kept so many times larger
LARGER: tl.constexpr = tl.constexpr(256.0)


@triton.jit
def _pair_rows(time_i, time_j, scale, edges, SPAN: tl.constexpr, EDGES: tl.constexpr):
    """Rows of the interval tables for a tile of pairs; see `intervals.interval_rows`."""
    interval = tl.maximum(time_i[:, None] - time_j[None, :], 0) // scale
    row = tl.minimum(interval, SPAN)
    for edge in tl.static_range(EDGES):
        row += (interval >= tl.load(edges + edge)).to(tl.int32)
    return row


@triton.jit
def _vectors(
    x, places, first, length, j, h, AT: tl.constexpr, STRIDE: tl.constexpr, T: tl.constexpr,
    W: tl.constexpr, WP: tl.constexpr, K: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Keys or values of tokens j of a sequence, with their positions', (BM, WP)."""
    w = tl.arange(0, WP)
    mask = (j < length)[:, None] & (w < W)[None, :]
    at = (first + j)[:, None] * STRIDE + AT + h * W + w[None, :]
    values = tl.load(x + at, mask=mask, other=0.0)
    if PLACES:
        own = places + (T - length + j)[:, None] * K + h * W + w[None, :]
        values = (values.to(tl.float32) + tl.load(own, mask=mask, other=0.0)).to(values.dtype)
    return values


@triton.jit
def _scores(
    q, kv, places, by_row, times, time_i, edges, first, length, scale, i, j, h, N,
    T: tl.constexpr, H: tl.constexpr, W: tl.constexpr, WP: tl.constexpr, K: tl.constexpr,
    R: tl.constexpr, SPAN: tl.constexpr, EDGES: tl.constexpr, INTERVALS: tl.constexpr,
    FACTOR: tl.constexpr,
):  # fmt: skip
    """Scores of a tile in powers of two, -inf where a query may not look."""
    keys = _vectors(kv, places, first, length, j, h, 0, 2 * K, T, W, WP, K, INTERVALS)
    scores = tl.dot(q, tl.trans(keys), input_precision="ieee")
    seen = (j[None, :] <= i[:, None]) & (j < length)[None, :] & (i < length)[:, None]
    if INTERVALS:
        time_j = tl.load(times + first + j, mask=j < length, other=0)
        row = _pair_rows(time_i, time_j, scale, edges, SPAN, EDGES)
        at = (h * N + first + i)[:, None] * R + row
        scores += tl.load(by_row + at, mask=seen, other=0.0).to(tl.float32)
    return tl.where(seen, scores * FACTOR, float("-inf"))


@triton.jit
def _by_rows(
    sums, counts, out, first, length, i, h, N,
    T: tl.constexpr, R: tl.constexpr, C: tl.constexpr, BM: tl.constexpr, BR: tl.constexpr,
):  # fmt: skip
    """Running sums (N, T) to sums by row, (N, R)."""
    t = first + i
    for start in range(0, R, BR):
        r = start + tl.arange(0, BR)
        here = (i < length)[:, None] & (r < R)[None, :]
        at = t[:, None] * C + r[None, :]
        upper = tl.load(counts + at, mask=here, other=0).to(tl.int32)
        lower = tl.load(counts + at + 1, mask=here & (r + 1 < C)[None, :], other=0).to(tl.int32)
        some = here & (upper > lower)
        own = sums + (h * N + t)[:, None] * T - 1
        value = tl.load(own + upper, mask=some, other=0.0)
        value -= tl.load(own + lower, mask=some & (lower > 0), other=0.0)
        to = out + (h * N + t)[:, None] * R + r[None, :]
        tl.store(to, value.to(out.dtype.element_ty), mask=here)


@triton.jit
def attend(
    now, key, q, kv, places, by_row, times, edges, counts, out, weights, sums, on_rows, site, N,
    B: tl.constexpr, H: tl.constexpr, T: tl.constexpr, W: tl.constexpr, WP: tl.constexpr,
    K: tl.constexpr, R: tl.constexpr, C: tl.constexpr, SPAN: tl.constexpr, EDGES: tl.constexpr,
    BM: tl.constexpr, BR: tl.constexpr, FACTOR: tl.constexpr, INTERVALS: tl.constexpr,
    RATE: tl.constexpr,
):  # fmt: skip
    """A tile of queries: the weighted sums of values, and the weights by row.

    `weights` (H, N, T) keeps the weights for the way back, negative where they were dropped; `sums`
    (H, N, T) are running sums that nobody needs afterwards.
    """
    tile, b, h = tl.num_programs(0) - 1 - tl.program_id(0), tl.program_id(1), tl.program_id(2)
    first = tl.load(now + b)
    length = tl.load(now + b + 1) - first
    if tile * BM >= length:
        return
    scale = tl.load(now + SCALE * (B + 1) + b)
    i = tile * BM + tl.arange(0, BM)
    w = tl.arange(0, WP)
    tokens = (i < length)[:, None]
    t = first + i
    queries = tl.load(
        q + t[:, None] * K + h * W + w[None, :], mask=tokens & (w < W)[None, :], other=0.0
    )
    time_i = tl.load(times + t, mask=i < length, other=0)
    end = tl.minimum(tile * BM + BM, length)
    top = tl.full((BM,), -1e30, tl.float32)
    total = tl.zeros((BM,), tl.float32)
    for start in range(0, end, BM):
        j = start + tl.arange(0, BM)
        scores = _scores(
            queries, kv, places, by_row, times, time_i, edges, first, length, scale, i, j, h, N,
            T, H, W, WP, K, R, SPAN, EDGES, INTERVALS, FACTOR,
        )  # fmt: skip
        higher = tl.maximum(top, tl.max(scores, 1))
        total = total * tl.exp2(top - higher) + tl.sum(tl.exp2(scores - higher[:, None]), 1)
        top = higher
    least = top + tl.log2(tl.where(total > 0, total, 1.0))
    key1, key2 = words(key)
    triangle = (tl.arange(0, BM)[:, None] <= tl.arange(0, BM)[None, :]).to(queries.dtype)
    sofar = tl.zeros((BM,), tl.float32)
    summed = tl.zeros((BM, WP), tl.float32)
    for start in range(0, end, BM):
        j = start + tl.arange(0, BM)
        scores = _scores(
            queries, kv, places, by_row, times, time_i, edges, first, length, scale, i, j, h, N,
            T, H, W, WP, K, R, SPAN, EDGES, INTERVALS, FACTOR,
        )  # fmt: skip
        weight = tl.exp2(scores - least[:, None]).to(queries.dtype).to(tl.float32)
        at = (h * N + t)[:, None] * T + j[None, :]
        mask = tokens & (j < length)[None, :]
        signed = weight
        if RATE > 0:
            factor = kept(key1, key2, site, at, RATE)
            signed = tl.where(factor > 0, weight, -weight)
            weight *= factor
        tl.store(weights + at, signed.to(weights.dtype.element_ty), mask=mask)
        weight = weight.to(queries.dtype)
        values = _vectors(kv, places + T * K, first, length, j, h, K, 2 * K, T, W, WP, K, INTERVALS)
        summed = tl.dot(weight, values, summed, input_precision="ieee")
        if INTERVALS:
            running = tl.dot(weight, triangle, input_precision="ieee") + sofar[:, None]
            tl.store(sums + at, running, mask=mask)
            sofar += tl.sum(weight.to(tl.float32), 1)
    to = out + t[:, None] * K + h * W + w[None, :]
    tl.store(to, summed.to(out.dtype.element_ty), mask=tokens & (w < W)[None, :])
    if INTERVALS:
        tl.debug_barrier()
        _by_rows(sums, counts, on_rows, first, length, i, h, N, T, R, C, BM, BR)


@triton.jit
def clear_tail(x, n, limit, STRIDE: tl.constexpr, BLOCK: tl.constexpr):
    """Zero rows n to `limit` of x (N, STRIDE)."""
    for start in range(n * STRIDE, limit * STRIDE, BLOCK):
        at = start + tl.arange(0, BLOCK)
        tl.store(x + at, tl.zeros((BLOCK,), x.dtype.element_ty), mask=at < limit * STRIDE)


@triton.jit
def query_slopes(
    now, kv, places, by_row, times, edges, counts, out, dout, weights, slopes, sums, dq, on_rows, N, LIMIT,
    B: tl.constexpr, H: tl.constexpr, T: tl.constexpr, W: tl.constexpr, WP: tl.constexpr,
    K: tl.constexpr, R: tl.constexpr, C: tl.constexpr, SPAN: tl.constexpr, EDGES: tl.constexpr,
    BM: tl.constexpr, BR: tl.constexpr, ROOT: tl.constexpr, INTERVALS: tl.constexpr,
    RATE: tl.constexpr,
):  # fmt: skip
    """Back to a tile of queries; `by_row` is dout · E_Vᵀ here.

    `slopes` (H, N, T) and `on_rows` (H, N, R) get the slopes of unscaled scores, `LARGER` times, by
    pair and by row. Sequence B stands for the tokens that are not there, up to LIMIT.
    """
    tile, b, h = tl.num_programs(0) - 1 - tl.program_id(0), tl.program_id(1), tl.program_id(2)
    first = tl.load(now + b)
    if b == B:
        if tile == 0:
            if h == 0:
                clear_tail(dq, first, LIMIT, K, 1024)
            if INTERVALS:
                clear_tail(on_rows + h * N * R, first, LIMIT, R, 1024)
        return
    length = tl.load(now + b + 1) - first
    if tile * BM >= length:
        return
    scale = tl.load(now + SCALE * (B + 1) + b)
    i = tile * BM + tl.arange(0, BM)
    w = tl.arange(0, WP)
    tokens = (i < length)[:, None]
    t = first + i
    own = t[:, None] * K + h * W + w[None, :]
    slope = tl.load(dout + own, mask=tokens & (w < W)[None, :], other=0.0)
    result = tl.load(out + own, mask=tokens & (w < W)[None, :], other=0.0)
    along = tl.sum(slope.to(tl.float32) * result.to(tl.float32), 1)
    time_i = tl.load(times + t, mask=i < length, other=0)
    triangle = (tl.arange(0, BM)[:, None] <= tl.arange(0, BM)[None, :]).to(slope.dtype)
    sofar = tl.zeros((BM,), tl.float32)
    summed = tl.zeros((BM, WP), tl.float32)
    for start in range(0, tl.minimum(tile * BM + BM, length), BM):
        j = start + tl.arange(0, BM)
        seen = (j[None, :] <= i[:, None]) & (j < length)[None, :] & tokens
        values = _vectors(kv, places + T * K, first, length, j, h, K, 2 * K, T, W, WP, K, INTERVALS)
        dweight = tl.dot(slope, tl.trans(values), input_precision="ieee")
        if INTERVALS:
            time_j = tl.load(times + first + j, mask=j < length, other=0)
            row = _pair_rows(time_i, time_j, scale, edges, SPAN, EDGES)
            at = (h * N + t)[:, None] * R + row
            dweight += tl.load(by_row + at, mask=seen, other=0.0).to(tl.float32)
        at = (h * N + t)[:, None] * T + j[None, :]
        weight = tl.load(weights + at, mask=seen, other=0.0).to(tl.float32)
        if RATE > 0:
            dweight = tl.where(weight > 0, dweight * (1 / (1 - RATE)), 0.0)
            weight = tl.abs(weight)
        dscore = (weight * (dweight - along[:, None]) * LARGER).to(slope.dtype)
        tl.store(slopes + at, dscore, mask=tokens & (j < length)[None, :])
        keys = _vectors(kv, places, first, length, j, h, 0, 2 * K, T, W, WP, K, INTERVALS)
        summed = tl.dot(dscore, keys, summed, input_precision="ieee")
        if INTERVALS:
            running = tl.dot(dscore, triangle, input_precision="ieee") + sofar[:, None]
            tl.store(sums + at, running, mask=tokens & (j < length)[None, :])
            sofar += tl.sum(dscore.to(tl.float32), 1)
    summed *= ROOT / LARGER
    tl.store(dq + own, summed.to(dq.dtype.element_ty), mask=tokens & (w < W)[None, :])
    if INTERVALS:
        tl.debug_barrier()
        _by_rows(sums, counts, on_rows, first, length, i, h, N, T, R, C, BM, BR)


@triton.jit
def key_slopes(
    now, q, dout, weights, slopes, dkv, N, LIMIT,
    B: tl.constexpr, H: tl.constexpr, T: tl.constexpr, W: tl.constexpr, WP: tl.constexpr,
    K: tl.constexpr, BM: tl.constexpr, ROOT: tl.constexpr, RATE: tl.constexpr,
):  # fmt: skip
    """Back to a tile of keys and values, from what `attend` and `query_slopes` kept of each pair."""
    tile, b, h = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    first = tl.load(now + b)
    if b == B:
        if (tile == 0) & (h == 0):
            clear_tail(dkv, first, LIMIT, 2 * K, 1024)
        return
    length = tl.load(now + b + 1) - first
    if tile * BM >= length:
        return
    j = tile * BM + tl.arange(0, BM)
    w = tl.arange(0, WP)
    dkeys, dvalues = tl.zeros((BM, WP), tl.float32), tl.zeros((BM, WP), tl.float32)
    for start in range(tile * BM, length, BM):
        i = start + tl.arange(0, BM)
        t = first + i
        seen = (j[None, :] <= i[:, None]) & (i < length)[:, None]
        at = (h * N + t)[:, None] * T + j[None, :]
        weight = tl.load(weights + at, mask=seen, other=0.0)
        if RATE > 0:
            weight = tl.where(weight > 0, weight.to(tl.float32) * (1 / (1 - RATE)), 0.0)
            weight = weight.to(weights.dtype.element_ty)
        own = t[:, None] * K + h * W + w[None, :]
        mask = (i < length)[:, None] & (w < W)[None, :]
        slope = tl.load(dout + own, mask=mask, other=0.0)
        dvalues = tl.dot(tl.trans(weight), slope, dvalues, input_precision="ieee")
        dscore = tl.load(slopes + at, mask=seen, other=0.0)
        queries = tl.load(q + own, mask=mask, other=0.0)
        dkeys = tl.dot(tl.trans(dscore), queries, dkeys, input_precision="ieee")
    dkeys *= ROOT / LARGER
    mask = (j < length)[:, None] & (w < W)[None, :]
    to = dkv + (first + j)[:, None] * (2 * K) + h * W + w[None, :]
    tl.store(to, dkeys.to(dkv.dtype.element_ty), mask=mask)
    tl.store(to + K, dvalues.to(dkv.dtype.element_ty), mask=mask)
