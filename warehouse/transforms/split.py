"""Chronological leave-one-out."""

import polars as pl

HELD_OUT = 2  # for validation and test
EVALUATED = HELD_OUT + 1  # interactions of a user: one to look at when the others are asked for
ENOUGH = HELD_OUT + 2  # interactions that somebody must have: a target to train on, after another
SPLIT = pl.Enum(["train", "valid", "test"])  # a byte a row


def with_split(interactions: pl.LazyFrame) -> pl.LazyFrame:
    """Add `position` (from 1) and `split`: last = test, last but one = valid, rest = train.

    Users with fewer than three interactions only train. Needs the total order.
    """
    length = pl.len().over("user_id")
    position = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("user_id")
    evaluated = length >= EVALUATED
    return interactions.with_columns(
        position=position,
        split=pl.when(evaluated & (position == length))
        .then(pl.lit("test"))
        .when(evaluated & (position == length - 1))
        .then(pl.lit("valid"))
        .otherwise(pl.lit("train"))
        .cast(SPLIT),
    )
