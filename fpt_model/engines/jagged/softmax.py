"""Cross-entropy over all items, and its gradients, without scores in memory.

Both kernels go over tiles of scores like attention does. The first keeps a running maximum per
token and leaves the gradient of the features; the second knows each token's sum and leaves the
gradient of the items, in partial sums over tokens. Gradients are of the sum over tokens.
`EXCLUDE_SEEN` leaves out what a user had seen. `SMOOTHING` is the share of a token's target that is
divided evenly among the items that are not left out (label smoothing): a token then also sums up
their vectors, and notes what each item's share is.

Letters: B sequences, N tokens, I items, W width of an item's vector, K columns of features, S of
items; BM tokens and BN items of a tile, WP ≥ W columns.

Arguments of both:

    meta (4, B + 1) int32: see tokens.py
    seen (B, stride): where in its window a user first saw an item, see first_seen.py; read if
        EXCLUDE_SEEN
    sequence (N,) int32: of tokens
    features (N, K) float16, items (I + 1, S) float16: whose products scores are
    targets (N,) int32: the items that came next
    logs (N,) float32: log2 of each token's sum of powers; if SMOOTHING (N, 2), the second each
        item's share of its target
"""

import triton
import triton.language as tl

from fpt_model.engines.jagged.attention import LOG2E
from fpt_model.engines.jagged.first_seen import is_candidate, position_of

# Shares of a smoothed target are too small for a half float where items are many: what is summed up
# by products is so much larger then, and still below the largest half float.
LARGER: tl.constexpr = tl.constexpr(2.0**15)


