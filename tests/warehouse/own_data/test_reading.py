"""Files of one's own by the real reading: hand-made values, each kind of file and of column."""

import gzip
import sqlite3
import subprocess
import sys
import time

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from warehouse.errors import InUseError, RefusedError
from warehouse.own_data.description import Form, Items, Rating
from warehouse.own_data.reading import read_events, read_items

JULY = 1_593_604_800  # 2020-07-01 12:00:00 UTC
TWO = [("1", "2", JULY, None, None), ("7", "x", JULY + 1, None, None)]


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::"])
def test_the_separator_of_a_text_is_found(text, described, events, separator):
    path = text(*(separator.join(row) for row in (("u", "i", "t"), ("1", "2", str(JULY)))))
    assert events(described(), path) == TWO[:1]


def test_a_text_without_a_header_has_columns_by_number(text, described, events):
    columns = {"user": "column1", "item": "column2", "time": "column3"}
    path = text(f"1,2,{JULY}", f"7,x,{JULY + 1}")
    assert events(described(**columns), path) == TWO


def test_packed_marked_and_windows_texts_are_read(tmp_path, described, events):
    lines = f"u,i,t\r\n1,2,{JULY}\r\n7,x,{JULY + 1}\r\n"
    path = tmp_path / "events.csv"
    path.write_bytes(b"\xef\xbb\xbf" + lines.encode())
    assert events(described(), path) == TWO
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(lines.encode()))
    assert events(described(), path) == TWO
    path = tmp_path / "packed"  # of no name that would tell
    path.write_bytes(pa.compress(lines.encode(), codec="zstd", asbytes=True))
    assert events(described(), path) == TWO


def test_parquet_parts_are_read_in_the_order_of_their_names(parquet, described, events, tmp_path):
    for part in ("b/part-0", "a/part-10", "a/part-2", "_old/part-0", ".x"):
        parquet(
            f"SELECT '{part}' AS u, range AS i, {JULY} AS t FROM range(2)", f"in/{part}.parquet"
        )
    rows = events(described(), tmp_path / "in", "source_row, user_key, item_key")
    parts = ["a/part-10", "a/part-10", "a/part-2", "a/part-2", "b/part-0", "b/part-0"]
    assert rows == [(n + 1, part, str(n % 2)) for n, part in enumerate(parts)]


def test_the_order_of_a_large_file_is_kept(parquet, described, connection, tmp_path):
    """Many row groups, which several threads read at once."""
    n = 300_000
    query = f"SELECT range AS i, 'u' AS u, {JULY} AS t FROM range"
    parquet(f"{query}({n})", "in/a.parquet")
    parquet(f"{query}({n}, {2 * n})", "in/b.parquet")
    read_events(connection, described(), tmp_path / "in")
    assert connection.execute(
        "SELECT count(*), count_if(item_key::BIGINT + 1 = source_row) FROM own_events"
    ).fetchall() == [(2 * n, 2 * n)]


def test_the_places_of_broken_lines_are_their_own(tmp_path, described, connection):
    """Of 200,000 rows every 1,000th, and some side by side, has a field too few."""
    broken = {*range(1_000, 200_001, 1_000), 1, 2, 3, 150_001}
    path = tmp_path / "events.csv"
    with path.open("w") as file:
        file.write("u,i,t\n")
        for n in range(1, 200_001):
            file.write(f"{n},{n}\n" if n in broken else f'"{n}",{n},{JULY}\n')
    read_events(connection, described(), path)
    rows = connection.execute("SELECT source_row, line FROM own_events WHERE reason IS NOT NULL")
    assert dict(rows.fetchall()) == {n: f"{n},{n}" for n in broken}
    assert connection.execute(
        "SELECT count(*), count_if(source_row = user_key::INT), count(DISTINCT source_row) "
        "FROM own_events WHERE reason IS NULL"
    ).fetchall() == [(200_000 - len(broken),) * 3]


