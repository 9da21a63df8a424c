"""Interval attention: rows of the table, and the fast form against the one on paper."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fpt_model import intervals
from fpt_model.intervals import (
    attention_weights,
    interval_attention,
    interval_rows,
    naive_interval_attention,
    near_pairs,
    overflow_edges,
    scaled_intervals,
)


def draw(seed: int, batch: int, heads: int, length: int, width: int, time_span: int, padded: int):
    """Leaves q, k, v and both tables; a mask, rows and near pairs as the encoder makes them."""
    g = torch.Generator().manual_seed(seed)
    edges = torch.tensor([2 * time_span + 1, 4 * time_span + 2])
    shapes = [(batch, heads, length, width)] * 3 + [(heads, time_span + 3, width)] * 2
    leaves = [
        torch.randn(shape, generator=g, dtype=torch.float64).requires_grad_() for shape in shapes
    ]
    gaps = torch.randint(0, 3 * time_span, (batch, length + 1), generator=g)
    times, later = gaps.cumsum(1)[:, :-1], gaps.cumsum(1)[:, 1:]
    scales = torch.randint(1, 4, (batch,), generator=g)
    paddings = torch.randint(0, padded + 1, (batch,), generator=g)
    real = torch.arange(length) >= paddings[:, None]
    asked = later.where(real, times) if seed % 2 else times
    rows = interval_rows(scaled_intervals(asked, times, scales), time_span, edges)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    itself = torch.eye(length, dtype=torch.bool)
    mask = (causal & real[:, None, :] | itself)[:, None]
    near = near_pairs(asked, times, scales, paddings, time_span, edges, heads)
    return leaves, mask, rows, near


@given(
    seed=st.integers(0, 2**30),
    batch=st.integers(1, 3),
    heads=st.integers(1, 3),
    length=st.integers(1, 7),
    width=st.integers(1, 5),
    time_span=st.integers(1, 12),
    padded=st.integers(0, 6),
)
@settings(max_examples=60, deadline=None)
def test_the_fast_form_equals_the_papers_forwards_and_backwards(
    seed, batch, heads, length, width, time_span, padded
):
    leaves, mask, rows, near = draw(
        seed, batch, heads, length, width, time_span, min(padded, length - 1)
    )
    q, k, v, *tables = leaves
    fast = interval_attention(q, k, v, mask, near, tuple(tables))
    naive = naive_interval_attention(q, k, v, mask, rows, tuple(tables))
    torch.testing.assert_close(fast, naive, atol=1e-10, rtol=1e-8)
    upstream = torch.randn(fast.shape, dtype=torch.float64)
    ours = torch.autograd.grad(fast, leaves, upstream)
    papers = torch.autograd.grad(naive, leaves, upstream)
    for one, other in zip(ours, papers, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-8)


def test_both_forms_equal_a_loop_over_pairs():
    (q, k, v, keys, values), mask, rows, near = draw(4, 2, 2, 5, 3, 4, 3)
    expected = torch.zeros_like(q)
    for b in range(2):
        for h in range(2):
            for i in range(5):
                seen = [j for j in range(5) if mask[b, 0, i, j]]
                pairs = {j: rows[b, i, j] for j in seen}
                logits = [q[b, h, i] @ (k[b, h, j] + keys[h, pairs[j]]) / 3**0.5 for j in seen]
                weights = torch.stack(logits).softmax(0)
                expected[b, h, i] = sum(
                    weight * (v[b, h, j] + values[h, pairs[j]])
                    for weight, j in zip(weights, seen, strict=True)
                )
    for form, pairs in ((interval_attention, near), (naive_interval_attention, rows)):
        torch.testing.assert_close(form(q, k, v, mask, pairs, (keys, values)), expected)


@pytest.mark.parametrize("scores", [1, 60, 2**30])
def test_parts_of_the_batch_change_nothing(scores, monkeypatch):
    monkeypatch.setattr(intervals, "PART", scores)
    leaves, mask, rows, near = draw(9, 5, 2, 4, 3, 6, 2)
    assert len(near) == {1: 5, 60: 5, 2**30: 1}[scores]
    q, k, v, *tables = leaves
    fast = interval_attention(q, k, v, mask, near, tuple(tables))
    naive = naive_interval_attention(q, k, v, mask, rows, tuple(tables))
    torch.testing.assert_close(fast, naive)
    for one, other in zip(
        torch.autograd.grad(fast.square().sum(), leaves),
        torch.autograd.grad(naive.square().sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_slopes_are_those_of_differences(rate):
    leaves, mask, _, near = draw(2, 2, 2, 4, 3, 5, 1)

    def attend(q, k, v, *tables):
        torch.manual_seed(5)  # the same are dropped each time
        return interval_attention(q, k, v, mask, near, tables, rate)

    assert torch.autograd.gradcheck(attend, leaves)


def test_dropout_takes_whole_pairs_and_scales_the_rest():
    (q, k, v, keys, values), mask, _, near = draw(6, 300, 1, 1, 3, 5, 0)
    whole = interval_attention(q, k, v, mask, near, (keys, values))
    dropped = interval_attention(q, k, v, mask, near, (keys, values), 0.25)
    kept = dropped.abs().sum(3) > 0  # who sees only itself is dropped or scaled
    assert 0.6 < kept.double().mean().item() < 0.9
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.75)


@pytest.mark.parametrize("latest", [1, 3])
def test_the_latest_queries_alone_give_their_rows(latest):
    leaves, mask, *_ = draw(8, 3, 2, 6, 3, 5, 3)
    q, k, v, *tables = leaves
    g = torch.Generator().manual_seed(1)
    times = torch.randint(0, 9, (3, 6), generator=g).cumsum(1)
    known = (times, times, torch.ones(3, dtype=torch.int64), torch.tensor([0, 2, 3]), 5)
    edges = torch.tensor([11, 22])
    every = near_pairs(*known, edges, heads=2)
    few = near_pairs(*known, edges, heads=2, latest=latest)
    real = torch.arange(6) >= known[2][:, None]
    mask = (mask[0, 0].new_ones(6, 6).tril() & real[:, None] | torch.eye(6).bool())[:, None]
    whole = interval_attention(q, k, v, mask, every, tuple(tables))
    part = interval_attention(q[:, :, -latest:], k, v, mask[:, :, -latest:], few, tuple(tables))
    torch.testing.assert_close(part, whole[:, :, -latest:])


def test_every_row_of_the_drawn_intervals_is_within_the_table():
    seen = set()
    for seed in range(30):
        _, _, rows, _ = draw(seed, 3, 1, 7, 2, 3, 2)
        seen |= set(rows.flatten().tolist())
    assert seen == {0, 1, 2, 3, 4, 5}  # 0 to time_span, and two beyond


def test_what_is_masked_has_no_weight_and_the_rest_sums_to_one():
    (q, k, *_), mask, *_ = draw(1, 2, 2, 6, 3, 4, 4)
    weights = attention_weights(q, k, mask)
    assert (weights[~mask.expand_as(weights)] == 0).all()
    torch.testing.assert_close(weights.sum(3), torch.ones(2, 2, 6, dtype=torch.float64))


def test_dropout_scales_what_is_left():
    (q, k, *_), mask, *_ = draw(1, 2, 2, 6, 3, 4, 0)
    whole, dropped = attention_weights(q, k, mask), attention_weights(q, k, mask, rate=0.5)
    left = dropped > 0
    assert 0 < left.sum() < (whole > 0).sum()
    torch.testing.assert_close(dropped[left], 2 * whole[left])


def test_intervals_are_whole_multiples_of_the_users_scale():
    times = torch.tensor([[0, 59, 60, 200], [0, 59, 60, 200]])
    intervals = scaled_intervals(times, times, torch.tensor([60, 1]))
    assert intervals[0].tolist() == [[0, 0, 1, 3], [0, 0, 0, 2], [1, 0, 0, 2], [3, 2, 2, 0]]
    assert intervals[1, 0].tolist() == [0, 59, 60, 200]


@pytest.mark.parametrize(
    ("edges", "expected"),
    [([], [0, 3, 4, 4, 4, 4, 4]), ([6, 10], [0, 3, 4, 4, 5, 6, 6])],
)
def test_rows_are_exact_then_clipped_then_divided_by_the_edges(edges, expected):
    intervals = torch.tensor([0, 3, 4, 5, 6, 10, 10**12])
    assert interval_rows(intervals, 4, torch.tensor(edges, dtype=torch.int64)).tolist() == expected


def test_edges_are_quantiles_of_the_training_intervals_past_the_clip(
    user, make_sequences, small_config
):
    # Training gaps 1 and 20, 30, 40, 50 s; held-out gaps of 10^6 s must not be seen.
    rows = [
        user([1, 2, 3, 4], times=[0, gap, 10**6, 2 * 10**6], time_scale=1)
        for gap in (1, 20, 30, 40, 50)
    ]
    sequences = make_sequences([row | {"weeks": [1] * 4} for row in rows], 4)
    config = small_config("tisasrec_plus", time_span=16)
    assert overflow_edges(sequences, config).tolist() == [30, 40, 50]
    assert overflow_edges(sequences, small_config("tisasrec")).tolist() == []
    far = small_config("tisasrec_plus", time_span=60)
    assert overflow_edges(sequences, far).tolist() == []


def test_edges_that_coincide_are_one(user, make_sequences, small_config):
    sequences = make_sequences([user([1, 2, 3, 4], times=[5, 95, 96, 97], time_scale=1)] * 4, 4)
    assert overflow_edges(sequences, small_config("tisasrec_plus")).tolist() == [90]


def test_only_intervals_within_a_window_make_edges(user, make_sequences, small_config):
    times = [0, *range(10_000, 10_010)]
    sequences = make_sequences([user(list(range(1, 12)), times=times, time_scale=1)], 12)
    assert overflow_edges(sequences, small_config("tisasrec_plus", max_length=8)).tolist() == []
    whole = overflow_edges(sequences, small_config("tisasrec_plus", max_length=9))
    assert whole.tolist() == [10_002, 10_004, 10_006]  # quarters of 10 000 … 10 007
