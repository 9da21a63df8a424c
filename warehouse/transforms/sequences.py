"""One row a user: what is handed to training (docs/architecture.md)."""

import polars as pl

from warehouse.transforms.core import CoreTables


def sequences(tables: CoreTables, candidates: pl.LazyFrame) -> pl.LazyFrame:
    """Gather each user's history, features and candidates, ordered by `user_id`."""
    histories = (
        tables.interactions.lazy()
        .group_by("user_id", maintain_order=True)
        .agg(
            pl.col("item_id").alias("item_ids"),
            pl.col("timestamp").alias("timestamps"),
            pl.col("week").alias("weeks"),
            tables.rules.half_stars().alias("ratings"),
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


def _with_candidates(histories: pl.LazyFrame, candidates: pl.LazyFrame, split: str) -> pl.LazyFrame:
    name = f"{split}_candidates"
    drawn = candidates.filter(pl.col("split") == split).select(
        "user_id", pl.col("item_ids").alias(name)
    )
    return histories.join(drawn, on="user_id", how="left", validate="1:1").with_columns(
        pl.col(name).fill_null([])
    )
