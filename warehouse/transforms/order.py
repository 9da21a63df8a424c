"""The one order of a user's history."""

import numpy as np
import polars as pl

from warehouse.transforms.options import Ties
from warehouse.transforms.rules import Repeats


def in_total_order(ratings: pl.LazyFrame, ties: Ties = "file", seed: int = 0) -> pl.LazyFrame:
    """Sort by user, timestamp, then row of the source file.

    Four in ten MovieLens rows share their timestamp with a neighbour, so a tie-break by anything
    else (item id, chance, thread) changes which item is the last, hence the test set.
    """
    before: dict[Ties, list[pl.Expr]] = {
        "file": [],
        "item": [pl.col("raw_item_id")],
        "random": [pl.col("source_row").map_batches(lambda rows: _lots(rows, seed))],
    }
    return ratings.sort("raw_user_id", "timestamp", *before[ties], "source_row")


def _lots(rows: pl.Series, seed: int) -> pl.Series:
    """A lot for each row of the source file, whatever order they come in."""
    lots = np.random.default_rng(seed).permutation(rows.to_numpy().max(initial=0) + 1)
    return pl.Series(lots[rows.to_numpy()])


def without_repeats(ratings: pl.LazyFrame, repeats: Repeats = "first") -> pl.LazyFrame:
    """Keep the first or the last of a user's interactions with the same item, or all of them.

    Needs the total order. With one of each, a held-out item never stands in the training part.
    """
    item = pl.col("raw_item_id")
    if repeats == "all":
        return ratings
    one = item.is_first_distinct() if repeats == "first" else item.is_last_distinct()
    return ratings.filter(one.over("raw_user_id"))
