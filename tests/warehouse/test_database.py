"""Opening databases: locks that end with their holder, one schema, and clear refusals."""

import errno
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from warehouse.catalogue import reading, writing
from warehouse.catalogue_tables import create_schema
from warehouse.database import connected, literal_glob, locked, quoted
from warehouse.errors import RefusedError
from warehouse.following import newest, publication
from warehouse.home import Home
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


def test_readers_wait_for_no_writer_and_see_nothing_of_its_work(home, publish_rows):
    publish_rows("load", ROWS)
    loads = "SELECT count(*) AS n FROM raw.loads"
    with writing(home) as connection:
        connection.execute("DELETE FROM raw.loads")
        started = time.monotonic()
        assert ask(home, loads)["n"].item() == 1
        assert count(home) == 2
        with duckdb.connect(str(home.published), read_only=True) as readers:
            assert readers.execute(loads).fetchone() == (1,)
        assert time.monotonic() - started < 30
    assert ask(home, loads)["n"].item() == 0


def test_a_home_without_a_warehouse_reads_as_empty(home):
    assert count(home) == 0
    assert (newest(home), publication(home)) == (None, 0)
    assert not home.published.exists()


def test_reading_cannot_write(home, publish_rows):
    publish_rows("load", ROWS)
    with (
        reading(home) as connection,
        pytest.raises(duckdb.InvalidInputException, match="read-only"),
    ):
        connection.execute("DELETE FROM raw.loads")


def test_the_schema_is_made_once(home):
    with writing(home):
        pass
    views = "SELECT view_name, view_oid FROM duckdb_views()"
    with reading(home) as connection:
        before = connection.execute(views).fetchall()
    with writing(home) as connection:
        assert connection.execute(views).fetchall() == before
        assert connection.execute("SELECT count(*) FROM mart.catalogue").fetchone() == (1,)
        connection.commit()
        create_schema(connection, home)  # by hand it changes nothing that is asked
        assert connection.execute("SELECT count(*) FROM mart.catalogue").fetchone() == (1,)
        connection.begin()
    with reading(home) as connection:
        again = connection.execute(views).fetchall()
    assert [name for name, _ in again] == [name for name, _ in before]


def test_another_schema_version_renews_views_and_keeps_rows(home, publish_rows):
    publish_rows("load", ROWS)
    with writing(home) as connection:
        connection.execute("DROP VIEW mart.lineage")
        connection.execute("UPDATE mart.catalogue SET version = 'older'")
    with writing(home) as connection:
        assert connection.execute("SELECT count(*) FROM mart.lineage").fetchone() is not None
        version = connection.execute("SELECT version FROM mart.catalogue").fetchall()
    assert len(version) == 1
    assert version != [("older",)]
    assert count(home) == 2


def test_a_warehouse_of_an_older_version_is_read_by_its_new_columns(home):
    with writing(home) as connection:
        connection.execute("ALTER TABLE core.snapshots DROP COLUMN as_of")
        connection.execute("UPDATE mart.catalogue SET version = 'older'")
    with reading(home) as connection:
        assert connection.execute("SELECT as_of FROM core.snapshots").fetchall() == []


def test_a_file_that_another_process_has_open_is_refused_by_name(tmp_path):
    path = tmp_path / "x.duckdb"
    code = """
import duckdb, sys, time
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
time.sleep(60)
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "open\n"
        with (
            pytest.raises(RefusedError, match=r"x\.duckdb is held open by another program: got IO"),
            connected(path),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
    with connected(path):
        pass


def test_a_database_in_a_missing_folder_is_refused(tmp_path):
    with (
        pytest.raises(RefusedError, match=r"x\.duckdb .*got IO Error: Cannot open file"),
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
    assert duckdb.execute(f"SELECT {quoted(text)}").fetchall() == [(text,)]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(home, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(RefusedError, match="keeps no locks"),
        locked(home, "warehouse", wait_seconds=0),
    ):
        pass


def test_an_error_of_the_work_under_a_lock_stays_that_error(home):
    with pytest.raises(OSError, match="No space"), locked(home, "warehouse"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
