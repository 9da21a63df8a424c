"""What the models know of time: gaps in units of the user's own pace, and the week of the year."""

import polars as pl

WEEKS = 52


def with_time_scale(interactions: pl.LazyFrame) -> pl.LazyFrame:
    """Add `time_scale`: the user's shortest non-zero gap in seconds, 1 when there is none.

    TiSASRec (section 3.2) divides a user's intervals by it. Its authors take it over the whole
    history, test included; here it comes from the training part only.
    """
    trained = pl.col("split") == "train"
    return interactions.with_columns(gap=pl.col("timestamp").diff().over("user_id")).with_columns(
        time_scale=pl.col("gap")
        .filter(trained & (pl.col("gap") > 0))
        .min()
        .over("user_id")
        .fill_null(1)
    )


def with_scaled_interval(interactions: pl.LazyFrame) -> pl.LazyFrame:
    """Add `scaled_interval`: whole multiples of the time scale since the interaction before."""
    return interactions.with_columns(scaled_interval=pl.col("gap") // pl.col("time_scale"))


def with_week(interactions: pl.LazyFrame) -> pl.LazyFrame:
    """Add `week`: ISO week of the year in UTC, 1 to 52; the rare week 53 counts as 52."""
    moment = pl.from_epoch("timestamp", time_unit="s")
    return interactions.with_columns(week=moment.dt.week().clip(upper_bound=WEEKS).cast(pl.Int8))
