"""The transforms against values computed by hand and against naive twins in plain Python."""

import math
from collections import Counter
from datetime import UTC, date, datetime

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from warehouse.datasets import find
from warehouse.errors import RefusedError
from warehouse.staging import audited
from warehouse.transforms.core import candidates_of, core_tables
from warehouse.transforms.ids import with_ids
from warehouse.transforms.options import Options
from warehouse.transforms.order import in_total_order, without_repeats
from warehouse.transforms.retention import k_core
from warehouse.transforms.sequences import sequences
from warehouse.transforms.split import with_split
from warehouse.transforms.time_features import with_scaled_interval, with_time_scale, with_week

NO_ITEMS = pl.LazyFrame(schema={"raw_item_id": pl.Int64, "title": pl.String, "genres": pl.String})


def raw(rows: list[tuple[int, int, int]]) -> pl.LazyFrame:
    """Ratings of (user, item, timestamp), in file order."""
    schema = {"raw_user_id": pl.Int64, "raw_item_id": pl.Int64, "timestamp": pl.Int64}
    return (
        pl.LazyFrame(rows, schema=schema, orient="row")
        .with_row_index("source_row", offset=1)
        .with_columns(pl.col("source_row").cast(pl.Int64), rating=pl.lit(4.0, pl.Float32))
    )


ratings = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 8), st.integers(0, 40)), min_size=1, max_size=60
)


def test_equal_timestamps_keep_the_order_of_the_file():
    frame = raw([(1, 30, 5), (1, 10, 5), (1, 20, 4)]).pipe(in_total_order).collect()
    assert frame["raw_item_id"].to_list() == [20, 30, 10]


@given(ratings, st.randoms())
def test_order_does_not_depend_on_how_the_frame_was_shuffled(rows, random):
    frame = raw(rows).collect()
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=random.randint(0, 10**6))
    assert_frame_equal(
        in_total_order(frame.lazy()).collect(), in_total_order(shuffled.lazy()).collect()
    )


def test_the_earliest_of_repeated_pairs_stays():
    frame = raw([(1, 7, 9), (1, 7, 3), (1, 8, 5)]).pipe(in_total_order).pipe(without_repeats)
    kept = frame.collect()
    assert kept.select("raw_item_id", "timestamp").rows() == [(7, 3), (8, 5)]


def naive_k_core(rows: set[tuple[int, int]], k: int) -> set[tuple[int, int]]:
    while True:
        users = Counter(user for user, _ in rows)
        items = Counter(item for _, item in rows)
        kept = {(u, i) for u, i in rows if users[u] >= k and items[i] >= k}
        if kept == rows:
            return kept
        rows = kept


@given(st.sets(st.tuples(st.integers(1, 7), st.integers(1, 7)), max_size=40), st.integers(1, 4))
def test_k_core_is_the_naive_fixed_point(pairs, k):
    kept = k_core(raw([(user, item, 0) for user, item in sorted(pairs)]), k).collect()
    assert set(kept.select("raw_user_id", "raw_item_id").rows()) == naive_k_core(pairs, k)


def test_k_core_goes_on_until_nothing_falls():
    # item 9 has one user, without it user 3 has one item, without that item 1 has two users
    rows = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 9)]
    kept = k_core(raw([(user, item, 0) for user, item in rows]), 2).collect()
    assert kept.select("raw_user_id", "raw_item_id").rows() == rows[:4]


def test_ids_are_contiguous_in_the_order_of_the_archive():
    frame = raw([(70, 500, 0), (7, 40, 1), (70, 40, 2)]).pipe(with_ids).collect()
    assert frame.select("user_id", "item_id").rows() == [(2, 2), (1, 1), (2, 1)]
    assert frame.select("user_id", "item_id").dtypes == [pl.Int32, pl.Int32]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (1, ["train"]),
        (2, ["train", "train"]),
        (3, ["train", "valid", "test"]),
        (5, ["train", "train", "train", "valid", "test"]),
    ],
)
def test_leave_one_out(length, expected):
    frame = raw([(1, item, item) for item in range(1, length + 1)])
    split = frame.pipe(in_total_order).pipe(with_ids).pipe(with_split).collect()
    assert split["split"].to_list() == expected
    assert split["position"].to_list() == list(range(1, length + 1))


def timed(timestamps: list[int]) -> pl.DataFrame:
    frame = raw([(1, item, moment) for item, moment in enumerate(timestamps, start=1)])
    steps = (in_total_order, with_ids, with_split, with_time_scale, with_scaled_interval, with_week)
    for step in steps:
        frame = frame.pipe(step)
    return frame.collect()