def test_lines_that_are_no_rows_have_their_reasons(tmp_path, described, events):
    path = tmp_path / "events.csv"
    lines = [b"u,i,t", b"1,2,%d" % JULY, b"1,2", b"1,2,3,4", b'1,"b"ad,3', b"\xff,2,3"]
    path.write_bytes(b"\n".join([*lines, *[b"7,x,%d" % (JULY + 1)] * 3]) + b"\n")
    rows = events(described(), path, "source_row, user_key, reason, line")
    assert rows[0][:3] == (1, "1", None)
    assert rows[1] == (2, None, "fields are missing", "1,2")
    assert rows[2] == (3, None, "too many fields", "1,2,3,4")
    assert rows[3] == (4, None, "a quote is open or astray", '1,"b"ad,3')
    assert rows[4][:3] == (5, None, "no text in UTF-8")
    assert rows[5][:3] == (6, "7", None)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_empty_lines_before_the_header_are_no_part_of_the_rows(tmp_path, described, events, end):
    path = tmp_path / "events.csv"
    lines = ["", "", "u,i,t", f"1,2,{JULY}", "1,2", f"7,x,{JULY + 1}", ""]
    path.write_bytes(end.join(lines).encode())
    assert events(described(), path, "source_row, user_key, reason, line")[:2] == [
        (1, "1", None, f'{{"u":"1","i":"2","t":"{JULY}"}}'),
        (2, None, "fields are missing", "1,2"),
    ]
    assert len(events(described(), path)) == 3


def test_fields_with_line_ends_and_quotes_are_whole(text, described, events):
    path = text('"u","i","t"', '"a ""b""","x', f'y","{JULY}"')
    assert events(described(), path) == [('a "b"', "x\ny", JULY, None, None)]


def test_a_quote_that_is_never_closed_is_rejected_with_what_it_takes(text, described, events):
    path = text("u,i,t", f"1,2,{JULY}", '"1,2,3', "4,5,6")
    rows = events(described(), path, "reason, line")
    assert rows[-1] == ("a quote is open or astray", '"1,2,3\n4,5,6\n')


def test_tables_of_a_duckdb_file(tmp_path, described, events):
    path = tmp_path / "events.duckdb"
    with duckdb.connect(str(path)) as maker:
        maker.execute("CREATE TYPE kind AS ENUM ('x', 'y')")
        maker.execute("CREATE TABLE e AS SELECT 'x'::kind AS i, 1::HUGEINT AS u, 1593604800 AS t")
    assert events(described(), path) == [("1", "x", JULY, None, None)]
    assert events(described(form=Form(table="e")), path) == [("1", "x", JULY, None, None)]
    with duckdb.connect(str(path)) as maker:
        maker.execute("CREATE SCHEMA log; CREATE VIEW log.v AS SELECT * FROM e")
    with pytest.raises(RefusedError, match=r"has 2 tables: got e, log\.v\. Name one"):
        events(described(), path)
    assert events(described(form=Form(table="log.v")), path) == [("1", "x", JULY, None, None)]
    with pytest.raises(RefusedError, match=r"has no table f: got e, log\.v"):
        events(described(form=Form(table="f")), path)


