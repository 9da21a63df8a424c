"""k-core by counting, against the one that keeps sets of pairs."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from warehouse.by_parts.retained import numbered, retained


def naive(rows: list[tuple[int, int]], k: int) -> list[tuple[int, int]]:
    """Remove the first user or item with too little, until there is none."""
    counts = Counter([("user", user) for user, _ in rows] + [("item", item) for _, item in rows])
    for (what, who), count in sorted(counts.items()):
        if count < k:
            return naive([row for row in rows if row[what == "item"] != who], k)
    return rows


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=40), st.integers(1, 4),
       st.integers(1, 9))  # fmt: skip
def test_what_is_retained_is_the_naive_fixed_point(rows, k, part):
    def pairs():
        for first in range(0, len(rows), part):
            yield np.array(rows[first : first + part]).T

    users, items = (np.bincount([row[at] for row in rows], minlength=7) for at in (0, 1))
    kept = naive(rows, k)
    expected = (np.bincount([row[at] for row in kept], minlength=7) for at in (0, 1))
    for found, counts in zip(retained(pairs, users, items, k), expected, strict=True):
        assert found.tolist() == counts.tolist()


def test_those_who_stay_get_numbers_from_1():
    assert numbered(np.array([0, 5, 0, 9, 7])).tolist() == [0, 1, 0, 2, 3]
