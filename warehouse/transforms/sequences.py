"""One row a user: what is handed to training (docs/architecture.md)."""

import polars as pl

from warehouse.transforms.core import CoreTables
from warehouse.transforms.rules import Rules

STEPS = 9  # from the first half star to the tenth
UNRATED = 0  # the models' number for a rating that nobody knows


def sequences(tables: CoreTables, candidates: pl.LazyFrame) -> pl.LazyFrame:
    """Gather each user's history, features and candidates, ordered by `user_id`."""
    histories = (
        tables.interactions.lazy()
        .group_by("user_id", maintain_order=True)
        .agg(
            pl.col("item_id").alias("item_ids"),
            pl.col("timestamp").alias("timestamps"),
            pl.col("week").alias("weeks"),
            half_stars(tables.rules).alias("ratings"),
            (pl.col("split") == "train").sum().alias("n_train"),
        )
    )
    scales = tables.users.lazy().select("user_id", "time_scale")
    return (
        histories.join(scales, on="user_id", how="left", validate="1:1")
        .pipe(_with_candidates, candidates, "valid")
        .pipe(_with_candidates, candidates, "test")
        .with_columns(pl.col("n_train").cast(pl.Int32))
        .sort("user_id")
    )


def half_stars(rules: Rules) -> pl.Expr:
    """`rating` as the models know it: half stars, 1 to 10; 0 where nobody knows.

    Stars are doubled. Any other scale is stretched, its ends to 1 and 10, and rounded, so that
    every data set has one scale.
    """
    rating = pl.col("rating")
    if rules.scale is None:
        return (rating * 2).cast(pl.Int8).fill_null(UNRATED)
    low, high = rules.scale
    place = 1 + STEPS * (rating.cast(pl.Float64) - low) / (high - low)
    return (place + 0.5).floor().clip(1, 1 + STEPS).cast(pl.Int8).fill_null(UNRATED)


def _with_candidates(histories: pl.LazyFrame, candidates: pl.LazyFrame, split: str) -> pl.LazyFrame:
    name = f"{split}_candidates"
    drawn = candidates.filter(pl.col("split") == split).select(
        "user_id", pl.col("item_ids").alias(name)
    )
    return histories.join(drawn, on="user_id", how="left", validate="1:1").with_columns(
        pl.col(name).fill_null([])
    )
