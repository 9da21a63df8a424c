"""The one order of a user's history."""

import numpy as np
import polars as pl

from warehouse.transforms.options import Ties


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


def without_repeats(ratings: pl.LazyFrame) -> pl.LazyFrame:
    """Keep the earliest of a user's interactions with the same item; needs the total order.

    A held-out item that also stands in the training part could not be judged.
    """
    return ratings.filter(pl.col("raw_item_id").is_first_distinct().over("raw_user_id"))
