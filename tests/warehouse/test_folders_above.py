"""Folders such as `day=7` in a path: DuckDB takes them for columns, and we do not."""

import duckdb
import polars as pl
import pytest

from warehouse.catalogue import reading
from warehouse.database import rows_of
from warehouse.errors import RefusedError
from warehouse.home import COLUMNS, Home
from warehouse.own_data.description import Description
from warehouse.own_data.reading import read_events
from warehouse.preparing import prepare
from warehouse.staging import audited
from warehouse.stored import KEYS, stored_tables
from warehouse.transforms.core import CORRECT


@pytest.fixture
def home(tmp_path) -> Home:
    """Under folders that are named like columns of what is read on the way, and of no table."""
    return Home.at(tmp_path / "day=7" / "weeks=9" / "job=12" / "home")


def test_duckdb_replaces_a_column_by_a_folder_above(tmp_path):
    file = tmp_path / "user_id=7" / "backup" / "ranks.parquet"
    file.parent.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT 1 AS user_id) TO '{file}'")
        assert connection.execute(f"SELECT user_id FROM '{file}'").fetchall() == [(7,)]
        assert connection.execute(f"FROM {rows_of(file)}").fetchall() == [(1,)]


@pytest.mark.parametrize("name", ["user_id=7", "USER_ID=x", "run_id=3f2a", "load_id="])
@pytest.mark.parametrize("find", [Home.at, Home.existing])
def test_a_home_below_a_folder_named_like_a_column_is_refused(tmp_path, name, find):
    with pytest.raises(RefusedError, match=f"without {name}, which names a column"):
        find(tmp_path / name / "deeper" / "home")
    assert not list(tmp_path.iterdir())


def test_the_names_are_those_of_all_columns_of_stored_tables():
    assert {name for table in KEYS for name in stored_tables()[table].types} == COLUMNS


def test_a_home_below_any_other_name_holds_what_was_written(home, published_snapshot):
    with reading(home) as connection:
        rows = "SELECT DISTINCT user_id FROM core.interactions ORDER BY ALL"
        assert connection.execute(rows).fetchall() == [(1,), (2,), (3,), (4,)]
        keys = "SELECT DISTINCT load_id FROM raw.ratings"
        assert connection.execute(keys).fetchall() == [("load",)]


@pytest.mark.parametrize("identity", ["1e5", "007", "0x1F", "2026-01-01"])
def test_ids_that_look_like_numbers_stay_text(home, store_frames, identity):
    """Each library guesses another type of a folder's name."""
    items = pl.DataFrame({"raw_item_id": [1], "title": ["A"], "genres": [""]})
    store_frames({("raw.items", identity): items})
    with reading(home) as connection:
        found = connection.execute("SELECT load_id, typeof(load_id) FROM raw.items").fetchall()
    assert found == [(identity, "VARCHAR")]


def test_sequences_have_their_own_columns(home, stage_load, publish_rows, staging):
    publish_rows("load", [(user, user + step, step) for user in (1, 2, 3) for step in range(4)])
    folder = staging()
    prepare(home, "load", "cold-start", folder, CORRECT)
    with duckdb.connect(str(audited(folder))) as connection:
        columns = [row[0] for row in connection.execute("DESCRIBE core.sequences").fetchall()]
        (sizes,) = connection.execute("SELECT list(len(weeks)) FROM core.sequences").fetchall()
    assert "weeks" in columns
    assert not {"day", "job"} & set(columns)
    assert sizes == ([4, 4, 4],)


def test_an_own_text_is_read_without_its_folders(tmp_path):
    file = tmp_path / "c0=9" / "c2=8" / "events.csv"
    file.parent.mkdir(parents=True)
    file.write_text("u,i,t\n1,2,1593604800\n")
    said = Description(name="mine", user="u", item="i", time="t")
    with duckdb.connect(str(tmp_path / "own.duckdb")) as connection:
        read_events(connection, said, file)
        rows = "SELECT user_key, item_key, timestamp FROM own_events"
        assert connection.execute(rows).fetchall() == [("1", "2", 1_593_604_800)]
