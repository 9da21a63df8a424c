"""Staged files: rows in order, types of the tables, and a folder that goes at the end."""

from datetime import datetime

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse import staging as staging_module
from warehouse.database import connected, statements
from warehouse.following import newest
from warehouse.staging import (
    Regrouped,
    StagedTable,
    auditable,
    audited,
    stage_frame,
    stage_rows,
)
from warehouse.store import place_all, staged_file, staged_files
from warehouse.stored import KEYS, stored_tables
from warehouse.values import values_sha256


def items(rows: int) -> pl.DataFrame:
    numbers = pl.Series("raw_item_id", range(rows), pl.Int32)
    return numbers.to_frame().with_columns(title=pl.lit("T"), genres=pl.lit(""))


@pytest.mark.parametrize("pieces", [[7], [3, 5, 4], [1, 1, 1, 9], [8], []])
def test_a_frame_of_any_pieces_is_a_file_in_order_in_whole_groups(staging, monkeypatch, pieces):
    monkeypatch.setattr(staging_module, "ROWS_A_GROUP", 4)
    whole, folder = items(sum(pieces)), staging()
    frames, start = [items(0)], 0
    for size in pieces:
        frames.append(whole.slice(start, size))
        start += size
    stage_frame(folder, "raw.items", "load", pl.concat(frames, rechunk=False))
    file = pq.ParquetFile(staged_file(folder, "raw.items", "load"))
    groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert all(rows == 4 for rows in groups[:-1])
    assert sum(groups) == len(whole)
    assert file.read()["raw_item_id"].to_pylist() == list(range(len(whole)))


def test_a_frame_gets_the_tables_types_and_columns(staging):
    folder = staging()
    stage_frame(folder, "raw.items", "load", items(2).with_columns(more=1, load_id=pl.lit("x")))
    table = pq.read_table(staged_file(folder, "raw.items", "load"), partitioning=None)
    assert table.column_names == ["raw_item_id", "title", "genres"]
    assert str(table.schema.field("raw_item_id").type) == "int64"


@pytest.mark.parametrize("value", [2**40, -(2**31) - 1])
def test_a_number_that_does_not_fit_is_an_error_not_another_number(staging, value):
    row = {"user_id": value, "raw_user_id": 1, "n_interactions": 1, "n_train": 1, "time_scale": 1}
    with pytest.raises(pl.exceptions.InvalidOperationError, match="conversion"):
        stage_frame(staging(), "core.users", "s", pl.DataFrame([row]))


def test_rows_of_a_query_are_staged_with_its_parameters(staging):
    folder = staging()
    with connected(folder / "work.duckdb") as connection:
        connection.execute(statements("schema/raw"))
        query = "SELECT i AS raw_item_id, 'T' || i AS title, '' AS genres FROM range($n) AS r(i)"
        rows = f"{query} ORDER BY i DESC"
        count = stage_rows(connection, folder, "raw.items", "load", rows, {"n": 5})
        seen = connection.execute("SELECT load_id, title FROM raw.items LIMIT 2").fetchall()
    assert (count, seen) == (5, [("load", "T4"), ("load", "T3")])
    assert staged_files(folder)["raw.items"] == [staged_file(folder, "raw.items", "load")]


def test_an_audit_sees_what_is_staged_and_the_rest_empty(staging):
    folder = staging()
    stage_frame(folder, "raw.items", "load", items(3))
    with auditable(folder) as connection:
        connection.execute(
            "INSERT INTO raw.loads VALUES ('load', 'd', 's', 'x', true, ?, 1, 1, 1, 0)",
            [datetime(2026, 1, 1)],
        )
    with duckdb.connect(str(audited(folder)), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM raw.loads").fetchone() == (1,)
        for name in KEYS:
            found = connection.sql(f"FROM {name}")
            types = dict(zip(found.columns, map(str, found.types), strict=True))
            assert types == stored_tables()[name].types
            count = connection.execute(f"SELECT count(*) FROM {name}").fetchall()
            assert count == [(3 if name == "raw.items" else 0,)]


def test_an_audit_sees_published_files_beside_the_staged(home, staging, store_frames):
    (file,) = store_frames({("raw.items", "load"): items(4)})
    folder = staging()
    with auditable(folder, {"raw.items": [home.root / file.path]}) as connection:
        counts = "SELECT load_id, count(*) FROM raw.items GROUP BY ALL"
        assert connection.execute(counts).fetchall() == [("load", 4)]


def test_what_is_placed_is_seen_by_nobody_until_it_is_listed(home, staging, store_frames):
    store_frames({("raw.items", "one"): items(1)})
    before = newest(home), home.published.read_bytes()
    folder = staging()
    stage_frame(folder, "raw.items", "two", items(2))
    (file,) = place_all(home, folder)
    assert (home.root / file.path).exists()
    assert staged_files(folder)["raw.items"] == []
    assert (newest(home), home.published.read_bytes()) == before
    with duckdb.connect(str(home.published), read_only=True) as readers:
        assert readers.execute("SELECT DISTINCT load_id FROM raw.items").fetchall() == [("one",)]


@settings(deadline=None)  # a busy machine is no error
@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 7))
def test_rows_come_in_groups_of_one_length_however_they_were_cut(parts, length):
    written: list[pa.Table] = []
    rows = pa.table({"number": range(sum(parts))})
    regrouped, first = Regrouped(length, written.append), 0
    for part in parts:
        regrouped.add(rows[first : first + part])
        first += part
    regrouped.end()
    assert all(len(table) % length == 0 and len(table) for table in written[:-1])
    assert pa.concat_tables([rows[:0], *written]).equals(rows)


def test_a_staged_table_in_parts_is_the_one_of_the_frame(staging):
    """Words of a list are text in the file, as in a frame's; no rows are a table too."""
    words = pl.Enum(["train", "valid", "test"])
    frame = pl.DataFrame(
        {
            "split": ["train", "valid", "test", "train"],
            "user_id": [1, 1, 1, 2],
            "item_ids": [[3], [], [4, 5], [6]],
        }
    )
    for rows in (frame, frame[:0]):
        whole, parts = staging(), staging()
        stage_frame(whole, "core.candidates", "one", rows)
        with StagedTable(parts, "core.candidates", "one") as table:
            for row in range(rows.height):
                table.add(rows[row : row + 1].with_columns(pl.col("split").cast(words)))
        first, second = (staged_files(folder)["core.candidates"][0] for folder in (whole, parts))
        assert values_sha256(first) == values_sha256(second)
        with duckdb.connect() as connection:
            types = [
                connection.execute("DESCRIBE FROM read_parquet($1)", [str(path)]).fetchall()
                for path in (first, second)
            ]
        assert types[0] == types[1]
