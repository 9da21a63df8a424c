"""What is seen of a file, and the description that is proposed for it."""

import re
import tomllib

import pytest

from warehouse.errors import RefusedError
from warehouse.own_data.description import Rating, parse_description
from warehouse.own_data.proposing import describe, write

T = 1_700_000_000


@pytest.fixture
def looked(text):
    def look(*lines, **options):
        return describe(text(*lines), **options)

    return look


def test_what_is_plain_is_proposed_and_can_be_read(text):
    path = text(
        "userId,movieId,rating,timestamp",
        *(f"{n % 4},{n % 3},{0.5 + n % 10 / 2},{T + n}" for n in range(24)),
        f"5,5,,{T}",
    )
    seen = describe(path)
    assert seen.facts == {
        "file": "events.csv",
        "kind": "CSV",
        "rows": 25,
        "rows_that_repeat": "48 %",  # 12 pairs twice: 12 of 25
        "rows_taken": 24,
        "rows_refused": 1,
        "users": 4,
        "items": 3,
        "first_day": "2023-11-14",
        "last_day": "2023-11-14",
        "ratings": "0.5 to 5",
    }
    assert seen.refused == [{"rows": 1, "refused_as": "rating is missing"}]
    assert [(row["column"], row["taken_as"], row["different"]) for row in seen.columns] == [
        ("userId", "user", 5),
        ("movieId", "item", 4),
        ("rating", "rating", 10),
        ("timestamp", "time", 24),
    ]
    assert (seen.unclear, seen.notes) == ([], [])
    described = parse_description("events", seen.toml, path)
    assert described.rating == Rating("rating", 0.5, 5.0, 0.5)
    assert (described.user, described.item, described.time) == ("userId", "movieId", "timestamp")
    assert (described.time_unit, described.repeats) == ("seconds", "first")


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["1700000000", "1700000001"], {"time_unit": "seconds"}),
        (["1700000000.5", "1700000001"], {"time_unit": "seconds"}),
        (["1700000000123", "1700000000124"], {"time_unit": "milliseconds"}),
        (["1700000000123456", "1700000000123457"], {"time_unit": "microseconds"}),
        (["1700000000123456789", "1700000000123456780"], {"time_unit": "nanoseconds"}),
        (["19675", "19676"], {"time_unit": "days"}),
        (["2023-11-14T12:00:00Z", "2023-11-14"], {"time_format": "ISO 8601", "zone": "UTC"}),
        (["2023-11-14T12:00:00Z", "2023-11-14T12:00+01"], {"time_format": "ISO 8601"}),
        (["20231114", "20231130"], {"time_format": "%Y%m%d", "zone": "UTC"}),
        (["31/12/2023", "01/02/2023"], {"time_format": "%d/%m/%Y", "zone": "UTC"}),
        (["12/31/2023", "01/02/2023"], {"time_format": "%m/%d/%Y", "zone": "UTC"}),
        (["14.11.2023 07:00"] * 2, {"time_format": "%d.%m.%Y %H:%M", "zone": "UTC"}),
        (["01/15/2024 03:00 PM", "01/02/2024 12:05 AM"],
         {"time_format": "%m/%d/%Y %I:%M %p", "zone": "UTC"}),
        (["15/01/2024 03:00:59 pm"] * 2, {"time_format": "%d/%m/%Y %I:%M:%S %p", "zone": "UTC"}),
        (["2024-01-15 3:00 PM"] * 2, {"time_format": "%Y-%m-%d %I:%M %p", "zone": "UTC"}),
        (["14/Nov/2023:07:00:00 +0100"] * 2, {"time_format": "%d/%b/%Y:%H:%M:%S %z"}),
    ],
)  # fmt: skip
def test_how_times_are_written_is_found(looked, times, said):
    seen = looked("user;item;time", *(f"1;2;{one}" for one in times))
    found = tomllib.loads(seen.toml)
    keys = ("time_unit", "time_format", "zone")
    assert {key: found[key] for key in keys if key in found} == said
    assert seen.facts["rows_taken"] == 2
    assert any("no zone" in note for note in seen.notes) == ("zone" in said)