@triton.jit
def feature_grad(
    meta, seen, sequence, features, items, targets, dfeatures, logs, losses, n_items, stride,
    EXCLUDE_SEEN: tl.constexpr, SMOOTHING: tl.constexpr, B: tl.constexpr, W: tl.constexpr,
    WP: tl.constexpr, K: tl.constexpr, S: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Gradients of features, log2 of each sum, and the sum of losses. Grid (N / BM,).

    Args:
        meta, seen, sequence, features, items, targets: see the top of the file.
        dfeatures: (N, K) float16, gets the features' gradient, zero past the last token.
        logs: (N,) or (N, 2) float32, gets log2 of each token's sum, and each item's share.
        losses: (programs,) float32, gets the sum of a program's losses.
        n_items: I.
        stride: elements from one row of `seen` to the next.
    """
    t = tl.program_id(0) * BM + tl.arange(0, BM)
    w = tl.arange(0, WP)
    here = t < tl.load(meta + B)
    mask = here[:, None] & (w < W)[None, :]

    # load the tokens
    f = tl.load(features + t[:, None] * K + w[None, :], mask=mask, other=0.0)
    target = tl.load(targets + t, mask=here, other=0)
    if EXCLUDE_SEEN:
        place, b = position_of(meta, sequence, t, here)

    # over tiles of items, as online softmax: what was summed up shrinks when a higher score comes
    top = tl.full((BM,), -1e30, tl.float32)
    total = tl.zeros((BM,), tl.float32)
    mean = tl.zeros((BM, WP), tl.float32)
    if SMOOTHING > 0:
        count = tl.zeros((BM,), tl.float32)
        every = tl.zeros((BM, WP), tl.float32)
    for start in tl.range(0, n_items + 1, BN):
        item = start + tl.arange(0, BN)
        real = (item > 0) & (item <= n_items)
        at = item[:, None] * S + w[None, :]
        vectors = tl.load(items + at, mask=real[:, None] & (w < W)[None, :], other=0.0)

        # scores; what is no candidate gets no part
        scores = tl.dot(f, tl.trans(vectors), input_precision="ieee") * LOG2E
        counts = real[None, :]
        if EXCLUDE_SEEN:
            rival = is_candidate(
                seen, b[:, None], place[:, None], target[:, None], item[None, :], stride
            )
            counts = counts & rival
        scores = tl.where(counts, scores, -1e30)

        # softmax
        higher = tl.maximum(top, tl.max(scores, 1))
        share = tl.exp2(scores - higher[:, None])
        shrink = tl.exp2(top - higher)
        total = total * shrink + tl.sum(share, 1)

        # accumulate the mean of the items' vectors by probability: the score's gradient
        mean = tl.dot(share.to(f.dtype), vectors, mean * shrink[:, None], input_precision="ieee")
        top = higher

        # and the sum of the candidates' vectors
        if SMOOTHING > 0:
            one = tl.where(tl.broadcast_to(counts, (BM, BN)), 1.0, 0.0)
            count += tl.sum(one, 1)
            every = tl.dot(one.to(f.dtype), vectors, every, input_precision="ieee")

    # the target's score and vector, and the loss
    own = tl.load(items + target[:, None] * S + w[None, :], mask=mask, other=0.0).to(tl.float32)
    log = top + tl.log2(total)
    if SMOOTHING > 0:  # of the target, and of all evenly
        even = SMOOTHING / tl.maximum(count, 1.0)
        own = own * (1 - SMOOTHING) + every * even[:, None]
    reached = tl.sum(own * f.to(tl.float32), 1)
    loss = tl.sum(tl.where(here, log / LOG2E - reached, 0.0), 0)

    # df = mean - own; write
    grad = tl.where(mask, mean / total[:, None] - own, 0.0)
    to = dfeatures + t[:, None] * K + w[None, :]
    tl.store(to, grad.to(dfeatures.dtype.element_ty), mask=(t >= 0)[:, None] & (w < W)[None, :])
    tl.store(logs + (2 * t if SMOOTHING > 0 else t), tl.where(here, log, 1e30))
    if SMOOTHING > 0:
        tl.store(logs + 2 * t + 1, tl.where(here, even, 0.0))
    tl.store(losses + tl.program_id(0), loss)


@triton.jit
def item_grad(
    meta, seen, sequence, features, items, targets, logs, parts, n_items, stride,
    EXCLUDE_SEEN: tl.constexpr, SMOOTHING: tl.constexpr, B: tl.constexpr, W: tl.constexpr,
    WP: tl.constexpr, K: tl.constexpr, S: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Gradients of a tile of items over the program's share of tokens. Grid (items / BN, splits).

    Args:
        meta, seen, sequence, features, items, targets: see the top of the file.
        logs: (N,) or (N, 2) float32, as `feature_grad` left them.
        parts: (splits, I + 1, S) float32, gets partial sums.
        n_items: I.
        stride: elements from one row of `seen` to the next.
    """
    split = tl.program_id(1)
    item = tl.program_id(0) * BN + tl.arange(0, BN)
    w = tl.arange(0, WP)
    n = tl.load(meta + B)

    # load the items; each program takes a share of the tokens in whole tiles
    share = tl.cdiv(tl.cdiv(n, tl.num_programs(1)), BM) * BM
    real = (item > 0) & (item <= n_items)
    at = item[:, None] * S + w[None, :]
    vectors = tl.load(items + at, mask=real[:, None] & (w < W)[None, :], other=0.0)

    # over the share's tokens
    grad = tl.zeros((BN, WP), tl.float32)
    for start in tl.range(split * share, tl.minimum(split * share + share, n), BM):
        t = start + tl.arange(0, BM)
        f = tl.load(features + t[:, None] * K + w[None, :], mask=(w < W)[None, :], other=0.0)
        # of a token that is not there, so large that its part is zero
        log = tl.load(logs + (2 * t if SMOOTHING > 0 else t))
        target = tl.load(targets + t, mask=t < n, other=-1)

        # probabilities: the sum is known, so one pass is enough
        scores = tl.dot(vectors, tl.trans(f), input_precision="ieee") * LOG2E
        part = tl.exp2(scores - log[None, :])
        if SMOOTHING > 0:
            part -= tl.load(logs + 2 * t + 1)[None, :]
        if EXCLUDE_SEEN:
            place, b = position_of(meta, sequence, t, t < n)
            rival = is_candidate(
                seen, b[None, :], place[None, :], target[None, :], item[:, None], stride
            )
            part = tl.where(rival, part, 0.0)

        # the target's gradient is its probability less its share; accumulate
        part = tl.where(item[:, None] == target[None, :], part - (1 - SMOOTHING), part)
        if SMOOTHING > 0:
            part *= LARGER
        grad = tl.dot(part.to(f.dtype), f, grad, input_precision="ieee")

    # write
    to = parts + split * (n_items + 1) * S + at
    grad = tl.where(real[:, None], grad, 0.0)
    if SMOOTHING > 0:
        grad *= 1 / LARGER
    tl.store(to, grad, mask=(item <= n_items)[:, None] & (w < W)[None, :])
