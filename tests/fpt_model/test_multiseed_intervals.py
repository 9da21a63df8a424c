"""Look-ups of pairs, against a naive loop."""

import pytest
import torch

from fpt_model.data.sequences import SequenceBatch
from fpt_model.engines.multiseed.intervals import FIRST, LAST, buckets

TIMES = [
    [0, 0, 0, 0, 0],  # nothing but padding
    [0, 0, 0, 5, 5],  # padding, and a tie
    [1, 3, 3, 20, 500],
    [0, 100, 200, 300, 400],
]


@pytest.fixture
def windows() -> SequenceBatch:
    times = torch.tensor(TIMES)
    n = len(times)
    items = torch.ones_like(times)
    scales, users = torch.tensor([1, 1, 2, 50]), torch.arange(n) + 1
    return SequenceBatch(items, times, items, items, users, scales, times, torch.zeros(n))


def row_of(gap: int, span: int, edges: list[int]) -> int:
    return min(gap, span) + sum(gap >= edge for edge in edges)


@pytest.mark.parametrize("edges", [[], [12, 300]])
def test_rows_and_their_first_and_last_keys(windows, edges):
    span, length = 10, 8
    before = length - len(TIMES[0])  # windows lie at the end
    found = buckets(windows, torch.tensor(edges, dtype=torch.int64), span, length)
    assert found.shape == (len(TIMES), length, length)
    for n, times in enumerate(TIMES):
        for query, time in enumerate(times):
            gaps = [abs(time - other) // int(windows.scales[n]) for other in times]
            rows = [row_of(gap, span, edges) for gap in gaps]
            for key, row in enumerate(rows):
                value = int(found[n, before + query, before + key])
                assert value % FIRST == row
                if key <= query:
                    assert bool(value & FIRST) == (row not in rows[:key])
                    assert bool(value & LAST) == (row not in rows[key + 1 : query + 1])
                else:
                    assert not value & LAST
    assert not found[:, :before].any()
    assert not found[:, :, :before].any()