def test_one_value_in_a_thousand_tells_the_day_from_the_month(looked):
    lines = [f"1;{n};0{1 + n % 9}/0{1 + n % 7}/2023" for n in range(999)]
    assert looked("user;item;date", *lines).unclear == ["`time_format`: %d/%m/%Y or %m/%d/%Y"]
    seen = looked("user;item;date", *lines, "1;2;12/31/2023")
    assert tomllib.loads(seen.toml)["time_format"] == "%m/%d/%Y"


def test_a_time_whose_format_nobody_knows_is_still_the_time(looked):
    seen = looked("user;item;time", "1;2;15th of Brumaire", "1;3;16th of Brumaire")
    assert seen.unclear == ['`time_format`: how "15th of Brumaire" is written']
    assert 'time = "time"' in seen.toml.splitlines()
    line = next(line for line in seen.toml.splitlines() if "time_format" in line)
    assert re.sub(" +", " ", line) == (
        '# time_format = "…" # such as "15th of Brumaire": a pattern of strptime'
    )
    assert "rows_taken" not in seen.facts
    assert tomllib.loads(seen.toml)["time"] == "time"


def test_what_is_not_plain_is_left_to_fill_in(looked):
    seen = looked("user;sku;product_id;date;score;stars", *(
        f"{n};{n};{n};0{1 + n % 9}/0{1 + n % 7}/2023;{n};{n}" for n in range(30)
    ))  # fmt: skip
    assert seen.unclear == [
        "`item`: sku or product_id",
        "`time_format`: %d/%m/%Y or %m/%d/%Y",
        "`rating.column`: score or stars, or none",
    ]
    assert tomllib.loads(seen.toml) == {
        "user": "user", "time": "date", "zone": "UTC", "repeats": "first",
    }  # fmt: skip
    for line in ('# item = "…"', '# time_format = "%d/%m/%Y"', "# [rating]"):
        assert line in seen.toml.splitlines()
    assert "rows_taken" not in seen.facts
    with pytest.raises(RefusedError, match="`item` is missing"):
        parse_description("mine", seen.toml, seen.path)


def test_two_columns_of_times_are_not_chosen_between(looked):
    seen = looked("user,item,timestamp,date", f"1,2,{T},2023-11-14")
    assert seen.unclear == ["`time`: timestamp or date"]


def test_a_name_that_says_more_goes_before_one_that_says_less(looked):
    seen = looked("session_id,user_id,artist,track_id,ts", f"9,1,7,2,{T}", f"9,1,7,3,{T}")
    kinds = {row["column"]: row["taken_as"] for row in seen.columns}
    assert kinds == {
        "session_id": None, "user_id": "user", "artist": None, "track_id": "item", "ts": "time",
    }  # fmt: skip


def test_names_of_other_programs_are_known(looked):
    seen = looked("user_id:token\titem_id:token\ttimestamp:float", f"1\t2\t{T}.0")
    assert seen.unclear == []
    assert seen.facts["rows_taken"] == 1


def test_ratings_that_are_all_the_same_say_nothing(looked):
    seen = looked("user,item,rating,time", f"1,2,1,{T}", f"1,3,1,{T}")
    assert "rating is left out: all its values are the same" in seen.notes
    assert "rating" not in tomllib.loads(seen.toml)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (["1", "3", "5"], {"low": 1, "high": 5, "step": 1}),
        (["0.5", "3", "5"], {"low": 0.5, "high": 5, "step": 0.5}),
        (["0.1", "0.7"], {"low": 0.1, "high": 0.7, "step": 0.2}),
        (["-9.95", "3.14159"], {"low": -9.95, "high": 3.14159}),
        ([str(n / 7) for n in range(200)], {"low": 0, "high": 28.4286}),
    ],
)
def test_the_scale_is_that_of_what_was_seen(looked, values, scale):
    seen = looked("user;item;rating;time", *(f"1;2;{one};{T}" for one in values))
    found = tomllib.loads(seen.toml)["rating"]
    assert found == {"column": "rating", **scale}
    assert seen.facts["rows_refused"] == 0


def test_a_decimal_comma_is_found_and_proposed(looked):
    lines = [f"1;{n};{one};{T}" for n, one in enumerate(["1,0", "4,5", "3", ""])]
    seen = looked("user;item;rating;time", *lines)
    assert [row["holds"] for row in seen.columns][2] == "numbers with a decimal comma"
    found = {"column": "rating", "low": 1, "high": 4.5, "step": 0.5, "decimal": ","}
    assert tomllib.loads(seen.toml)["rating"] == found
    assert (seen.facts["rows_taken"], seen.facts["ratings"]) == (3, "1 to 4.5")