def test_a_duckdb_file_in_use_is_said_to_be(tmp_path, described, events):
    path = tmp_path / "events.duckdb"
    code = (
        f"import duckdb; c = duckdb.connect({str(path)!r}); c.execute('CREATE TABLE e (u INT)'); "
        "print(1, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        with pytest.raises(InUseError, match="held open by another program"):
            events(described(), path)
        holder.communicate(b"\n")


def sqlite(path, *statements):
    with sqlite3.connect(path) as file:
        for statement in statements:
            file.execute(statement)
    file.close()
    return path


def test_tables_of_a_sqlite_file_whose_values_have_types_of_their_own(tmp_path, described, events):
    path = sqlite(
        tmp_path / "events.db",
        "CREATE TABLE e (u, i, t, r)",
        f"INSERT INTO e VALUES (9223372036854775807, 'x', {JULY}, 3.5), ('007', 2, {JULY}.25, 4)",
        f"INSERT INTO e VALUES (NULL, '', '{JULY + 2}', 1), (-1, 5, {JULY}, 'bad')",
        "CREATE INDEX covers ON e (i, u, t, r)",
    )
    said = described(time_unit="seconds", rating=Rating("r", 1, 5, 0.5))
    assert events(said, path) == [
        ("9223372036854775807", "x", JULY, 3.5, None),
        ("007", "2", JULY, 4, None),
        (None, None, JULY + 2, 1, "user is missing"),
        ("-1", "5", JULY, None, "rating is not a number"),
    ]
    sqlite(path, f"INSERT INTO e VALUES (x'00ff', 1, {JULY}, 1)")
    with pytest.raises(RefusedError, match="u holds binary values: got 1 of them"):
        events(said, path)
    sqlite(path, "CREATE TABLE f (x)")
    with pytest.raises(RefusedError, match="has 2 tables: got e, f"):
        events(said, path)


def test_a_sqlite_file_of_many_batches_keeps_its_order(tmp_path, described, connection):
    path = sqlite(
        tmp_path / "events.db",
        "CREATE TABLE e (u, i, t)",
        "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 250000) "
        f"INSERT INTO e SELECT 250000 - k, k, {JULY} FROM n",
        "CREATE INDEX covers ON e (u, i, t)",
    )
    read_events(connection, described(), path)
    assert connection.execute(
        "SELECT count(*), count_if(item_key::INT = source_row) FROM own_events"
    ).fetchall() == [(250_000, 250_000)]


@pytest.mark.parametrize(
    ("values", "keys", "reasons"),
    [
        ("(1::HUGEINT), (-5), (NULL)", ["1", "-5", None], [None, None, "user is missing"]),
        ("(18446744073709551615::UBIGINT)", ["18446744073709551615"], [None]),
        ("('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::UUID)",
         ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], [None]),
        ("(' a '), (''), ('007'), ('1.5'), ('Ü')", [" a ", None, "007", "1.5", "Ü"],
         [None, "user is missing", None, None, None]),
        ("(1.00::DECIMAL(9, 2)), (1.50), (NULL)", ["1", None, None],
         [None, "user is a number with a fraction", "user is missing"]),
        ("(123::DOUBLE), (0.5), ('nan'), ('inf'), (1e16)", ["123", None, None, None, None],
         [None, "user is a number with a fraction", "user is missing", "user is infinite",
          "user is a float above 9007199254740992, where several ids look the same"]),
    ],
)  # fmt: skip
def test_ids_of_any_kind(parquet, described, events, values, keys, reasons):
    query = f"SELECT col0 AS u, 1 AS i, {JULY} AS t FROM (VALUES {values})"
    rows = events(described(), parquet(query), "user_key, reason")
    assert [row[0] for row in rows] == keys
    assert [row[1] for row in rows] == reasons


def test_a_whole_number_of_128_bits_is_kept_in_a_table(tmp_path, described, events):
    """In Parquet it would be a float."""
    most = 2**127 - 1
    with duckdb.connect(str(tmp_path / "x.duckdb")) as maker:
        maker.execute(f"CREATE TABLE e AS SELECT {most}::HUGEINT AS u, 1 AS i, {JULY} AS t")
    assert events(described(), tmp_path / "x.duckdb", "user_key, reason") == [(str(most), None)]


def test_words_of_a_dictionary_and_uuids_that_arrow_writes(tmp_path, described, events):
    users = pa.array(["a", "b", "a"]).dictionary_encode()
    uuid = bytes.fromhex("a0eebc999c0b4ef8bb6d6bb9bd380a11")
    items = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid] * 3, pa.binary(16)))
    times = pa.array([JULY * 1000 + 5] * 3, pa.timestamp("ms", "UTC"))
    pq.write_table(pa.table({"u": users, "i": items, "t": times}), tmp_path / "x.parquet")
    said = "user_key, item_key, timestamp, nanosecond, reason"
    key = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    assert events(described(), tmp_path / "x.parquet", said) == [
        (user, key, JULY, 5_000_000, None) for user in "aba"
    ]


