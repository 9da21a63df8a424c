"""Sums over chosen (query, row) pairs of two matrices, without a copy of the rows for each pair.

A query looks at few rows of a table: of the intervals, of the items. Copies of the rows would be
the (B, T, T, D) tensors of the papers, and products with every row ten times the arithmetic.
PyTorch has the sums that are needed, for weighted bags of embeddings.

Letters: Q queries, R rows of the table, P pairs, W width.
"""

import warnings
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Pairs(NamedTuple):
    """Which query looks at which rows.

    Attributes:
        rows: (P,) int32, row of each pair; the pairs of a query stand together, queries in order.
        starts: (Q + 1,) int32, where each query's pairs start.
        queries: (P,) int32, query of each pair.
        n_rows: R.
    """

    rows: Tensor
    starts: Tensor
    queries: Tensor
    n_rows: int


def products(pairs: Pairs, queries: Tensor, table: Tensor) -> Tensor:
    """Of each pair: queries (Q, W) and table (R, W) to (P,). No gradient."""
    if len(pairs.rows) > len(queries) * len(table):  # some come again: no sparse matrix has them
        at = pairs.queries.long() * len(table) + pairs.rows
        return (queries @ table.T).flatten().index_select(0, at)
    asked = _sparse(pairs, queries.new_zeros(len(pairs.rows)))
    return torch.sparse.sampled_addmm(asked, queries, table.T, beta=0.0).values()


def _sparse(pairs: Pairs, values: Tensor) -> Tensor:
    """A matrix (Q, R) with a value (P,) at each pair."""
    return torch.sparse_csr_tensor(
        pairs.starts,
        pairs.rows,
        values,
        (len(pairs.starts) - 1, pairs.n_rows),
        check_invariants=False,
    )


def _say_nothing_of_beta() -> None:
    """PyTorch warns at a process's first sparse matrix, of functions that are not used here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        none = torch.zeros(1, dtype=torch.int32)
        _sparse(Pairs(none[:0], none.expand(2), none[:0], 1), torch.zeros(0))


_say_nothing_of_beta()


def sums_by_query(pairs: Pairs, weights: Tensor, table: Tensor) -> Tensor:
    """Weights (P,) times the rows (R, W) they belong to, added up by query: (Q, W)."""
    return bags(pairs.rows, table, pairs.starts, weights)


def bags(ids: Tensor, table: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
    """Chosen rows (P,) of a table (R, W) times their weights (P,), added up between starts."""
    return F.embedding_bag(
        ids, table, starts, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


def products_of_each(queries: Tensor, table: Tensor, rows: Tensor) -> Tensor:
    """Products of each query (Q, W) with rows (Q, C) of its own of a table (R, W): (Q, C)."""
    count, each = rows.shape
    query = torch.arange(count + 1, dtype=torch.int32)
    pairs = Pairs(
        rows.flatten().int(), query * each, query[:-1].repeat_interleave(each), len(table)
    )
    return products(pairs, queries, table).view_as(rows)
