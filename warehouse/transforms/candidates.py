"""The negatives of the `uniform_100` protocol: drawn once a snapshot, the same for all models."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

N_CANDIDATES = 100
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
    frame = interactions.select("user_id", "item_id", "split").collect()
    seen = np.sort(_keys(frame["user_id"].to_numpy(), frame["item_id"].to_numpy(), n_items))
    users = frame.filter(pl.col("split") == "test")["user_id"].unique().sort()
    drawn = [
        pl.DataFrame({"user_id": users}).select(
            pl.lit(split).alias("split"),
            "user_id",
            item_ids=pl.Series(
                _draw(users.to_numpy(), seen, n_items, np.random.default_rng([seed, number])),
                dtype=pl.List(pl.Int32),
            ),
        )
        for number, split in enumerate(("valid", "test"))
    ]
    return pl.concat(drawn).lazy()


def _keys(users: NDArray[np.int32], items: NDArray[np.int32], n_items: int) -> NDArray[np.int64]:
    """One number a (user, item) pair."""
    return users.astype(np.int64) * (n_items + 1) + items


def _draw(
    users: NDArray[np.int32], seen: NDArray[np.int64], n_items: int, rng: np.random.Generator
) -> list[NDArray[np.int32]]:
    """One row of items a user, in the order of `users`."""
    first = _keys(users, np.zeros_like(users), n_items)
    n_seen = np.searchsorted(seen, first + n_items, "right") - np.searchsorted(seen, first)
    crowded = n_seen + 2 * N_CANDIDATES > n_items
    rows = dict(
        zip(
            users[~crowded].tolist(),
            _draw_by_rejection(users[~crowded], seen, n_items, rng),
            strict=True,
        )
    )
    for user in users[crowded].tolist():
        rows[user] = _draw_from_rest(user, seen, n_items, rng)
    return [rows[user] for user in users.tolist()]


def _draw_by_rejection(
    users: NDArray[np.int32], seen: NDArray[np.int64], n_items: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Redraw what was seen or stands twice until every row is whole: uniform over the rest."""
    drawn = np.zeros((len(users), N_CANDIDATES), np.int32)
    open_rows = np.arange(len(users))
    while len(open_rows):
        rows = drawn[open_rows]
        row, column = np.nonzero(rows == 0)
        fresh = rng.integers(1, n_items + 1, len(row), dtype=np.int32)
        fresh[_is_in(_keys(users[open_rows[row]], fresh, n_items), seen)] = 0
        rows[row, column] = fresh
        rows[_repeats(rows)] = 0
        drawn[open_rows] = rows
        open_rows = open_rows[(rows == 0).any(axis=1)]
    return drawn


def _is_in(keys: NDArray[np.int64], ordered: NDArray[np.int64]) -> NDArray[np.bool_]:
    place = np.searchsorted(ordered, keys).clip(max=len(ordered) - 1)
    return ordered[place] == keys


def _repeats(drawn: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mark all but the first of equal items in a row."""
    order = np.argsort(drawn, axis=1, kind="stable")
    ordered = np.take_along_axis(drawn, order, axis=1)
    again = np.zeros_like(drawn, dtype=bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return again


def _draw_from_rest(
    user: int, seen: NDArray[np.int64], n_items: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    items = np.arange(1, n_items + 1, dtype=np.int32)
    rest = items[~_is_in(_keys(np.full_like(items, user), items, n_items), seen)]
    return rng.permutation(rest)[:N_CANDIDATES]