@pytest.mark.parametrize("kind", ["BLOB", "INTEGER[]", "BOOLEAN", "DATE", "STRUCT(a INTEGER)"])
def test_columns_that_hold_no_ids_are_refused(parquet, described, events, kind):
    path = parquet(f"SELECT NULL::{kind} AS u, 1 AS i, {JULY} AS t")
    with pytest.raises(RefusedError, match="u can't hold the ids of users: got"):
        events(described(), path)


def test_whole_numbers_that_pandas_wrote_as_floats_are_whole(text, described, connection):
    rows = [f"{n}.0,{n}.{n % 10},{JULY}" for n in range(1, 200)]
    rows += [f"0.5,1.1,{JULY}", f",1.1,{JULY}"]
    read = read_events(connection, described(), text("u,i,t", *rows))
    assert "u has whole numbers as floats, such as 123.0: the id is 123" in read.notes
    found = connection.execute("SELECT user_key, item_key, reason FROM own_events").fetchall()
    assert found[:2] == [("1", "1.1", None), ("2", "2.2", None)]
    assert [row[2] for row in found[-2:]] == [
        "user is a number with a fraction",
        "user is missing",
    ]


@pytest.mark.parametrize(
    ("column", "zone", "second", "nanosecond"),
    [
        (f"{JULY}::INTEGER", "UTC", JULY, 0),
        (f"{JULY}.5::DOUBLE", "UTC", JULY, 500_000_000),
        (f"{JULY}.25::DECIMAL(18, 3)", "UTC", JULY, 250_000_000),
        (f"{JULY}123::BIGINT", "UTC", JULY, 123_000_000),
        (f"{JULY}123456::UBIGINT", "UTC", JULY, 123_456_000),
        (f"{JULY}123456789::BIGINT", "UTC", JULY, 123_456_789),
        ("18444::SMALLINT", "UTC", JULY - 43_200, 0),
        ("DATE '2020-07-01'", "UTC", JULY - 43_200, 0),
        ("DATE '2020-07-01'", "Europe/Berlin", JULY - 43_200 - 7_200, 0),
        ("TIMESTAMP '2020-07-01 12:00:00.123456'", "UTC", JULY, 123_456_000),
        ("TIMESTAMP '2020-07-01 12:00:00.5'", "America/New_York", JULY + 14_400, 500_000_000),
        ("TIMESTAMP_NS '2020-07-01 12:00:00.123456789'", "UTC", JULY, 123_456_789),
        (
            "TIMESTAMP_NS '2020-07-01 12:00:00.123456789'",
            "Asia/Kolkata",
            JULY - 19_800,
            123_456_789,
        ),
        # DuckDB 2 would put it into the next year
        ("TIMESTAMP_NS '2024-12-31 23:59:59.9999999'", "UTC", 1_735_689_599, 999_999_900),
        ("TIMESTAMP_S '2020-07-01 12:00:00'", "UTC", JULY, 0),
        ("TIMESTAMP_MS '2020-07-01 12:00:00.25'", "UTC", JULY, 250_000_000),
        ("TIMESTAMPTZ '2020-07-01 14:00:00.5+02:00'", "Asia/Kolkata", JULY, 500_000_000),
    ],
)
def test_times_of_any_type(tmp_path, described, events, column, zone, second, nanosecond):
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as maker:
        maker.execute(f"CREATE TABLE e AS SELECT 1 AS u, 1 AS i, {column} AS t")
    rows = events(described(zone=zone), path, "timestamp, nanosecond, reason")
    assert rows == [(second, nanosecond, None)]


