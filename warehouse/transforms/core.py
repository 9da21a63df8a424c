"""The transforms joined: raw tables of one load to core tables of one snapshot."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from warehouse.errors import RefusedError
from warehouse.identity import code_version
from warehouse.transforms.candidates import draw_candidates
from warehouse.transforms.ids import with_ids
from warehouse.transforms.options import Options, known_before
from warehouse.transforms.order import in_total_order, without_repeats
from warehouse.transforms.retention import k_core
from warehouse.transforms.rules import MOVIELENS, Rules
from warehouse.transforms.split import ENOUGH, with_split
from warehouse.transforms.time_features import with_scaled_interval, with_time_scale, with_week

RETENTIONS = {"5-core": 5, "cold-start": 1}
CODE_VERSION = code_version(Path(__file__).parent.glob("*.py"))
CORRECT = Options()


@dataclass(frozen=True)
class CoreTables:
    """The core tables of a snapshot, without its id; candidates are drawn from them.

    `rules` are those by which they were made.
    """

    interactions: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame
    n_duplicates: int
    rules: Rules = MOVIELENS


def core_tables(
    ratings: pl.LazyFrame,
    items: pl.LazyFrame,
    retention: str,
    options: Options = CORRECT,
    rules: Rules = MOVIELENS,
) -> CoreTables:
    """Prepare what the models are trained on.

    Args:
        ratings: as `raw.ratings`, any order.
        items: as `raw.items`.
        retention: a key of `RETENTIONS`.
        options: the rest of the settings.
        rules: what the load says of itself.

    Raises:
        RefusedError: nothing is left, or nobody has `ENOUGH` interactions.
    """
    ratings = ratings.pipe(known_before, options)
    ordered = ratings.pipe(in_total_order, options.ties, options.tie_seed)
    distinct = ordered.pipe(without_repeats, rules.repeats).drop("source_row").collect()
    n_duplicates = ratings.select(pl.len()).collect().item() - distinct.height
    interactions = (
        distinct.lazy()
        .pipe(k_core, k=RETENTIONS[retention])
        .pipe(with_ids)
        .pipe(with_split)
        .pipe(with_time_scale, options.time_scale)
        .pipe(with_scaled_interval)
        .pipe(with_week, options.calendar, options.time_zone)
        .collect()
    )
    _refuse_too_little(interactions, distinct, retention, options)
    return CoreTables(
        interactions=interactions,
        items=_items(interactions.lazy(), items).collect(),
        users=_users(interactions.lazy()).collect(),
        n_duplicates=n_duplicates,
        rules=rules,
    )


def candidates_of(tables: CoreTables) -> pl.DataFrame:
    """The negatives that every model ranks: `core.candidates`."""
    return draw_candidates(
        tables.interactions.lazy(),
        n_items=tables.items.height,
        comes_again=tables.rules.comes_again,
    ).collect()


def _refuse_too_little(
    kept: pl.DataFrame, distinct: pl.DataFrame, retention: str, options: Options
) -> None:
    """The one minimum of the pipeline: with less, training would have nothing to predict."""
    longest = _longest(kept, "user_id")
    if longest >= ENOUGH:
        return
    ways = ["a larger source"]
    if options.as_of:
        ways.append("a later --as-of")
    if _longest(distinct, "raw_user_id") >= ENOUGH:
        ways.append("--retention cold-start")
    raise RefusedError(
        f"Not enough data after {retention}",
        got=f"{kept.height} interactions, {longest} of one user at most",
        expected=f"somebody with {ENOUGH}: two are held out, and one is predicted after another",
        to_do=f"Give {' or '.join(ways)}",
    )


def _longest(interactions: pl.DataFrame, user: str) -> int:
    """Interactions of the user who has most."""
    counts = interactions.group_by(user).len()["len"]
    return 0 if counts.is_empty() else int(counts.max())  # type: ignore[arg-type]


def _items(interactions: pl.LazyFrame, items: pl.LazyFrame) -> pl.LazyFrame:
    trained = (pl.col("split") == "train").sum().cast(pl.Int64)
    kept = interactions.group_by("item_id", "raw_item_id").agg(n_train=trained)
    named = items.select("raw_item_id", "title", "genres").unique(
        "raw_item_id", keep="first", maintain_order=True
    )
    return kept.join(named, on="raw_item_id", how="left", validate="1:1").sort("item_id")


def _users(interactions: pl.LazyFrame) -> pl.LazyFrame:
    return (
        interactions.group_by("user_id", "raw_user_id")
        .agg(
            n_interactions=pl.len().cast(pl.Int64),
            n_train=(pl.col("split") == "train").sum().cast(pl.Int64),
            time_scale=pl.col("time_scale").first(),
        )
        .sort("user_id")
    )
