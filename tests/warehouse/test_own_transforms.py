"""Transforms by the rules of own data: repeats, candidates, ratings, what comes next."""

from datetime import UTC, date, datetime

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse.database import statements
from warehouse.transforms.candidates import draw_candidates
from warehouse.transforms.core import candidates_of, core_tables
from warehouse.transforms.next_interaction import next_interactions
from warehouse.transforms.options import Options
from warehouse.transforms.order import without_repeats
from warehouse.transforms.rules import Rules
from warehouse.transforms.sequences import half_stars

ITEMS = pl.LazyFrame({"raw_item_id": [1], "title": ["One"], "genres": [""]})
MIDNIGHT = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp())


def ratings_of(*histories: list[int], start: int = 0) -> pl.LazyFrame:
    """Items of users 1, 2, 3 …, a second apart."""
    rows = [
        (user, item, start + place)
        for user, items in enumerate(histories, start=1)
        for place, item in enumerate(items)
    ]
    frame = pl.DataFrame(rows, ["raw_user_id", "raw_item_id", "timestamp"], orient="row")
    whole = frame.with_row_index("source_row", 1).with_columns(rating=pl.lit(4.0, pl.Float32))
    return whole.lazy().with_columns(
        pl.col("source_row", "raw_user_id", "raw_item_id").cast(pl.Int32)
    )


HISTORIES = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=9), min_size=1, max_size=4)


@settings(deadline=None)
@given(HISTORIES)
def test_of_repeats_the_first_the_last_or_all_stay(histories):
    ordered = ratings_of(*histories)
    for repeats in ("first", "last", "all"):
        kept = ordered.pipe(without_repeats, repeats).collect()
        for user, items in enumerate(histories, start=1):
            naive = {
                "first": list(dict.fromkeys(items)),
                "last": list(dict.fromkeys(reversed(items)))[::-1],
                "all": items,
            }
            assert kept.filter(raw_user_id=user)["raw_item_id"].to_list() == naive[repeats]


@settings(deadline=None)
@given(HISTORIES, st.integers(5, 130))
def test_where_items_come_again_all_but_the_held_out_may_be_drawn(histories, n_items):
    rows = [
        (user, item, split)
        for user, items in enumerate(histories, start=1)
        for item, split in zip(
            [*items, 1, 2], ["train"] * len(items) + ["valid", "test"], strict=True
        )
    ]
    frame = pl.LazyFrame(rows, ["user_id", "item_id", "split"], orient="row")
    drawn = draw_candidates(frame, n_items=n_items, comes_again=True).collect()
    assert drawn.height == 2 * len(histories)
    for split, _, items in drawn.rows():
        held_out = {"valid": 1, "test": 2}[split]
        assert len(set(items)) == len(items) == min(100, n_items - 1)
        assert set(items) <= set(range(1, n_items + 1)) - {held_out}


@pytest.mark.parametrize(
    ("rules", "ratings", "stars"),
    [
        (Rules(), [0.5, 3.0, 4.5, 5.0, None], [1, 6, 9, 10, 0]),
        (Rules(scale=(0.5, 5.0)), [0.5, 3.0, 4.5, 5.0, None], [1, 6, 9, 10, 0]),  # as stars
        (Rules(scale=(1, 5)), [1.0, 2.0, 3.0, 4.0, 5.0], [1, 3, 6, 8, 10]),  # 3.25, 5.5, 7.75
        (Rules(scale=(0, 100)), [0.0, 50.0, 99.0, 100.0, None], [1, 6, 10, 10, 0]),
        (Rules(scale=(-1, 1)), [-1.0, 0.0, 1.0], [1, 6, 10]),
        (Rules(rated=False), [None, None], [0, 0]),
    ],
)
def test_ratings_of_any_scale_become_half_stars(rules, ratings, stars):
    frame = pl.DataFrame({"rating": ratings}, {"rating": pl.Float32})
    assert frame.select(half_stars(rules)).to_series().to_list() == stars


@pytest.mark.parametrize(("repeats", "item"), [("first", 3), ("last", 3), ("all", 1)])
def test_next_is_the_next_new_item_unless_items_come_again(repeats, item):
    before = ratings_of([1, 2, 1, 2, 4], [3, 1, 2, 4], start=MIDNIGHT - 9)
    after = ratings_of([1, 3], start=MIDNIGHT + 60).with_columns(pl.col("source_row") + 20)
    ratings, rules = pl.concat([before, after]), Rules(repeats)
    options = Options(date(2024, 1, 2))
    tables = core_tables(ratings, ITEMS, "cold-start", options, rules)
    found = next_interactions(ratings, tables, options)
    assert found.targets.select("user_id", "raw_item_id").rows() == [(1, item)]
    drawn = {split: items for split, _, items in candidates_of(found.tables).rows()}
    assert sorted(drawn["test"]) == ([2, 3, 4] if repeats == "all" else [])


def test_popularity_ranks_among_all_items_where_they_come_again():
    """Training has item 1 three times, 2 twice, 3 and 4 once; user 1 is asked about 2, then 1."""
    tables = core_tables(
        ratings_of([1, 2, 1, 2, 1], [2, 1, 3, 4, 3, 4]),
        ITEMS,
        "cold-start",
        Options(),
        Rules("all"),
    )
    frames = {name: getattr(tables, name) for name in ("interactions", "items", "users")}
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA core")
        for name, frame in {**frames, "candidates": candidates_of(tables)}.items():
            connection.register("frame", frame.to_arrow())
            connection.execute(
                f"CREATE TABLE core.{name} AS SELECT 's' AS snapshot_id, * FROM frame"
            )
        connection.execute(
            "CREATE TABLE core.snapshots AS SELECT 's' AS snapshot_id, 'all' AS repeats"
        )
        ranks = connection.execute(
            f"FROM ({statements('figures/popularity')}) ORDER BY ALL", ["s", 1, 1000]
        ).fetchall()
    assert [row for row in ranks if row[2] == 1] == [
        ("test", "full", 1, 1.0, 4),
        ("test", "uniform_100", 1, 1.0, 4),
        ("valid", "full", 1, 2.0, 4),
        ("valid", "uniform_100", 1, 2.0, 4),
    ]
    assert [row[3] for row in ranks if row[2] == 2] == [3.5] * 4  # 3 and 4 share two places