@pytest.mark.parametrize(
    ("written", "zone", "second", "nanosecond"),
    [
        ("2020-07-01", "UTC", JULY - 43_200, 0),
        ("2020-07-01T12:00:00Z", "Asia/Kolkata", JULY, 0),
        ("2020-07-01 12:00", "UTC", JULY, 0),
        ("2020-07-01T14:00:00.123456789+02:00", "UTC", JULY, 123_456_789),
        ("2020-07-01 14:00:00.5+0200", "UTC", JULY, 500_000_000),
        ("2020-07-01T07:30:00,25-04:30", "UTC", JULY, 250_000_000),
        ("2020-07-01T08:00:00-04", "UTC", JULY, 0),
        ("2020-07-01 12:00:00 UTC", "Asia/Kolkata", JULY, 0),
        ("2020-07-01 14:00:00", "Europe/Berlin", JULY, 0),
        ("2020-01-01 13:00:00", "Europe/Berlin", 1_577_880_000, 0),  # an hour in winter
        ("2020-03-29 02:30:00", "Europe/Berlin", 1_585_445_400, 0),  # left out: as 03:30
        ("2020-10-25 02:30:00", "Europe/Berlin", 1_603_589_400, 0),  # twice: the later one
    ],
)
def test_iso_dates_with_and_without_zones(
    text, described, events, written, zone, second, nanosecond
):
    path = text("u;i;t", f'1;1;"{written}"')
    rows = events(described(zone=zone), path, "timestamp, nanosecond, reason")
    assert rows == [(second, nanosecond, None)]


@pytest.mark.parametrize(
    ("form", "written", "second", "nanosecond"),
    [
        ("%d.%m.%Y %H:%M", "01.07.2020 14:00", JULY, 0),
        ("%d.%m.%Y %H:%M:%S.%f", "01.07.2020 14:00:00.5", JULY, 500_000_000),
        ("%d.%m.%Y %H:%M %z", "01.07.2020 12:00 +0000", JULY, 0),
        ("%d/%b/%Y:%H:%M:%S.%n", "01/Jul/2020:14:00:00.123456789", JULY, 123_456_789),
        ("%Y%m%d", "20200701", JULY - 50_400, 0),
    ],
)
def test_a_pattern_reads_times(text, described, events, form, written, second, nanosecond):
    said = described(time_format=form, zone="Europe/Berlin")
    rows = events(said, text("u;i;t", f"1;1;{written}"), "timestamp, nanosecond, reason")
    assert rows == [(second, nanosecond, None)]


def test_whole_numbers_are_read_by_a_pattern(parquet, described, events):
    path = parquet("SELECT 1 AS u, 1 AS i, 20200701 AS t")
    rows = events(described(time_format="%Y%m%d"), path, "timestamp, reason")
    assert rows == [(JULY - 43_200, None)]


def test_times_that_can_not_be_taken_have_their_reasons(text, described, events):
    tomorrow = int(time.time()) + 2 * 86_400
    values = ["", "x", "-1", "-0.5", str(tomorrow), "1e300", "nan", "1_000", " 5", "0"]
    path = text("u,i,t", *(f"1,1,{value}" for value in values))
    rows = events(described(time_unit="seconds"), path, "reason")
    assert [row[0] for row in rows] == [
        "time is missing",
        "time is not a number of seconds",
        "time is before 1970",
        "time is before 1970",
        "time is in the future",
        "time is in the future",
        "time is not a number of seconds",
        "time is not a number of seconds",
        "time is not a number of seconds",
        None,
    ]


@pytest.mark.parametrize(
    ("unit", "value", "rather"),
    [
        ("seconds", "1704067200000", ": in milliseconds it would be 2024-01-01"),
        ("seconds", "1704067200000000.5", ": in microseconds it would be 2024-01-01"),
        ("milliseconds", "1704153599999999999", ": in nanoseconds it would be 2024-01-01"),
        ("days", "1704067200", ": in seconds it would be 2024-01-01"),
        ("seconds", "17040672000", ""),  # 1970 in milliseconds
        ("nanoseconds", "9999999999999999999", ""),
    ],
)
def test_a_time_in_the_future_is_said_in_the_unit_that_fits(
    text, parquet, described, events, unit, value, rather
):
    said = described(time_unit=unit)
    expected = [(f"time is in the future{rather}",)]
    assert events(said, text("u;i;t", f"1;1;{value}"), "reason") == expected
    path = parquet(f"SELECT 1 AS u, 1 AS i, {value}::DOUBLE AS t")
    assert events(said, path, "reason") == expected or "9999999999" in value


