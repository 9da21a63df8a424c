"""What a model attended to, for people: one row a past item, with its distance in time."""

import polars as pl

_UNITS = (("year", 31_557_600), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


def explanation(rows: pl.DataFrame) -> pl.DataFrame:
    """The model's answer, a row a past item and block, as a row an item; the latest item last.

    Args:
        rows: `position`, `title`, `raw_item_id`, of own data `item_key`, `seconds_before`,
            `block`, `weight`.

    Returns:
        `position`, `title`, `movie`, `seconds_before`, `before` in words, `weight` (the mean over
        blocks) and the weight in each block, `block_1`, `block_2` …
    """
    blocks = rows.with_columns(block=pl.format("block_{}", "block")).pivot(
        "block", index="position", values="weight"
    )
    items = rows.group_by("position").agg(
        pl.col("title").first(),
        pl.col(item_column(rows)).first().alias("movie"),
        pl.col("seconds_before").first(),
        pl.col("weight").mean(),
    )
    spoken = pl.col("seconds_before").map_elements(humanize_seconds, return_dtype=pl.String)
    return (
        items.with_columns(before=spoken)
        .select("position", "title", "movie", "seconds_before", "before", "weight")
        .join(blocks, on="position", validate="1:1")
        .sort("position")
    )


def item_column(rows: pl.DataFrame) -> str:
    """Which column of an answer has the items' ids: of own data those of the source."""
    return "item_key" if "item_key" in rows.columns else "raw_item_id"


def humanize_seconds(seconds: int) -> str:
    """A distance in time in its largest unit.

    >>> [humanize_seconds(seconds) for seconds in (0, 1, 7_200, 50_000_000)]
    ['same second', '1 second', '2 hours', '1.6 years']
    """
    for unit, length in _UNITS:
        if seconds >= length:
            amount = f"{seconds / length:.1f}".removesuffix(".0")
            return f"{amount} {unit}{'' if amount == '1' else 's'}"
    return "same second"
