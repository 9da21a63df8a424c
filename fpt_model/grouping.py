"""Which trainings go together: on one GPU side by side, or to one machine of many."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T")


def side_by_side(
    asked: Iterable[T], alike: Callable[[T], Hashable], at_most: Callable[[T], int]
) -> list[list[T]]:
    """Those that are alike, in their order, so many of them at most in a group.

    Args:
        asked: in any order.
        alike: equal for those that may go together.
        at_most: how many of its kind go together.

    >>> side_by_side([1, 2, 3, 5, 7], lambda number: number % 2, lambda number: 3)
    [[1, 3, 5], [7], [2]]
    """
    kinds: dict[Hashable, list[T]] = {}
    for one in asked:
        kinds.setdefault(alike(one), []).append(one)
    return [
        ones[at : at + size]
        for ones, size in ((ones, at_most(ones[0])) for ones in kinds.values())
        for at in range(0, len(ones), size)
    ]