def test_moments_that_can_not_be_taken_have_their_reasons(parquet, described, events):
    moments = "('infinity'::TIMESTAMP), ('1969-12-31 23:59:59.5'), ('9999-12-31'), (NULL)"
    path = parquet(f"SELECT 1 AS u, 1 AS i, col0 AS t FROM (VALUES {moments})")
    reasons = ["time is no moment", "time is before 1970", "time is in the future"]
    assert [row[0] for row in events(described(), path, "reason")] == [*reasons, "time is missing"]
    iso = "('2020-02-30'), ('2020-07-01T25:00'), ('July'), ('2020-07-01 12:00 CET')"
    path = parquet(f"SELECT 1 AS u, 1 AS i, col0 AS t FROM (VALUES {iso})")
    said = described(time_format="ISO 8601")
    assert [row[0] for row in events(said, path, "reason")] == ["time is not ISO 8601"] * 4


def test_ratings_off_the_scale_have_their_reasons(text, described, events):
    values = ["0.5", "5.0", "11", "0", "3.3", "nan", "inf", "", "x", "4,5", "1_0"]
    path = text("u;i;t;r", *(f"1;1;{JULY};{value}" for value in values))
    rows = events(described(rating=Rating("r", 0.5, 5, 0.5)), path, "rating, reason")
    assert rows == [
        (0.5, None),
        (5.0, None),
        (None, "rating 11 is above 5: is `high` right?"),
        (None, "rating 0 is below 0.5: is `low` right?"),
        (3.5, "rating 3.3 is not on the scale"),
        (None, "rating is not a number"),
        (None, "rating inf is above 5"),
        (None, "rating is missing"),
        (None, "rating is not a number"),
        (None, "rating has a decimal comma"),
        (None, "rating is not a number"),
    ]


def test_a_decimal_comma_is_read_where_it_is_said(text, parquet, described, events):
    values = ["1,0", "4,5", "5", " 2,5 ", "4.5", "1.000,5", "6,0", "1,0,0"]
    path = text("u;i;t;r", *(f"1;1;{JULY};{value}" for value in values))
    said = described(rating=Rating("r", 1, 5, 0.5, ","))
    assert events(said, path, "rating, reason") == [
        (1.0, None), (4.5, None), (5.0, None), (2.5, None),
        (None, "rating is not a number"), (None, "rating is not a number"),
        (None, "rating 6 is above 5: is `high` right?"), (None, "rating is not a number"),
    ]  # fmt: skip
    path = parquet(f"SELECT 1 AS u, 1 AS i, {JULY} AS t, 4.5::DOUBLE AS r")  # no text: no sign
    assert events(said, path, "rating, reason") == [(4.5, None)]


@pytest.mark.parametrize(("n_above", "asked"), [(2, ""), (3, ": is `high` right?")])
def test_many_ratings_beyond_an_end_ask_whether_it_is_right(
    parquet, described, events, n_above, asked
):
    """Of 200 ratings; more than one of 100 is many."""
    values = f"CASE WHEN range < {n_above} THEN 9 WHEN range = 99 THEN 0 ELSE 3 END"
    path = parquet(f"SELECT 1 AS u, 1 AS i, {JULY} AS t, {values} AS r FROM range(200)")
    rows = events(described(rating=Rating("r", 1, 5, 1)), path, "reason")
    assert [reason for (reason,) in rows if reason] == [
        *[f"rating 9 is above 5{asked}"] * n_above, "rating 0 is below 1",
    ]  # fmt: skip


def test_ratings_of_which_none_is_known_are_all_missing(parquet, described, events):
    path = parquet(f"SELECT 1 AS u, 1 AS i, {JULY} AS t, NULL::DOUBLE AS r")
    rows = events(described(rating=Rating("r", 1, 5, 1)), path, "rating, reason")
    assert rows == [(None, "rating is missing")]


