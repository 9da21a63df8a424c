"""The other forms of the preparation, by hand; and what enters a snapshot's id."""

from datetime import UTC, date, datetime
from time import tzset

import polars as pl
import pytest

from warehouse.errors import RefusedError
from warehouse.preparing import snapshot_id
from warehouse.transforms.core import core_tables
from warehouse.transforms.options import Options, known_before
from warehouse.transforms.order import in_total_order
from warehouse.transforms.time_features import with_week

NO_ITEMS = pl.LazyFrame(schema={"raw_item_id": pl.Int64, "title": pl.String, "genres": pl.String})


def raw(rows: list[tuple[int, int, int]]) -> pl.LazyFrame:
    """Ratings of (user, item, timestamp), in file order."""
    schema = {"raw_user_id": pl.Int64, "raw_item_id": pl.Int64, "timestamp": pl.Int64}
    return (
        pl.LazyFrame(rows, schema=schema, orient="row")
        .with_row_index("source_row", offset=1)
        .with_columns(pl.col("source_row").cast(pl.Int64), rating=pl.lit(4.0, pl.Float32))
    )


def order(rows: pl.LazyFrame, *words) -> list[int]:
    return rows.pipe(in_total_order, *words).collect()["raw_item_id"].to_list()


def seconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp())


def test_ties_by_item_id():
    assert order(raw([(1, 30, 5), (1, 10, 5), (1, 20, 4)]), "item") == [20, 10, 30]


def test_ties_by_lot_follow_the_seed_and_not_the_order_of_the_frame():
    rows = raw([(1, item, 5 + item // 100) for item in (*range(40), 100, 101)])
    drawn = order(rows, "random", 3)
    assert sorted(drawn[:40]) == list(range(40))
    assert drawn[:40] != list(range(40))
    assert sorted(drawn[40:]) == [100, 101]  # later ones stay later
    assert order(rows.reverse(), "random", 3) == drawn
    assert order(rows, "random", 4) != drawn


def test_the_leaky_time_scale_sees_the_held_out_gaps():
    rows = raw([(1, item, t) for item, t in enumerate([100, 100, 130, 150, 152, 153], start=1)])
    rows = pl.concat([rows, raw([(2, 1, 0)])])
    for part, scale in (("train", 20), ("history", 1)):
        tables = core_tables(rows, NO_ITEMS, "cold-start", Options(time_scale=part))
        assert tables.users["time_scale"].to_list() == [scale, 1]


@pytest.mark.parametrize(
    ("day", "season"),
    [((1, 15), 1), ((2, 28), 1), ((3, 1), 2), ((6, 1), 3), ((9, 30), 4), ((12, 1), 1)],
)
def test_seasons_begin_in_december(day, season):
    frame = pl.LazyFrame({"timestamp": [seconds(2001, *day)]}).pipe(with_week, "season")
    assert frame.collect()["week"].to_list() == [season]


def test_a_week_begins_when_it_does_in_the_zone():
    monday = pl.LazyFrame({"timestamp": [seconds(2001, 1, 8, 3), seconds(2001, 1, 8, 7)]})
    assert monday.pipe(with_week).collect()["week"].to_list() == [2, 2]
    local = monday.pipe(with_week, "week", "America/Chicago").collect()
    assert local["week"].to_list() == [1, 2]


def test_nothing_of_the_day_itself_is_known():
    midnight = seconds(2001, 1, 8)
    rows = raw([(1, 1, midnight - 1), (1, 2, midnight), (1, 3, midnight + 9)])
    assert known_before(rows, Options(date(2001, 1, 8))).collect()["raw_item_id"].to_list() == [1]
    assert known_before(rows, Options()).collect().height == 3


def test_only_what_is_not_the_default_enters_the_id():
    usual = snapshot_id("load", "5-core")
    assert snapshot_id("load", "5-core", Options()) == usual
    others = [
        Options(date(2001, 1, 8)),
        Options(date(2001, 1, 9)),
        Options(ties="item"),
        Options(ties="random"),
        Options(ties="random", tie_seed=1),
        Options(time_scale="history"),
        Options(calendar="season"),
        Options(time_zone="America/Chicago"),
    ]
    assert len({usual, *(snapshot_id("load", "5-core", one) for one in others)}) == 9


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ties": "title"}, "Unknown ties: got 'title', expected file or item or random"),
        ({"calendar": "moon"}, "Unknown calendar: got 'moon', expected week or season"),
        ({"time_zone": "Chicago"}, "Unknown time zone: got 'Chicago'"),
    ],
)
def test_other_words_are_refused(settings, says):
    with pytest.raises(RefusedError, match=says):
        Options(**settings)


def test_without_a_day_midnight_is_past_all_times_and_still_a_number_of_64_bits():
    assert 2**40 < Options().midnight < 2**63


def test_a_day_begins_in_utc_wherever_the_machine_stands(monkeypatch):
    try:
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("TZ", "America/Chicago")
            tzset()
            assert Options(date(2001, 1, 8)).midnight == 978_912_000
    finally:
        tzset()
