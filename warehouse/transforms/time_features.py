"""What the models know of time: gaps in units of the user's own pace, and the week of the year."""

import polars as pl

from warehouse.transforms.options import Calendar, Part

WEEKS = 52


def with_time_scale(interactions: pl.LazyFrame, part: Part = "train") -> pl.LazyFrame:
    """Add `time_scale`: the user's shortest non-zero gap in seconds, 1 when there is none.

    TiSASRec (section 3.2) divides a user's intervals by it. Its authors take it over the whole
    history, test included; here it comes from the training part only, unless asked otherwise.
    """
    trained = pl.col("split") == "train" if part == "train" else pl.lit(True)
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


def with_week(
    interactions: pl.LazyFrame, calendar: Calendar = "week", time_zone: str = "UTC"
) -> pl.LazyFrame:
    """Add `week`: ISO week of the year in UTC, 1 to 52; the rare week 53 counts as 52.

    The calendar `season` numbers the seasons instead, from 1: December to February.
    """
    moment = pl.from_epoch("timestamp", time_unit="s")
    if time_zone != "UTC":
        moment = moment.dt.replace_time_zone("UTC").dt.convert_time_zone(time_zone)
    weeks = moment.dt.week().clip(upper_bound=WEEKS)
    seasons = moment.dt.month() % 12 // 3 + 1
    number = weeks if calendar == "week" else seasons
    return interactions.with_columns(week=number.cast(pl.Int8))