def test_items_with_titles_and_categories_are_proposed(text, tmp_path):
    events = text("user,movieId,time", f"1,2,{T}", f"1,3,{T}", f"2,4,{T}")
    items = text("movieId,title,genres", "2,A,x|y", "3,,x", name="movies.csv")
    seen = describe(events, items=items)
    assert tomllib.loads(seen.toml)["items"] == {
        "file": "movies.csv",
        "item": "movieId",
        "title": "title",
        "categories": "genres",
        "category_separator": "|",
    }
    facts = ("items_described", "items_with_title", "items_not_described")
    assert [seen.facts[fact] for fact in facts] == [2, 1, 1]


@pytest.mark.parametrize(
    ("header", "rows", "item"),
    [
        ("id,name,genres", ["2,A,x", "3,B,y"], "id"),
        ("nr,name,genres,id", ["2,A,x,10", "3,B,y,20"], "nr"),  # by its values
        ("id,name,year", ["10,A,1999", "20,B,2001"], "id"),  # neither has the events' items
        ("nr,name,year", ["10,A,1999", "20,B,2001"], None),
    ],
)
def test_the_id_of_items_is_none_of_the_columns_that_are_taken(text, header, rows, item):
    events = text("user,movieId,time", f"1,2,{T}", f"1,3,{T}")
    seen = describe(events, items=text(header, *rows, name="movies.csv"))
    assert tomllib.loads(seen.toml)["items"].get("item") == item
    assert seen.unclear == ([] if item else ["`items.item`: nr or year"])


def test_a_large_file_is_looked_at_in_part_and_said_to_be(looked):
    seen = looked("user,item,time", *(f"{n},2,{T}" for n in range(50)), sample=20)
    assert (seen.facts["rows"], seen.facts["users"]) == (20, 20)
    assert seen.notes == ["only the first 20 rows were looked at"]


def test_a_description_is_never_written_over_another(looked):
    seen = looked("user,item,time", f"1,2,{T}", name="mine")
    path = write(seen)
    assert path.name == "mine.toml"
    path.write_text("mine own")
    with pytest.raises(RefusedError, match="is there already"):
        write(seen)
    assert path.read_text() == "mine own"
    with pytest.raises(RefusedError, match="known already"):
        looked("user,item,time", f"1,2,{T}", name="ml-1m")


def test_names_with_quotes_and_signs_come_through(text):
    path = text('"user ""x""";item;"time\t1"', f"1;2;{T}")
    seen = describe(path)
    assert [row["column"] for row in seen.columns] == ['user "x"', "item", "time\t1"]
    assert seen.unclear == ['`user`: user "x"']
    assert tomllib.loads(seen.toml)["time"] == "time\t1"


def test_columns_of_every_type_are_shown_and_a_folder_is_described_beside_it(parquet, tmp_path):
    parquet(
        "SELECT uuid() AS visitor_id, ['a'] AS tags, {'x': 1} AS s, 'b'::BLOB AS b, NULL AS no, "
        "(range % 5)::DOUBLE AS asin, TIMESTAMPTZ '2024-01-01 00:30:00+01' AS at, true AS yes, "
        "TIME '12:00' AS clock, '' AS blank FROM range(10)",
        "log/part-0.parquet",
    )
    seen = describe(tmp_path / "log")
    assert {row["column"]: row["holds"] for row in seen.columns} == {
        "visitor_id": "uuid",
        "tags": "varchar[]",
        "s": "struct(x integer)",
        "b": "blob",
        "no": "nothing",
        "asin": "numbers",
        "at": "timestamp with time zone",
        "yes": "boolean",
        "clock": "time",
        "blank": "nothing",
    }
    assert seen.facts["kind"] == "1 Parquet file"
    assert (seen.facts["items"], seen.facts["first_day"]) == (5, "2023-12-31")
    assert seen.path == tmp_path / "log.toml"
    assert "asin has whole numbers as floats, such as 123.0: the id is 123" in seen.notes
