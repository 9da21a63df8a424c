"""Files of the store: where they lie, what their views show, and which damage is seen."""

import os
import re
import shutil
import time
from datetime import datetime, timedelta

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warehouse.catalogue import reading, writing
from warehouse.errors import RefusedError
from warehouse.identity import sha256_of
from warehouse.keeping import prune
from warehouse.kept_catalogues import KEPT
from warehouse.questions import ask
from warehouse.staging import POLARS, stage_frame
from warehouse.store import (
    has_files,
    list_files,
    listed,
    place_all,
    show_listed,
    stage_copy,
    staged_file,
    stored_files,
    unlist,
    unlisted,
)
from warehouse.stored import KEYS, stored_tables
from warehouse.stored_files import damaged

ITEMS = pl.DataFrame({"raw_item_id": [3, 1, 2], "title": ["C", "A", "É"], "genres": ["", "x", ""]})
VALUES = {
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
    "INTEGER": st.integers(-(2**31), 2**31 - 1),
    "TINYINT": st.integers(-128, 127),
    "FLOAT": st.floats(width=32),
    "VARCHAR": st.text(max_size=20),
    "INTEGER[]": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5),
    "TIMESTAMP": st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),
}


def frames_of(name: str) -> st.SearchStrategy[pl.DataFrame]:
    """Some rows of a stored table, without its key."""
    stored = stored_tables()[name]
    types = {column: stored.types[column] for column in stored.columns}
    rows = st.lists(st.tuples(*(VALUES[kind] for kind in types.values())), max_size=20)
    schema = {column: POLARS[kind] for column, kind in types.items()}
    return rows.map(lambda some: pl.DataFrame(some, schema, orient="row"))


def test_every_stored_table_is_one_of_the_schema():
    assert set(stored_tables()) == set(KEYS)
    for name, stored in stored_tables().items():
        assert stored.types[stored.key] == "VARCHAR"
        assert set(stored.types.values()) <= set(POLARS), name
        assert stored.comment
        assert all(stored.comments.values())


@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.fixed_dictionaries({name: frames_of(name) for name in KEYS}))
def test_random_rows_of_every_table_come_back_through_its_view(home, store_frames, tables):
    store_frames({(name, "the id"): frame for name, frame in tables.items()})
    with reading(home) as connection:
        for name, frame in tables.items():
            stored = stored_tables()[name]
            found = connection.sql(f"FROM {name}")
            assert dict(zip(found.columns, map(str, found.types), strict=True)) == stored.types
            rows = found.pl()
            assert rows.drop(stored.key).equals(frame)  # their order too
            assert rows[stored.key].to_list() == ["the id"] * frame.height


def test_a_table_without_files_has_its_columns(home, store_frames):
    store_frames({("raw.items", "load"): ITEMS})
    with reading(home) as connection:
        for name, stored in stored_tables().items():
            if name != "raw.items":
                found = connection.sql(f"FROM {name}")
                types = dict(zip(found.columns, map(str, found.types), strict=True))
                assert (types, found.fetchall()) == (stored.types, [])


def test_a_file_lies_under_its_hash_and_nobody_may_write_it(home, store_frames):
    (file,) = store_frames({("raw.items", "load"): ITEMS})
    path = home.files / file.path
    assert path.parent == home.store / "raw.items" / "load_id=load"
    assert re.fullmatch(rf"{file.sha256[:32]}(-\w+)?[.]parquet", path.name)  # in a lake: and more
    assert sha256_of(path) == file.sha256
    assert (path.stat().st_size, file.rows) == (file.size, 3)
    assert path.stat().st_mode & 0o777 == 0o440
    assert "load_id" not in pq.read_schema(path).names
    with reading(home) as connection:
        assert listed(connection) == [file]
        assert stored_files(connection, home, "load") == {"raw.items": path}
        assert has_files(connection, ["raw.items"], "load")
        assert not has_files(connection, ["raw.items", "raw.users"], "load")
        assert not has_files(connection, ["raw.items"], "other")


def test_the_same_rows_are_the_same_file_and_others_replace_them(home, store_frames):
    (first,) = store_frames({("raw.items", "load"): ITEMS})
    before = (home.files / first.path).stat()
    (again,) = store_frames({("raw.items", "load"): ITEMS})
    assert again.sha256 == first.sha256
    with reading(home) as connection:
        assert listed(connection) == [first]
    assert (home.files / first.path).stat().st_ino == before.st_ino
    (other,) = store_frames({("raw.items", "load"): ITEMS.head(1)})
    assert other.path != first.path
    assert ask(home, "SELECT title FROM raw.items").rows() == [("C",)]
    with reading(home) as connection:
        assert listed(connection) == [other]
    assert (home.files / first.path).exists()  # a reader of the catalogue before may have it open


def test_two_ids_stand_side_by_side(home, store_frames):
    one, _ = store_frames(
        {("raw.items", "one"): ITEMS, ("raw.items", "two"): ITEMS.with_columns(title=pl.lit("2"))}
    )
    question = "SELECT load_id, count(*), max(title) FROM raw.items GROUP BY ALL ORDER BY ALL"
    assert ask(home, question).rows() == [("one", 3, "É"), ("two", 3, "2")]
    with writing(home) as connection:
        unlist(connection, "raw.items", "one")
        show_listed(connection, home, ["raw.items"])
    assert ask(home, question).rows() == [("two", 3, "2")]
    with writing(home) as connection:
        list_files(connection, home, [one])
    assert len(ask(home, question)) == 2


