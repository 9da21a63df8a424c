"""Contiguous ids from 1, in the order of the archive's numbers; 0 is left for padding."""

import polars as pl


def with_ids(ratings: pl.LazyFrame) -> pl.LazyFrame:
    """Add `user_id` and `item_id` (int32)."""
    return ratings.with_columns(
        user_id=pl.col("raw_user_id").rank("dense").cast(pl.Int32),
        item_id=pl.col("raw_item_id").rank("dense").cast(pl.Int32),
    )
