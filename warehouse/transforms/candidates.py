"""The negatives of the `uniform_100` protocol: drawn once a snapshot, the same for all models."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

N_CANDIDATES = 100
_BLOCK = 256
_SEEN = 255  # above every column's mark
Ints = NDArray[np.integer[Any]]
SEED = 20200203  # any fixed number: TiSASRec's first day at WSDM 2020


def draw_candidates(interactions: pl.LazyFrame, *, n_items: int, seed: int = SEED) -> pl.LazyFrame:
    """Draw distinct uniform items outside each user's whole history, for `valid` and `test`.

    Args:
        interactions: `user_id`, `item_id` and `split`; user ids are 1 to n without a gap.
        n_items: items are 1 to `n_items`.
        seed: of both draws.

    Returns:
        `split`, `user_id`, `item_ids` for each user with a held-out item; fewer than 100 items
        where the catalogue outside the history is smaller.
    """
    frame = interactions.select("user_id", "item_id", "split").sort("user_id").collect()
    users = frame.filter(pl.col("split") == "test")["user_id"].unique().sort()
    histories = Histories(frame["user_id"].to_numpy(), frame["item_id"].to_numpy(), n_items)
    drawn = [
        pl.DataFrame({"user_id": users}).select(
            pl.lit(split).alias("split"),
            "user_id",
            item_ids=pl.Series(
                _draw(users.to_numpy(), histories, np.random.default_rng([seed, number])),
                dtype=pl.List(pl.Int32),
            ),
        )
        for number, split in enumerate(("valid", "test"))
    ]
    return pl.concat(drawn).lazy()


class Histories:
    """Who has had what: `owners` (L,) ascending user ids, `items` (L,)."""

    def __init__(self, owners: Ints, items: Ints, n_items: int) -> None:
        self.owners, self.items, self.n_items = owners, items, n_items

    def marks(self, users: Ints) -> NDArray[np.uint8]:
        """(U, n_items + 1) `_SEEN` where one of `users`, ascending, has had the item, else 0."""
        marks = np.zeros((len(users), self.n_items + 1), np.uint8)
        first = np.searchsorted(self.owners, users, "left")
        lengths = np.searchsorted(self.owners, users, "right") - first
        place = np.arange(lengths.sum()) + np.repeat(first - lengths.cumsum() + lengths, lengths)
        marks[np.repeat(np.arange(len(users)), lengths), self.items[place]] = _SEEN
        marks[:, 0] = _SEEN
        return marks


def _draw(users: Ints, histories: Histories, rng: np.random.Generator) -> list[Ints]:
    """One row of items a user, in the order of `users`; a few users at a time stay in cache."""
    rows: list[Ints] = []
    for first in range(0, len(users), _BLOCK):
        marks = histories.marks(users[first : first + _BLOCK])
        crowded = (marks == 0).sum(axis=1) < 2 * N_CANDIDATES
        drawn = iter(_draw_by_rejection(marks[~crowded], rng))
        rows += [
            rng.permutation(np.flatnonzero(own == 0))[:N_CANDIDATES] if few else next(drawn)
            for own, few in zip(marks, crowded, strict=True)
        ]
    return rows


def _draw_by_rejection(marks: NDArray[np.uint8], rng: np.random.Generator) -> Ints:
    """Redraw what was seen or stands twice until every row is whole: uniform over the rest.

    Each drawn item is marked with its column. Of equal items in a row the last mark stands, and
    the columns that do not find their own mark draw again.
    """
    drawn = np.zeros((len(marks), N_CANDIDATES), np.int64)
    row, column = (place.ravel() for place in np.indices(drawn.shape))
    while len(row):
        item = rng.integers(1, marks.shape[1], len(row))
        free = np.flatnonzero(marks[row, item] == 0)
        marks[row[free], item[free]] = column[free] + 1
        won = np.zeros(len(row), bool)
        won[free] = marks[row[free], item[free]] == column[free] + 1
        drawn[row[won], column[won]] = item[won]
        row, column = row[~won], column[~won]
    return drawn