def test_a_question_about_one_id_opens_its_file_alone(home, store_frames):
    """DuckDB takes the columns from the first file, and looks whether the others exist."""
    _, other, _ = store_frames({("raw.items", name): ITEMS for name in ("a", "b", "c")})
    path = home.files / other.path
    path.chmod(0o640)
    path.write_bytes(b"no Parquet file")
    question = "SELECT count(*) FROM raw.items WHERE load_id = 'c' AND title <> 'A'"
    assert ask(home, question).item() == 2
    with pytest.raises(RefusedError, match=r"No magic bytes|too small"):
        ask(home, "SELECT max(title) FROM raw.items")


@pytest.mark.parametrize("identity", ["a1b2", "it's", "ö 🎬", "a b", "x,y;z", "[a]*"])
def test_an_id_is_read_as_it_was_written(home, store_frames, identity):
    store_frames({("raw.items", identity): ITEMS})
    assert set(ask(home, "SELECT load_id FROM raw.items")["load_id"]) == {identity}
    assert ask(home, "SELECT count(*) FROM raw.items WHERE load_id = ?", [identity]).item() == 3


def test_a_file_that_stays_elsewhere_is_staged_by_its_bytes(home, staging, tmp_path):
    source, folder = tmp_path / "ranks.parquet", staging()
    ITEMS.write_parquet(source)
    stage_copy(source, staged_file(folder, "raw.items", "load"))
    (file,) = place_all(home, folder)
    assert source.read_bytes() == (home.files / file.path).read_bytes()
    # whoever writes it anew does so beside it: the store's bytes stay
    ITEMS.head(1).write_parquet(tmp_path / "new")
    shutil.move(tmp_path / "new", source)
    assert sha256_of(home.files / file.path) == file.sha256


def test_a_damaged_file_of_the_same_name_is_replaced(home, store_frames):
    (file,) = store_frames({("raw.items", "load"): ITEMS})
    path = home.files / file.path
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-7])
    (again,) = store_frames({("raw.items", "load"): ITEMS})
    assert sha256_of(home.files / again.path) == file.sha256
    with reading(home) as connection:
        assert listed(connection) == [again]
    assert list(damaged(home, [again], whole=True)) == []


def flipped(data: bytes) -> bytes:
    return data[:20] + bytes([data[20] ^ 1]) + data[21:]


@pytest.mark.parametrize(
    ("change", "seen_at_once", "fault"),
    [
        (lambda data: data[:-9], True, "bytes instead of"),
        (lambda data: b"", True, "0 bytes instead of"),
        (lambda data: data + b"x", True, "bytes instead of"),
        (lambda data: b"x" * len(data), True, "no Parquet file any more"),
        (lambda data: data[:-4] + b"PAR2", True, "no Parquet file any more"),
        (flipped, False, "other bytes than were written"),
    ],
)
def test_a_changed_file_is_seen(home, store_frames, change, seen_at_once, fault):
    broken, whole = store_frames({("raw.items", "one"): ITEMS, ("raw.items", "two"): ITEMS})
    path = home.files / broken.path
    path.chmod(0o640)
    path.write_bytes(change(path.read_bytes()))
    quick = [one for one, _ in damaged(home, [broken, whole])]
    assert quick == ([broken] if seen_at_once else [])
    ((seen, said),) = damaged(home, [broken, whole], whole=True)
    assert seen == broken
    assert fault in said


def test_a_missing_file_is_seen_also_with_its_folder(home, store_frames):
    one, two = store_frames({("raw.items", "one"): ITEMS, ("raw.users", "two"): USERS})
    (home.files / one.path).unlink()
    shutil.rmtree((home.files / two.path).parent)
    assert list(damaged(home, [one, two])) == [(one, "missing"), (two, "missing")]


USERS = pl.DataFrame({"raw_user_id": [1], "gender": ["F"], "age": [None], "occupation": ["x"]})


@pytest.mark.files_only  # a lake keeps them for a week: lake/test_many_writers.py
def test_what_nobody_lists_goes_when_it_is_old(home, store_frames, staging):
    (kept,) = store_frames({("raw.items", "load"): ITEMS})
    folder = staging()
    stage_frame(folder, "raw.items", "load", ITEMS.head(2))
    (placed,) = place_all(home, folder)
    left, day = home.files / placed.path, timedelta(days=1).total_seconds()
    assert unlisted(home, [kept], older_than=day) == []  # its writer may be about to list it
    then = time.time() - 2 * day
    for path in (left, home.files / kept.path):
        os.utime(path, (then, then))
    assert unlisted(home, [kept], older_than=day) == [left]
    stage_frame(folder, "raw.items", "load", ITEMS.head(2))
    assert place_all(home, folder) == [placed]  # it counts again
    assert unlisted(home, [kept], older_than=day) == []


@pytest.mark.files_only  # a lake keeps them for a week: lake/test_many_writers.py
def test_a_file_that_was_replaced_stays_for_who_goes_back_and_then_for_a_day(home, store_frames):
    """It was written long ago: that says nothing of when it was used last."""
    tables = [pl.DataFrame({"raw_item_id": [n], "title": [None], "genres": [None]}) for n in (1, 2)]
    (old,) = store_frames({("raw.items", "one"): tables[0]})
    path = home.files / old.path
    os.utime(path, (0, 0))
    store_frames({("raw.items", "one"): tables[1]})
    assert time.time() - path.stat().st_mtime < 60
    assert prune(home, older_than=-1) == []
    for _ in range(KEPT - 1):
        assert path.exists()
        with writing(home):
            pass
    assert prune(home) == []
    assert prune(home, older_than=-1) == [path]