def test_any_number_between_is_a_rating_without_a_step(parquet, described, events):
    path = parquet(f"SELECT 1 u, 1 i, {JULY} t, unnest(['0.1', '3.14159', 'nan']::FLOAT[]) AS r")
    rows = events(described(rating=Rating("r", 0, 5)), path, "round(rating, 5), reason")
    assert rows[:2] == [(pytest.approx(0.1), None), (pytest.approx(3.14159), None)]
    assert rows[2][1] == "rating is not a number"


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"user": "v"}, r"has no column v: got u, i, t, Items"),
        ({"user": "items"}, r"has no column items: .*Did you mean Items\?$"),
        ({"zone": "Berlin"}, "`zone` is not known: got 'Berlin'"),
        ({"zone": "europe/berlin"}, "Europe/Berlin is one"),
        ({"time_format": "%Q%"}, "no pattern of strptime"),
        ({"time": "Items"}, "How Items is written is not plain: got 'x'"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(text, described, events, said, match):
    path = text("u,i,t,Items", f"1,1,{JULY},x")
    with pytest.raises(RefusedError, match=match):
        events(described(**said), path)


def test_a_time_that_needs_no_unit_is_refused_one(parquet, described, events):
    path = parquet("SELECT 1 AS u, 1 AS i, TIMESTAMP '2020-01-01' AS t")
    with pytest.raises(RefusedError, match=r"t needs no time_unit: got TIMESTAMP and 'seconds'"):
        events(described(time_unit="seconds"), path)
    path = parquet("SELECT 1 AS u, 1 AS i, [1] AS t")
    with pytest.raises(RefusedError, match=r"t can't hold times: got INTEGER\[\]"):
        events(described(), path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"PK\x03\x04rest", "a zip archive or a spreadsheet"),
        (b"PAR1 and no more", "can't be read as Parquet"),
        (b"SQLite format 3\0 and no more", "can't be read as SQLite"),
        (b"\x1f\x8b and no more", "can't be unpacked"),
        ("u,i,t\n".encode("utf-16"), "no text in UTF-8"),
        (b"one word\n", "what separates the fields is not to be seen"),
    ],
)
def test_files_that_can_not_be_read_are_refused(tmp_path, described, events, content, match):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(RefusedError, match=match):
        events(described(), path)


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path, described, events):
    with pytest.raises(RefusedError, match="No such file"):
        events(described(), tmp_path / "none.csv")
    (tmp_path / "in").mkdir()
    with pytest.raises(RefusedError, match="has nothing to read"):
        events(described(), tmp_path / "in")


def test_parts_of_different_types_are_refused(parquet, described, events, tmp_path):
    parquet(f"SELECT 1 AS u, 1 AS i, {JULY} AS t", "in/a.parquet")
    parquet(f"SELECT 'x' AS u, 1 AS i, {JULY} AS t", "in/b.parquet")
    with pytest.raises(RefusedError, match="u is of different types in its parts"):
        events(described(), tmp_path / "in")


def test_items_with_titles_and_categories(text, parquet, connection, tmp_path):
    rows = "SELECT source_row, item_key, title, categories, reason FROM own_items"
    path = text(
        "id,name,kinds", '2,"A, film",x; y;', "3,,", "2,again,z", ",none,", name="items.csv"
    )
    read_items(connection, Items(path, "id", "name", "kinds", ";"))
    assert connection.execute(rows).fetchall() == [
        (1, "2", "A, film", "x|y", None),
        (2, "3", None, "", None),
        (3, "2", "again", "z", "an earlier row has this item"),
        (4, None, "none", "", "item is missing"),
    ]
    path = parquet("SELECT 7::BIGINT AS id, ['a', NULL, 'b c'] AS kinds UNION ALL SELECT 8, NULL")
    read_items(connection, Items(path, "id", None, "kinds"))
    assert connection.execute(rows).fetchall() == [
        (1, "7", None, "a|b c", None),
        (2, "8", None, "", None),
    ]
