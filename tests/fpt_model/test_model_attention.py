"""Interval buckets: which pair is in which, and sums over them in both directions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fpt_model.model.fixed_point import UNIT, bucket_sums, by_bucket, embedding
from fpt_model.model.intervals import interval_rows, overflow_edges, scaled_intervals


def draw(seed: int, batch: int, heads: int, queries: int, keys: int, n: int):
    """Pairs, products with each bucket's row, and the buckets of pairs."""
    g = torch.Generator().manual_seed(seed)
    pairs = torch.randn(batch, heads, queries, keys, generator=g, dtype=torch.float64)
    rows = torch.randn(batch, heads, queries, n, generator=g, dtype=torch.float64)
    buckets = torch.randint(0, n, (batch, 1, queries, keys), generator=g)
    return pairs.requires_grad_(), rows.requires_grad_(), buckets


SIZES = {
    "seed": st.integers(0, 2**30),
    "batch": st.integers(1, 3),
    "heads": st.integers(1, 3),
    "queries": st.integers(1, 4),
    "keys": st.integers(1, 6),
    "n": st.integers(1, 5),
}


@given(**SIZES)
@settings(max_examples=40, deadline=None)
def test_each_pair_finds_its_bucket_and_each_bucket_its_pairs(seed, batch, heads, queries, keys, n):
    pairs, rows, buckets = draw(seed, batch, heads, queries, keys, n)
    one_hot = torch.nn.functional.one_hot(buckets, n).to(pairs.dtype)  # (B, 1, N, T, R)
    torch.testing.assert_close(by_bucket(rows, buckets), (rows[..., None, :] * one_hot).sum(4))
    sums = bucket_sums(pairs, buckets, n)
    torch.testing.assert_close(sums, (pairs[..., None] * one_hot).sum(3))
    assert torch.autograd.gradcheck(by_bucket, (rows, buckets))
    assert torch.autograd.gradcheck(bucket_sums, (pairs, buckets, n))


def test_rows_of_a_table_get_the_sums_of_their_gradients_but_padding_none():
    g = torch.Generator().manual_seed(4)
    table = torch.randn(6, 3, generator=g, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([[0, 2, 2, 5], [2, 1, 0, 5]])
    upstream = torch.randn(2, 4, 3, generator=g, dtype=torch.float64)
    found = embedding(table, ids)
    assert torch.equal(found, table[ids])
    (grad,) = torch.autograd.grad(found, table, upstream)
    expected = torch.zeros(6, 3, dtype=torch.float64)
    for row in (1, 2, 5):
        expected[row] = upstream[ids == row].sum(0)
    torch.testing.assert_close(grad, expected)
    assert not grad[0].any()


def test_sums_are_the_same_to_the_bit_in_any_order():
    pairs, _, buckets = draw(5, 2, 2, 3, 200, 4)
    pairs = pairs.detach().float()
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    shuffled = bucket_sums(pairs[..., order], buckets[..., order], 4)
    assert torch.equal(bucket_sums(pairs, buckets, 4), shuffled)
    one = torch.full((1, 1, 1, 300), 0.1)
    floats = torch.zeros(1)
    for value in one.flatten():
        floats += value
    exact = bucket_sums(one, torch.zeros_like(one, dtype=torch.int64), 1).item()
    # of what 32 bits hold of 0.1, 300 times; floats one after the other are 10 000 times as far off
    expected = 300 * round(one[0, 0, 0, 0].item() / UNIT) * UNIT
    assert exact == torch.tensor(expected).float().item()
    assert abs(floats.item() - expected) > 1e-6


def test_deterministic_algorithms_stay_as_they_were():
    pairs, _, buckets = draw(5, 1, 1, 3, 4, 4)
    torch.set_deterministic_debug_mode("warn")
    bucket_sums(pairs, buckets, 4).sum().backward()
    assert torch.get_deterministic_debug_mode() == 1
    torch.set_deterministic_debug_mode("default")


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
