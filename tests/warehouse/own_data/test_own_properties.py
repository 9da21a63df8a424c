"""What holds of every id and every time: the text in is the key out, the unit is exact."""

import csv
import sqlite3
import time

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from warehouse.own_data.reading import read_events
from warehouse.own_data.times import NANOS

FEW = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
# one that is no number, so that 1.0 is what it says
IDS = st.lists(
    min_size=8, elements=TEXT | st.sampled_from(["007", "1.0", " x", "NULL", '"', "a,b", "\n"])
).map(lambda ids: ["no number", *ids])
DAY = 86_400


def as_csv(path, ids):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows([["u", "i", "t"], *([text, "i", DAY] for text in ids)])


def as_parquet(path, ids):
    n = len(ids)
    pq.write_table(pa.table({"u": ids, "i": ["i"] * n, "t": [DAY] * n}), path)


def as_sqlite(path, ids):
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE e (u TEXT, i TEXT, t INTEGER)")
        file.executemany("INSERT INTO e VALUES (?, 'i', 86400)", [(one,) for one in ids])
    file.close()


@pytest.mark.parametrize("write", [as_csv, as_parquet, as_sqlite])
@FEW
@given(ids=IDS)
def test_the_text_in_is_the_key_out(tmp_path, described, write, ids):
    write(tmp_path / "events", ids)
    with duckdb.connect() as connection:
        read_events(connection, described(time_unit="seconds"), tmp_path / "events")
        rows = connection.execute("SELECT user_key, reason FROM own_events ORDER BY source_row")
        missing = (None, "user is missing")
        assert rows.fetchall() == [(text, None) if text else missing for text in ids]


@pytest.mark.parametrize("unit", NANOS)
@FEW
@given(moments=st.lists(st.integers(0, int(time.time()) * 10**9), min_size=8))
def test_a_time_is_exact_in_every_unit(tmp_path, described, unit, moments):
    counts = [moment // NANOS[unit] for moment in moments]
    expected = [divmod(count * NANOS[unit], 10**9) for count in counts]
    n = len(counts)
    pq.write_table(pa.table({"u": ["u"] * n, "i": ["i"] * n, "t": counts}), tmp_path / "whole")
    with (tmp_path / "text").open("w") as file:
        file.writelines(["u,i,t\n", *(f"u,i,{count}\n" for count in counts)])
    with duckdb.connect() as connection:
        for name in ("whole", "text"):
            read_events(connection, described(time_unit=unit), tmp_path / name)
            rows = connection.execute(
                "SELECT timestamp, nanosecond, reason FROM own_events ORDER BY source_row"
            ).fetchall()
            assert rows == [(second, rest, None) for second, rest in expected]


@FEW
@example(times=[(0, 33_310_491)])  # which a float makes a nanosecond less
@given(times=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9 - 1)), min_size=8))
def test_what_is_finer_than_a_second_is_kept_of_texts(tmp_path, described, times):
    path = tmp_path / "events.csv"
    path.write_text("\n".join(["u,i,t", *(f"u,i,{s}.{digits:09}" for s, digits in times)]) + "\n")
    with duckdb.connect() as connection:
        read_events(connection, described(time_unit="seconds"), path)
        query = "SELECT timestamp, nanosecond FROM own_events ORDER BY source_row"
        assert connection.execute(query).fetchall() == times
