"""What really came after a snapshot as of some day: each user's next interaction, to be ranked."""

from dataclasses import dataclass, replace

import polars as pl

from warehouse.transforms.core import CoreTables
from warehouse.transforms.options import Options
from warehouse.transforms.order import in_total_order, without_repeats
from warehouse.transforms.split import SPLIT
from warehouse.transforms.time_features import with_week


@dataclass(frozen=True)
class NextInteractions:
    """What came next.

    Attributes:
        targets: a row for each user of the snapshot who came back: `user_id`, `raw_item_id`,
            `item_id` (null where the snapshot does not know the item: no model of it could name
            it), `timestamp`, `waited_seconds` since the last interaction before.
        tables: the snapshot's own, with known targets at the end of their histories as `test`,
            what stood last before as `valid`, all the rest as `train`.
    """

    targets: pl.DataFrame
    tables: CoreTables


def next_interactions(
    ratings: pl.LazyFrame, tables: CoreTables, options: Options
) -> NextInteractions:
    """Look past the day that a snapshot is of.

    Next is what comes next: an item that is new to its user, unless items come again.

    Args:
        ratings: as `raw.ratings`, all of them.
        tables: the snapshot as of `options.as_of`.
        options: those of its preparation.
    """
    last = tables.interactions.group_by("user_id").agg(pl.col("position", "timestamp").max())
    later = (
        ratings.pipe(in_total_order, options.ties, options.tie_seed)
        .pipe(without_repeats, "all" if tables.rules.comes_again else "first")
        .filter(pl.col("timestamp") >= options.midnight)
        .unique("raw_user_id", keep="first", maintain_order=True)
        .collect()
    )
    targets = (
        later.join(tables.users.select("raw_user_id", "user_id"), on="raw_user_id", validate="1:1")
        .join(
            tables.items.select("raw_item_id", "item_id"),
            on="raw_item_id",
            how="left",
            validate="m:1",
        )
        .join(last.rename({"timestamp": "before"}), on="user_id", validate="1:1")
        .with_columns(waited_seconds=pl.col("timestamp") - pl.col("before"))
        .sort("user_id")
    )
    columns = ("user_id", "raw_item_id", "item_id", "timestamp", "waited_seconds")
    known = targets.filter(pl.col("item_id").is_not_null())
    return NextInteractions(
        targets.select(columns), replace(tables, interactions=_extended(tables, known))
    )


def _extended(tables: CoreTables, known: pl.DataFrame) -> pl.DataFrame:
    """Histories with their targets at the end, in order."""
    columns = ("user_id", "item_id", "rating", "timestamp", "week", "position", "split")
    target = known.lazy().pipe(with_week).with_columns(pl.col("position") + 1)
    before = known.select("user_id", "position", is_last=pl.lit(True))
    history = tables.interactions.join(before, on=["user_id", "position"], how="left")
    split = pl.when(pl.col("is_last")).then(pl.lit("valid")).otherwise(pl.lit("train")).cast(SPLIT)
    return pl.concat(
        [
            history.with_columns(split=split).select(columns),
            target.with_columns(split=pl.lit("test").cast(SPLIT)).select(columns).collect(),
        ]
    ).sort("user_id", "position")
