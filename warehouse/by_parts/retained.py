"""k-core without the rows in memory: only how often each user and item is left.

Letters: U users, I items, R rows of a part.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]
Pairs = Callable[[], Iterable[tuple[Ints, Ints]]]


def retained(pairs: Pairs, users: Ints, items: Ints, k: int) -> tuple[Ints, Ints]:
    """What `transforms.retention.k_core` leaves: the fixed point does not depend on the order.

    Args:
        pairs: gives, each time it is asked, users and items (R,) of one part after the other.
        users, items: (U,) and (I,), how many rows each has.
        k: rows that whoever stays has at least.

    Returns:
        How many rows each has that stay: 0 for who does not stay.
    """
    while ((users > 0) & (users < k)).any() or ((items > 0) & (items < k)).any():
        users, items = _counted(pairs, users >= k, items >= k)
    return users, items


def _counted(pairs: Pairs, stays: Flags, remains: Flags) -> tuple[Ints, Ints]:
    """Rows of each user and item, of those rows whose user and item both stay."""
    users, items = np.zeros(len(stays), np.int64), np.zeros(len(remains), np.int64)
    for user, item in pairs():
        kept = stays[user] & remains[item]
        users += np.bincount(user[kept], minlength=len(users))
        items += np.bincount(item[kept], minlength=len(items))
    return users, items


def numbered(rows: Ints) -> Ints:
    """Numbers from 1 of those who have rows, in their order; 0 for the others."""
    return np.where(rows > 0, np.cumsum(rows > 0), 0).astype(np.int32)
