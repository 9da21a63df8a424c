"""Chronological leave-one-out."""

import polars as pl

MIN_INTERACTIONS = 3
SPLIT = pl.Enum(["train", "valid", "test"])  # a byte a row


def with_split(interactions: pl.LazyFrame) -> pl.LazyFrame:
    """Add `position` (from 1) and `split`: last = test, last but one = valid, rest = train.

    Users with fewer than three interactions only train. Needs the total order.
    """
    length = pl.len().over("user_id")
    position = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("user_id")
    evaluated = length >= MIN_INTERACTIONS
    return interactions.with_columns(
        position=position,
        split=pl.when(evaluated & (position == length))
        .then(pl.lit("test"))
        .when(evaluated & (position == length - 1))
        .then(pl.lit("valid"))
        .otherwise(pl.lit("train"))
        .cast(SPLIT),
    )
