"""Sums over pairs of queries and rows against dense products."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fpt_model import pairs as pairs_module
from fpt_model.pairs import PairProducts, Pairs, sums_by_query, sums_by_row


def draw(seed: int, n_queries: int, n_rows: int, width: int):
    """Pairs with queries without any, and rows more than once; queries and table in float64."""
    g = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 4, (n_queries,), generator=g)
    counts[0] += 1
    queries = torch.arange(n_queries).repeat_interleave(counts)
    rows = torch.randint(0, n_rows, (len(queries),), generator=g)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    pairs = Pairs(rows.int(), starts.int(), queries.int(), n_rows)
    x, table, weights = (
        torch.randn(*shape, generator=g, dtype=torch.float64)
        for shape in ((n_queries, width), (n_rows, width), (len(rows),))
    )
    return pairs, x.requires_grad_(), table.requires_grad_(), weights


@given(
    seed=st.integers(0, 2**30),
    n_queries=st.integers(1, 6),
    n_rows=st.integers(1, 6),
    width=st.integers(1, 5),
)
@settings(max_examples=40, deadline=None)
def test_products_and_sums_are_those_of_copied_rows(seed, n_queries, n_rows, width):
    pairs, x, table, weights = draw(seed, n_queries, n_rows, width)
    queries, rows = pairs.queries.long(), pairs.rows.long()
    products = PairProducts.apply(x, table, pairs)
    torch.testing.assert_close(products, (x[queries] * table[rows]).sum(1))
    by_query, by_row = torch.zeros_like(x), torch.zeros_like(table)
    by_query = by_query.index_add(0, queries, weights[:, None] * table[rows])
    by_row = by_row.index_add(0, rows, weights[:, None] * x[queries])
    with torch.no_grad():
        torch.testing.assert_close(sums_by_query(pairs, weights, table), by_query)
        torch.testing.assert_close(sums_by_row(pairs, weights, x), by_row)
    assert torch.autograd.gradcheck(
        lambda x, table: PairProducts.apply(x, table, pairs), (x, table)
    )


def test_a_row_of_many_pairs_is_summed_in_bags(monkeypatch):
    monkeypatch.setattr(pairs_module, "BAG", 3)
    pairs, x, table, weights = draw(3, 40, 2, 3)
    rows, queries = pairs.rows.long(), pairs.queries.long()
    assert len(rows) > 30
    expected = torch.zeros_like(table).index_add(0, rows, weights[:, None] * x[queries])
    with torch.no_grad():
        torch.testing.assert_close(sums_by_row(pairs, weights, x), expected)


def test_tables_of_more_rows_than_two_bytes_number():
    pairs = Pairs(
        torch.tensor([70_000, 3, 40_000], dtype=torch.int32),
        torch.tensor([0, 2, 3], dtype=torch.int32),
        torch.tensor([0, 0, 1], dtype=torch.int32),
        70_001,
    )
    sums = sums_by_row(pairs, torch.tensor([1.0, 2.0, 4.0]), torch.tensor([[1.0], [10.0]]))
    assert {row: sums[row].item() for row in sums.nonzero()[:, 0].tolist()} == {
        3: 2.0,
        40_000: 40.0,
        70_000: 1.0,
    }
