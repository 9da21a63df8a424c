"""Opening databases: locks that end with their holder, one schema, and clear refusals."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from warehouse.database import (
    connected,
    create_schema,
    literal_glob,
    locked,
    quoted,
    reading,
    writing,
)
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.publishing import publish_load, replace_readers_copy
from warehouse.questions import ask

ROWS = [(1, 2, 3), (1, 3, 4)]
COUNT = "SELECT count(*) FROM raw.ratings"
HOLD = """
import sys, time
from warehouse.database import locked
from warehouse.home import Home
with locked(Home.at(sys.argv[1]), "warehouse"):
    print("held", flush=True)
    time.sleep(60)
"""


def count(home: Home) -> int:
    with reading(home) as connection:
        return connection.execute(COUNT).fetchone()[0]


def test_a_lock_is_free_again_after_an_error(home):
    with pytest.raises(ZeroDivisionError), locked(home, "warehouse"):
        raise ZeroDivisionError
    with locked(home, "warehouse", wait_seconds=0):
        pass


def test_locks_of_other_names_and_other_homes_are_apart(home, tmp_path):
    with (
        locked(home, "warehouse"),
        locked(home, "run-1", wait_seconds=0),
        locked(Home.at(tmp_path / "other"), "warehouse", wait_seconds=0),
    ):
        pass


def test_a_lock_is_taken_over_once_from_a_process_that_was_killed(home):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home.root)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RefusedError, match="in use by"):
            locked(home, "warehouse", wait_seconds=0.1).__enter__()
    finally:
        holder.kill()
        holder.wait()
    taken = []

    def take(number: int) -> None:
        with locked(home, "warehouse", wait_seconds=30):
            taken.append(("in", number))
            time.sleep(0.02)
            taken.append(("out", number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(take, range(4)))
    assert len(taken) == 8
    for entered, left in zip(taken[::2], taken[1::2], strict=True):
        assert (entered[0], left[0]) == ("in", "out")
        assert entered[1] == left[1]  # nobody was in between


def test_readers_of_the_published_copy_wait_for_no_writer(home, stage_load):
    publish_load(home, stage_load("load", ROWS))
    replace_readers_copy(home)
    with writing(home) as connection:
        connection.execute("DELETE FROM raw.ratings")
        started = time.monotonic()
        assert ask(home, "SELECT count(*) AS n FROM raw.ratings")["n"].item() == 2
        assert time.monotonic() - started < 5
    assert count(home) == 0


def test_a_home_without_a_warehouse_reads_as_empty(home):
    assert count(home) == 0
    assert home.warehouse.exists()


def test_reading_cannot_write(home):
    with (
        reading(home) as connection,
        pytest.raises(duckdb.InvalidInputException, match="read-only"),
    ):
        connection.execute("DELETE FROM raw.ratings")


def test_the_schema_is_made_once(home):
    with connected(home.warehouse) as connection:
        create_schema(connection)
        before = connection.execute("SELECT view_name, view_oid FROM duckdb_views()").fetchall()
        create_schema(connection)
        assert (
            connection.execute("SELECT view_name, view_oid FROM duckdb_views()").fetchall()
            == before
        )
        assert connection.execute("SELECT count(*) FROM mart.schema_version").fetchone() == (1,)


def test_another_schema_version_renews_views_and_keeps_rows(home, stage_load):
    publish_load(home, stage_load("load", ROWS))
    with connected(home.warehouse) as connection:
        connection.execute("DROP VIEW mart.lineage")
        connection.execute("UPDATE mart.schema_version SET version = 'older'")
    with writing(home) as connection:
        assert connection.execute("SELECT count(*) FROM mart.lineage").fetchone() is not None
        version = connection.execute("SELECT version FROM mart.schema_version").fetchall()
    assert len(version) == 1
    assert version != [("older",)]
    assert count(home) == 2


def test_a_warehouse_of_an_older_version_is_read_by_its_new_columns(home):
    with writing(home) as connection:
        connection.execute("ALTER TABLE core.snapshots DROP COLUMN as_of")
        connection.execute("UPDATE mart.schema_version SET version = 'older'")
    with reading(home) as connection:
        assert connection.execute("SELECT as_of FROM core.snapshots").fetchall() == []


def test_a_warehouse_that_another_process_has_open_is_refused_by_name(home, stage_load):
    publish_load(home, stage_load("load", ROWS))
    code = """
import duckdb, sys, time
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
time.sleep(60)
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(home.warehouse)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(RefusedError, match=r"warehouse\.duckdb does not open: got IO Error"):
            count(home)
    finally:
        holder.kill()
        holder.wait()
    assert count(home) == 2


def test_a_database_in_a_missing_folder_is_refused(tmp_path):
    with (
        pytest.raises(RefusedError, match=r"x\.duckdb does not open"),
        connected(tmp_path / "missing" / "x.duckdb"),
    ):
        pass


def test_a_connection_is_closed_after_an_error(tmp_path):
    path = tmp_path / "x.duckdb"
    with pytest.raises(ZeroDivisionError), connected(path) as connection:
        raise ZeroDivisionError
    with pytest.raises(duckdb.ConnectionException, match="closed"):
        connection.execute("SELECT 1")


def test_a_sort_past_the_memory_limit_spills_beside_its_database(tmp_path):
    with connected(tmp_path / "x.duckdb") as connection:
        connection.execute("SET memory_limit = '60MB'")
        connection.execute("SET threads = 1")
        connection.execute("CREATE TABLE t AS SELECT hash(i) AS a, i FROM range(6000000) AS r(i)")
        ordered = "CREATE TABLE u AS SELECT * FROM t ORDER BY a, i"
        connection.execute(ordered)
        assert connection.execute("SELECT count(DISTINCT i) FROM u").fetchone() == (6_000_000,)
        where = connection.execute("SELECT current_setting('temp_directory')").fetchone()[0]
    assert where == str(tmp_path / "x.spill")


@pytest.mark.parametrize("name", ["[x].parquet", "a*b", "what?", "[!a]", "plain", "]["])
def test_a_literal_glob_finds_its_file_alone(tmp_path, name):
    folder = tmp_path / "[a-z]*"
    folder.mkdir()
    connection = duckdb.connect()
    for other in {name, "x.parquet", "axb", "whatx", "z"}:
        connection.execute(f"COPY (SELECT 1) TO {quoted(str(folder / 'made'))} (FORMAT parquet)")
        shutil.move(folder / "made", folder / other)
    query = "SELECT count(*) FROM read_parquet(?)"
    assert connection.execute(query, [literal_glob(folder / name)]).fetchone() == (1,)


@pytest.mark.parametrize("text", ["", "it's", "''", "'); DROP TABLE x; --", "\\'", "é🎬\n"])
def test_quoted_text_comes_back_as_it_was(text):
    assert duckdb.execute(f"SELECT {quoted(text)}").fetchone() == (text,)
