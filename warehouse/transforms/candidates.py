"""The negatives of the `uniform_100` protocol: drawn once a snapshot, the same for all models."""

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

N_CANDIDATES = 100
_BLOCK = 256
_SEEN = 255  # above every column's mark
_MARKS = np.arange(1, N_CANDIDATES + 1, dtype=np.uint8)
Ints = NDArray[np.integer[Any]]
SEED = 20200203  # any fixed number: TiSASRec's first day at WSDM 2020


def draw_candidates(
    interactions: pl.LazyFrame, *, n_items: int, seed: int = SEED, comes_again: bool = False
) -> pl.LazyFrame:
    """Draw distinct uniform items outside each user's whole history, for `valid` and `test`.

    Where items come again, whatever the user has had may be next, so only the held-out item is
    left out: among items that are all new to the user, one that is not would be known by that.

    Args:
        interactions: `user_id`, `item_id` and `split`; user ids are 1 to n without a gap.
        n_items: items are 1 to `n_items`.
        seed: of both draws.
        comes_again: whether an item may stand in a history more than once.

    Returns:
        `split`, `user_id`, `item_ids` for each user with a held-out item; fewer than 100 items
        where fewer may be drawn.
    """
    frame = interactions.select("user_id", "item_id", "split").sort("user_id").collect()
    users = frame.filter(pl.col("split") == "test")["user_id"].unique().sort()
    drawn = []
    for number, split in enumerate(("valid", "test")):
        left_out = frame.filter(pl.col("split") == split) if comes_again else frame
        owners, theirs = left_out["user_id"].to_numpy(), left_out["item_id"].to_numpy()
        rng = np.random.default_rng([seed, number])
        items = _draw(users.to_numpy(), Histories(owners, theirs, n_items), rng)
        rows = pl.DataFrame({"user_id": users})
        drawn.append(rows.select(pl.lit(split).alias("split"), "user_id", item_ids=items))
    return pl.concat(drawn).lazy()


class Histories:
    """What is not drawn for whom: `owners` (L,) ascending user ids, `items` (L,), no pair twice."""

    def __init__(self, owners: Ints, items: Ints, n_items: int) -> None:
        self.owners, self.items, self.n_items = owners, items, n_items

    def of(self, users: Ints) -> tuple[Ints, Ints]:
        """Which of `users` (ascending), from 0, has had which item: two arrays side by side."""
        first = np.searchsorted(self.owners, users, "left")
        lengths = np.searchsorted(self.owners, users, "right") - first
        place = np.arange(lengths.sum()) + np.repeat(first - lengths.cumsum() + lengths, lengths)
        return np.repeat(np.arange(len(users)), lengths), self.items[place]


def _draw(users: Ints, histories: Histories, rng: np.random.Generator) -> pl.Series:
    """One list of items a user, in the order of `users`."""
    board = np.zeros(_BLOCK * (histories.n_items + 1), np.uint8)
    blocks = [
        _draw_block(users[first : first + _BLOCK], histories, board, rng)
        for first in range(0, len(users), _BLOCK)
    ]
    ends = np.cumsum(np.concatenate([[0], *(lengths for lengths, _ in blocks)]))
    items = np.concatenate([items for _, items in blocks]).astype(np.int32)
    return pl.Series(pa.LargeListArray.from_arrays(ends, items))


def _draw_block(
    users: Ints, histories: Histories, board: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """How many items each of a few users gets, and the items, one user after the other.

    `board` (_BLOCK rows of n_items + 1, end to end: one index is found faster than two) is left
    clean, as it was found: a new one for each block would take longer than the draw.
    """
    starts = np.arange(len(users)) * (histories.n_items + 1)
    row, item = histories.of(users)
    seen = np.concatenate([starts, starts[row] + item])
    board[seen] = _SEEN
    n_free = histories.n_items - np.bincount(row, minlength=len(users))
    drawn = np.zeros((len(users), N_CANDIDATES), np.int64)
    crowded = n_free < 2 * N_CANDIDATES
    drawn[~crowded] = _draw_by_rejection(board, starts[~crowded], histories.n_items, rng)
    for few in np.flatnonzero(crowded):
        own = board[starts[few] : starts[few] + histories.n_items + 1]
        chosen = rng.permutation(np.flatnonzero(own == 0))[:N_CANDIDATES]
        drawn[few, : len(chosen)] = chosen
    board[seen] = 0
    board[(starts[:, None] + drawn).ravel()] = 0
    lengths = np.minimum(n_free, N_CANDIDATES)
    return lengths, drawn[np.arange(N_CANDIDATES) < lengths[:, None]]


def _draw_by_rejection(
    board: NDArray[np.uint8], starts: Ints, n_items: int, rng: np.random.Generator
) -> Ints:
    """(len(starts), 100) items: what was seen or stands twice is redrawn until every row is whole.

    Uniform over the rest. Each drawn item is marked with its column. Of equal items in a row the
    last mark stands, and the columns that do not find their own mark draw again.
    """
    drawn = np.zeros(len(starts) * N_CANDIDATES, np.int64)
    missing = np.arange(len(drawn))
    start, mark = np.repeat(starts, N_CANDIDATES), np.tile(_MARKS, len(starts))
    while len(missing):
        item = rng.integers(1, n_items + 1, len(missing))
        place = start + item
        free = board[place] == 0
        board[place[free]] = mark[free]
        won = free & (board[place] == mark)
        drawn[missing[won]] = item[won]
        missing, start, mark = missing[~won], start[~won], mark[~won]
    return drawn.reshape(-1, N_CANDIDATES)
