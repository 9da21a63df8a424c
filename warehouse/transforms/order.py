"""The one order of a user's history."""

import polars as pl

HISTORY = ["raw_user_id", "timestamp", "source_row"]


def in_total_order(ratings: pl.LazyFrame) -> pl.LazyFrame:
    """Sort by user, timestamp, then row of the source file.

    Four in ten MovieLens rows share their timestamp with a neighbour, so a tie-break by anything
    else (item id, chance, thread) changes which item is the last, hence the test set.
    """
    return ratings.sort(HISTORY)


def without_repeats(ratings: pl.LazyFrame) -> pl.LazyFrame:
    """Keep the earliest of a user's interactions with the same item; needs the total order.

    A held-out item that also stands in the training part could not be judged.
    """
    return ratings.filter(pl.col("raw_item_id").is_first_distinct().over("raw_user_id"))
