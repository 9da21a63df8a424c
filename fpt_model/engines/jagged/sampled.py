"""Binary cross-entropy against one sampled item, and the group loss, with their gradients.

Gradients are of sums over tokens. Letters: N tokens, W width, K columns, S of items, P pairs.
"""

import triton
import triton.language as tl

from fpt_model.engines.gpu.groups import group_pairs
from fpt_model.engines.gpu.losses import bce
from fpt_model.engines.gpu.negatives import draw_negatives
from fpt_model.engines.gpu.rng import NEGATIVE, bits
from fpt_model.engines.jagged.tokens import USER, add_fixed_point, words


@triton.jit
def sampled_bce_backward(
    meta, key, features, flat, o_items, targets, sequence, negatives, gaps, firsts, counts,
    dfeatures, embedding_grads, losses, n_items,
    B: tl.constexpr, W: tl.constexpr, WP: tl.constexpr, K: tl.constexpr, S: tl.constexpr,
    BM: tl.constexpr, SEARCH: tl.constexpr,
):  # fmt: skip
    """Negatives, losses, and gradients of features and items. Grid (N / BM,).

    Args:
        meta: (4, B + 1) int32, see tokens.py.
        key: (3,) int64, of random bits.
        features: (N, K) float16.
        flat: (P,) float32, all weights; o_items: where the items begin.
        targets: (N,) int32, the items that came next.
        sequence: (N,) int32, of tokens.
        negatives: (N,) int32, gets the items that were drawn.
        gaps, firsts, counts: see `gpu.negatives.NegativeIndex`.
        dfeatures: (N, K) float16, gets the features' gradient, zero past the last token.
        embedding_grads: (P',) int64, gets the items' gradient.
        losses: (programs,) float32, gets the sum of a program's losses.
        n_items: items are 1 to this.
        SEARCH: steps of a search in `gaps`.
    """
    t = tl.program_id(0) * BM + tl.arange(0, BM)
    w = tl.arange(0, WP)
    here = t < tl.load(meta + B)
    mask = here[:, None] & (w < W)[None, :]

    # draw an item that is new to each token's user
    key1, key2 = words(key)
    number = tl.load(sequence + t, mask=here, other=0)
    owner = tl.load(meta + USER * (B + 1) + number, mask=here, other=1)
    first = tl.load(firsts + owner - 1, mask=here, other=0)
    count = tl.load(counts + owner - 1, mask=here, other=0)
    drawn = bits(key1, key2, NEGATIVE, t)
    drawn = draw_negatives(drawn, gaps, first, count, n_items, SEARCH)
    tl.store(negatives + t, drawn, mask=here)

    # load features and both items' vectors
    target = tl.load(targets + t, mask=here, other=0)
    f = tl.load(features + t[:, None] * K + w[None, :], mask=mask, other=0.0).to(tl.float32)
    good = o_items + target[:, None] * S + w[None, :]
    bad = o_items + drawn[:, None] * S + w[None, :]
    right, wrong = (tl.load(flat + good, mask=mask, other=0.0),
                    tl.load(flat + bad, mask=mask, other=0.0))  # fmt: skip

    # scores, their gradients and losses
    wins, fails = tl.sum(f * right, 1), tl.sum(f * wrong, 1)
    loss, up, down = bce(wins, fails)
    loss = tl.where(here, loss, 0.0)
    tl.store(losses + tl.program_id(0), tl.sum(loss, 0))

    # gradients of features, of items
    grad = tl.where(mask, up[:, None] * right + down[:, None] * wrong, 0.0)
    to = dfeatures + t[:, None] * K + w[None, :]
    tl.store(to, grad.to(dfeatures.dtype.element_ty), mask=(t >= 0)[:, None] & (w < W)[None, :])
    add_fixed_point(embedding_grads, good, up[:, None] * f, mask)
    add_fixed_point(embedding_grads, bad, down[:, None] * f, mask)


@triton.jit
def group_loss_grad(
    meta, key, flat, embedding_grads, o_users, groups, losses, n_users, pairs, margin, weight,
    B: tl.constexpr, W: tl.constexpr, WP: tl.constexpr, S: tl.constexpr, PAIRS: tl.constexpr,
):  # fmt: skip
    """The group loss of some random pairs, once there are groups. Grid (pairs / PAIRS,).

    Gradients are times the number of tokens, by which all gradients are divided in the end.

    Args:
        meta: (4, B + 1) int32; its last column says how many tokens there are.
        key: (3,) int64, of random bits.
        flat: (P,) float32, all weights; o_users: where the users begin.
        embedding_grads: (P',) int64, gets the users' gradient.
        groups: (n_users + 1,) int64, of users; -1 while there are none.
        losses: (programs,) float32, gets the sum of a program's weighted losses.
        n_users, pairs: users are 1 to this, and pairs of a step.
        margin, weight: of the group loss.
    """
    pair = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    key1, key2 = words(key)
    count = tl.load(meta + B).to(tl.float32)
    loss, at_x, at_y, dx, dy, mask = group_pairs(
        flat + o_users, groups, key1, key2, pair, n_users, pairs, margin, weight, count, W, WP, S
    )
    add_fixed_point(embedding_grads + o_users, at_x, dx, mask)
    add_fixed_point(embedding_grads + o_users, at_y, dy, mask)
    tl.store(losses + tl.program_id(0), tl.sum(loss, 0))
