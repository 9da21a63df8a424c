"""Histories of users that a snapshot does not know, as the models see them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from warehouse.errors import RefusedError
from warehouse.transforms.order import in_total_order, without_repeats
from warehouse.transforms.rules import MOVIELENS, Rules
from warehouse.transforms.sequences import half_stars
from warehouse.transforms.time_features import with_time_scale, with_week

DAY = 86_400


def histories(ratings: pl.LazyFrame, rules: Rules = MOVIELENS) -> dict[int, dict[str, Any]]:
    """What each user did, by number: items, times, weeks, ratings and time scale.

    Args:
        ratings: `source_row`, `raw_user_id`, `raw_item_id`, `rating` (stars, null where nobody
            knows), `timestamp`, `item_id`.
        rules: what the load says of itself.
    """
    rows = (
        ratings.pipe(in_total_order)
        .pipe(without_repeats, rules.repeats)
        # nothing is held out of a history to go on from
        .with_columns(user_id="raw_user_id", split=pl.lit("train"))
        .pipe(with_time_scale)
        .pipe(with_week)
        .group_by("raw_user_id", maintain_order=True)
        .agg(
            pl.col("item_id").alias("item_ids"),
            pl.col("timestamp").alias("timestamps"),
            pl.col("week").alias("weeks"),
            half_stars(rules).alias("ratings"),
            pl.col("time_scale").first(),
        )
        .collect()
    )
    return {row.pop("raw_user_id"): row for row in rows.to_dicts()}


def written_history(
    words: Sequence[str], items: pl.DataFrame, whole: str | None = None
) -> dict[str, Any]:
    """The history of somebody new: an item a day, the last one today, without ratings.

    Args:
        words: numbers of the archive, of own data ids, or whole titles (any case), the latest last.
        items: `item_id`, `raw_item_id`, `title`, `item_key` of the snapshot.
        whole: the text that the words are of, which may be one id or title with commas in it.

    Raises:
        RefusedError: no words, or one that is no item of the snapshot.
    """
    key = pl.coalesce("item_key", pl.col("raw_item_id").cast(pl.String))
    by_number = dict(zip(items.select(key).to_series(), items["item_id"], strict=True))
    titled = items.drop_nulls("title")
    by_title = dict(zip(titled["title"].str.to_lowercase(), titled["item_id"], strict=True))
    known = {
        word: by_number.get(word, by_title.get(word.lower())) for word in (*words, whole or "")
    }
    found = {word: known[word] for word in words}
    if whole and known[whole] is not None:
        found = {whole: known[whole]}
    unknown = [word for word, item in found.items() if item is None]
    if unknown or not found:
        raise _unknown(unknown, own=items["item_key"].is_not_null().any())
    today = int(datetime.now(UTC).timestamp())
    rows = [
        {"source_row": place, "raw_user_id": 0, "raw_item_id": item, "item_id": item}
        | {"timestamp": today - DAY * (len(found) - place)}
        for place, item in enumerate(found.values(), start=1)
    ]
    unrated = pl.lit(None, pl.Float32)
    return histories(pl.LazyFrame(rows).with_columns(rating=unrated))[0]


def _unknown(words: Sequence[str], *, own: bool) -> RefusedError:
    """The numbers of core.items are none that own data knows."""
    expected = f"{'ids of your own data' if own else 'numbers of the archive'}, or whole titles"
    listed = (
        "SELECT item_key FROM raw.item_keys"
        if own
        else ("SELECT raw_item_id, title FROM core.items")
    )
    what = "ids" if own else "them"
    return RefusedError(
        "No history of items that the training knows",
        got=", ".join(map(repr, words)) or "nothing",
        expected=expected,
        to_do=f'`fpt sql "{listed}"` lists {what}. Where several have commas, give a file with '
        f"{'an id or title' if own else 'a number or title'} a line",
    )
