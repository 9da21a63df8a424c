"""Contiguous ids from 1, in the order of the archive's numbers; 0 is left for padding."""

import polars as pl


def with_ids(ratings: pl.LazyFrame) -> pl.LazyFrame:
    """Add `user_id` and `item_id` (int32)."""
    return ratings.pipe(_with_id, "raw_user_id", "user_id").pipe(_with_id, "raw_item_id", "item_id")


def _with_id(ratings: pl.LazyFrame, number: str, name: str) -> pl.LazyFrame:
    """By a table of the numbers: a dense rank would sort every row."""
    ids = ratings.select(pl.col(number).unique().sort()).with_row_index(name, offset=1)
    return ratings.join(
        ids.with_columns(pl.col(name).cast(pl.Int32)),
        on=number,
        how="left",
        validate="m:1",
        maintain_order="left",
    )