def test_scale_is_the_shortest_training_gap_that_is_not_zero():
    frame = timed([100, 100, 130, 150, 152, 153])  # gaps 0, 30, 20 | 2, 1 are held out
    assert frame["time_scale"].unique().to_list() == [20]
    assert frame["scaled_interval"].to_list() == [None, 0, 1, 1, 0, 0]


@pytest.mark.parametrize("timestamps", [[5], [5, 9], [5, 5, 5, 5], [5, 5, 9, 9]])
def test_scale_is_one_second_when_training_has_no_gap(timestamps):
    expected = 4 if timestamps == [5, 9] else 1
    assert timed(timestamps)["time_scale"].unique().to_list() == [expected]


@given(st.integers(788_918_400, 2_000_000_000))
def test_week_is_the_iso_week_in_utc_at_most_52(moment):
    week = timed([moment])["week"].item()
    assert week == min(datetime.fromtimestamp(moment, UTC).isocalendar().week, 52)


def test_week_53_counts_as_52(monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")  # already the next day there
    moment = int(datetime(2021, 1, 1, 12, tzinfo=UTC).timestamp())  # ISO week 53 of 2020
    assert timed([moment])["week"].item() == 52


def naive_histories(rows: list[tuple[int, int, int]]) -> dict[int, list[int]]:
    """Each user's items in order, repeats dropped, by Python's stable sort."""
    histories: dict[int, list[int]] = {}
    for user, item, _ in sorted(rows, key=lambda row: row[2]):
        if item not in histories.setdefault(user, []):
            histories[user].append(item)
    return histories


@settings(deadline=None)  # a busy machine is no error
@given(ratings)
def test_core_tables_hold_the_naive_histories(rows):
    expected = naive_histories(rows)
    if max(map(len, expected.values())) < 4:
        with pytest.raises(RefusedError, match="Not enough data"):
            core_tables(raw(rows), NO_ITEMS, "cold-start")
        return
    tables = core_tables(raw(rows), NO_ITEMS, "cold-start")
    for raw_user, items in expected.items():
        history = tables.interactions.filter(pl.col("raw_user_id") == raw_user)
        assert history["raw_item_id"].to_list() == items
        held_out = ["valid", "test"] if len(items) >= 3 else []
        assert history["split"].to_list() == ["train"] * (len(items) - len(held_out)) + held_out
    assert tables.n_duplicates == len(rows) - sum(map(len, expected.values()))


@settings(deadline=None)  # a busy machine is no error
@given(ratings)
def test_candidates_are_distinct_and_outside_the_whole_history(rows):
    expected = naive_histories(rows)
    if max(map(len, expected.values())) < 4:
        return
    tables = core_tables(raw(rows), NO_ITEMS, "cold-start")
    n_items = tables.items.height
    histories = dict(
        tables.interactions.group_by("user_id").agg(pl.col("item_id").implode().explode()).rows()
    )
    for _, user, items in candidates_of(tables).rows():
        assert len(set(items)) == len(items) == min(100, n_items - len(histories[user]))
        assert not set(items) & set(histories[user])
        assert all(1 <= item <= n_items for item in items)


def test_candidates_are_uniform_over_the_rest():
    """Chi-square over 400 users of one history: 300 degrees of freedom, mean 300, sd 24.5."""
    rows = [(user, item, item) for user in range(1, 401) for item in (1, 2, 3)]
    rows += [(401, item, item) for item in range(1, 305)]
    tables = core_tables(raw(rows), NO_ITEMS, "cold-start")
    drawn = candidates_of(tables).filter((pl.col("split") == "test") & (pl.col("user_id") <= 400))
    counts = Counter(item for row in drawn["item_ids"].to_list() for item in row)
    assert set(counts) == set(range(4, 305))
    mean = 400 * 100 / 301
    chance = (1 - 100 / 301) * 300  # drawn without replacement: less spread than independent draws
    chi_square = sum((count - mean) ** 2 / mean for count in counts.values())
    assert abs(chi_square - chance) < 5 * math.sqrt(2 * chance)


def test_candidates_are_the_same_every_time_and_differ_between_splits():
    rows = [(user, item, item) for user in (1, 2) for item in range(1, 4)]
    rows += [(3, item, item) for item in range(1, 500)]
    first, second = (
        candidates_of(core_tables(raw(rows), NO_ITEMS, "cold-start")) for _ in range(2)
    )
    assert_frame_equal(first, second)
    valid, test = (
        first.filter((pl.col("split") == split) & (pl.col("user_id") == 1))["item_ids"].item()
        for split in ("valid", "test")
    )
    assert valid.to_list() != test.to_list()


def test_sequences_hold_one_whole_row_a_user():
    rows = [(5, 50, 10), (5, 40, 30), (5, 60, 20), (9, 40, 7), (9, 70, 8)]
    rows += [(11, item, item) for item in (40, 50, 60, 70)]  # somebody must have four
    stars = pl.Series("rating", [0.5, 3.0, 4.5, 5.0, 1.0, 4.0, 4.0, 4.0, 4.0], pl.Float32)
    tables = core_tables(raw(rows).with_columns(stars), NO_ITEMS, "cold-start")
    first, second, _ = sequences(tables, candidates_of(tables).lazy()).collect().to_dicts()
    assert first == {
        "user_id": 1,
        "item_ids": [2, 3, 1],
        "timestamps": [10, 20, 30],
        "weeks": [1, 1, 1],
        "ratings": [1, 9, 6],
        "n_train": 1,
        "time_scale": 1,
        "valid_candidates": [4],
        "test_candidates": [4],
    }
    assert second["n_train"] == 2
    assert second["item_ids"] == [1, 4]
    assert second["ratings"] == [10, 2]
    assert second["valid_candidates"] == second["test_candidates"] == []


@pytest.mark.parametrize(
    ("dataset", "stars", "half_stars"),
    [
        ("ml-100k", ["5", "1", "4", "2"], [10, 2, 8, 4]),
        ("ml-1m", ["5", "1", "4", "2"], [10, 2, 8, 4]),
        ("synthetic", ["3", "2", "4", "1"], [6, 4, 8, 2]),
        ("ml-32m", ["0.5", "5.0", "3.5", "4.5"], [1, 10, 7, 9]),
    ],
)
def test_stars_of_every_layout_end_as_half_stars(dataset, stars, half_stars, land_files):
    layout = find(dataset).layout
    rows = [("1", f"{7 + place}", one, f"{960_000_000 + place}") for place, one in enumerate(stars)]
    lines = [*([layout.header] if layout.header else []), *map(layout.separator.join, rows)]
    landed = land_files(dataset, "\n".join(lines).encode() + b"\n")
    with duckdb.connect(str(audited(landed.folder)), read_only=True) as connection:
        ratings = connection.sql("SELECT * FROM raw.ratings").pl().drop("load_id")
    tables = core_tables(ratings.lazy(), NO_ITEMS, "cold-start")
    (row,) = sequences(tables, candidates_of(tables).lazy()).collect().to_dicts()
    assert row["ratings"] == half_stars


def test_an_item_that_the_archive_does_not_name_has_no_title():
    items = pl.LazyFrame({"raw_item_id": [1, 2], "title": ["A", "B"], "genres": ["x", "y"]})
    tables = core_tables(raw([(1, item, item) for item in range(1, 5)]), items, "cold-start")
    assert tables.items.select("item_id", "title", "n_train").rows() == [
        (1, "A", 1),
        (2, "B", 1),
        (3, None, 0),
        (4, None, 0),
    ]


def each(users: int, length: int) -> pl.LazyFrame:
    """Everybody has so many interactions, each with an item of its own, one a day."""
    day = 86_400
    return raw([(u, 100 * u + n, n * day) for u in range(users) for n in range(1, length + 1)])


@pytest.mark.parametrize(
    ("ratings", "retention", "as_of", "got", "to_do"),
    [
        (each(40, 3), "cold-start", None, "120 interactions, 3 of one", "Give a larger source."),
        (each(40, 3), "5-core", None, "0 interactions, 0 of one", "Give a larger source."),
        (
            each(2, 4),
            "5-core",
            None,
            "0 interactions, 0 of one",
            "Give a larger source or --retention cold-start.",
        ),
        (
            each(2, 4),
            "cold-start",
            date(1970, 1, 5),
            "6 interactions, 3 of one",
            "Give a larger source or a later --as-of.",
        ),
        (raw([(1, 1, 1)] * 9), "cold-start", None, "1 interactions, 1 of one", "larger source."),
    ],
    ids=["three each", "nothing is left", "four each", "before the fourth", "one item"],
)
def test_too_little_is_refused_with_what_helps(ratings, retention, as_of, got, to_do):
    with pytest.raises(RefusedError) as refused:
        core_tables(ratings, NO_ITEMS, retention, Options(as_of))
    assert str(refused.value).startswith(f"Not enough data after {retention}: got {got} user")
    assert "expected somebody with 4: two are held out" in str(refused.value)
    assert str(refused.value).endswith(to_do)


def test_what_is_just_enough_leaves_a_target_to_train_on():
    """One user with four: the first is looked at, the second predicted, the others held out."""
    tables = core_tables(each(1, 4), NO_ITEMS, "cold-start")
    (row,) = sequences(tables, candidates_of(tables).lazy()).collect().to_dicts()
    assert (row["n_train"], len(row["item_ids"])) == (2, 4)
