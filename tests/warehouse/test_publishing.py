"""One transaction, then the readers' copy: nobody sees half a run."""

import subprocess
import sys
import threading

import duckdb
import pytest

from warehouse.catalogue import reading, replace_readers_copy, writing
from warehouse.database import connected, locked
from warehouse.errors import RefusedError
from warehouse.following import newest, publication
from warehouse.kept_catalogues import give_to_readers
from warehouse.preparing import find_snapshot, known_snapshot, prepare, snapshot_id
from warehouse.publishing import (
    has_load,
    publish_runs,
    store_outcomes,
)
from warehouse.questions import ask
from warehouse.ranks import stage_ranks
from warehouse.store import show_listed, unlist

ROWS = [(user, item, item) for user in (1, 2, 3) for item in (1, 2, 3, 4)]


def published_runs(home) -> set[str]:
    return set(ask(home, "SELECT run_id FROM mart.training_runs")["run_id"])


def count(home, table: str) -> int:
    with reading(home) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_a_load_is_taken_once(home, publish_rows):
    for _ in range(2):
        publish_rows("load", ROWS)
    assert has_load(home, "load")
    assert count(home, "raw.ratings") == len(ROWS)
    assert count(home, "raw.loads") == 1
    assert len(list(home.store.glob("raw.ratings/*/*"))) == 1


def test_a_block_that_fails_leaves_nothing(home, publish_rows):
    publish_rows("load", ROWS)
    before = newest(home).read_bytes(), home.published.read_bytes(), publication(home)

    def half_done() -> None:
        with writing(home) as connection:
            connection.execute("DELETE FROM raw.loads")
            unlist(connection, "raw.ratings", "load")
            show_listed(connection, home, ["raw.ratings"])
            assert connection.execute("SELECT count(*) FROM raw.ratings").fetchone() == (0,)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_done()
    assert count(home, "raw.ratings") == len(ROWS)
    assert (newest(home).read_bytes(), home.published.read_bytes(), publication(home)) == before
    assert [path.suffix for path in home.catalogue.iterdir()] == [".duckdb"]


def test_a_kill_within_a_transaction_leaves_the_state_before(home, publish_rows):
    publish_rows("load", ROWS)
    before = newest(home).read_bytes(), home.published.read_bytes(), publication(home)
    code = f"""
import os, signal
from warehouse.home import Home
from warehouse.catalogue import writing
with writing(Home.at({str(home.root)!r})) as connection:
    connection.execute("DELETE FROM raw.loads")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert (newest(home).read_bytes(), home.published.read_bytes(), publication(home)) == before
    with writing(home) as connection:  # its lock is free again
        assert connection.execute("SELECT count(*) FROM raw.loads").fetchone() == (1,)


def test_a_snapshot_is_found_again_and_is_the_same_when_made_again(
    home, published_snapshot, staging
):
    found = find_snapshot(home, published_snapshot.snapshot_id)
    assert found == published_snapshot
    again = prepare(home, "load", "cold-start", staging())
    assert again == published_snapshot  # to the checksum of its sequences


def test_a_damaged_sequences_file_is_no_snapshot(home, published_snapshot, prepare_load):
    bytes_ = bytearray(published_snapshot.sequences.read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    published_snapshot.sequences.write_bytes(bytes_)
    assert find_snapshot(home, published_snapshot.snapshot_id) is None
    with pytest.raises(RefusedError, match=r"is damaged\. Run `fpt prepare load --retention c"):
        known_snapshot(home, published_snapshot.snapshot_id)
    prepare_load("load", "cold-start")
    assert find_snapshot(home, published_snapshot.snapshot_id) == published_snapshot


def test_retentions_make_different_snapshots_and_others_are_refused():
    assert snapshot_id("load", "5-core") != snapshot_id("load", "cold-start")
    assert snapshot_id("load", "5-core") != snapshot_id("other", "5-core")
    with pytest.raises(RefusedError, match="Unknown retention: got '6-core'"):
        snapshot_id("load", "6-core")


def test_an_unknown_load_says_what_to_do(home, staging):
    with pytest.raises(RefusedError, match="Run `fpt ingest`"):
        prepare(home, "nothing", "5-core", staging())


def test_publishing_again_replaces(home, publish):
    publish("run", [1.0, 2.0, 3.0, 4.0])
    publish("run", [5.0, 6.0, 7.0, 8.0])
    assert count(home, "mart.user_ranks") == 16
    assert count(home, "mart.epochs") == 1
    assert count(home, "mart.training_runs") == 1
    assert published_runs(home) == {"run"}


def test_ranks_with_a_flipped_bit_publish_nothing(home, published_snapshot, make_run):
    good = make_run("good", published_snapshot.snapshot_id, [1.0] * 4)
    bad = make_run("bad", published_snapshot.snapshot_id, [2.0] * 4)
    bytes_ = bytearray(bad.ranks.read_bytes())
    bytes_[20] ^= 4
    bad.ranks.write_bytes(bytes_)
    before = newest(home)
    with pytest.raises(RefusedError, match=r"ranks\.parquet is not whole"):
        publish_runs(home, [good, bad])
    assert published_runs(home) == set()
    assert newest(home) == before


def test_staged_ranks_stand_beside_their_snapshot(home, published_snapshot, make_run, staging):
    run = make_run("run", published_snapshot.snapshot_id, [1.0] * 4)
    staged = stage_ranks(home, published_snapshot.snapshot_id, [run], staging())
    with connected(staged) as connection:
        query = """SELECT count(*), count(DISTINCT user_id) FROM mart.user_ranks
                   JOIN core.candidates USING (split, user_id)"""
        assert connection.execute(query).fetchone() == (16, 4)


def test_readers_keep_their_file_while_it_is_replaced(home, publish):
    publish("one", [1.0] * 4)
    assert not replace_readers_copy(home).changed
    with duckdb.connect(str(home.published), read_only=True) as old:
        publish("two", [2.0] * 4)
        assert not give_to_readers(home).changed  # publishing did it
        assert old.execute("SELECT count(*) FROM mart.training_runs").fetchone() == (1,)
    assert ask(home, "SELECT count(*) AS n FROM mart.training_runs")["n"].item() == 2


def test_outcomes_of_an_audit_are_kept_as_given(home):
    hostile = {"title": "<b>'); DROP TABLE raw.loads; --\x1b[31m 🎬"}
    outcome = {
        "table_name": "raw.items",
        "expectation": "title not null",
        "severity": "critical",
        "success": False,
        "observed": None,
        "unexpected_count": 3,
        "sample": [hostile],
        "reason": "why",
    }
    store_outcomes(home, [outcome], load_id="load")
    with reading(home) as connection:
        row = connection.execute(
            "SELECT load_id, snapshot_id, success, sample ->> '$[0].title'"
            " FROM mart.validation_results"
        ).fetchone()
    assert row == ("load", None, False, hostile["title"])


def test_one_writer_at_a_time_with_a_bounded_wait(home):
    with locked(home, "warehouse"):
        found: list[BaseException] = []

        def other() -> None:
            try:
                with locked(home, "warehouse", wait_seconds=0.2):
                    pass
            except RefusedError as error:
                found.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    assert "in use by" in str(found[0])


@pytest.mark.slow
@pytest.mark.files_only  # lake/test_many_writers.py has several homes
def test_eight_writers_lose_nothing(home):
    code = """
import os, sys
import polars as pl
from warehouse.catalogue import writing
from warehouse.home import Home
from warehouse.publishing import store_outcomes
from warehouse.staging import stage_frame, staging_folder
from warehouse.store import list_files, place_all
home = Home.at(sys.argv[1])
outcome = dict(table_name="t", expectation="e", severity="info", success=True, observed=None,
               unexpected_count=None, sample=[], reason="r")
for writer in range(8):  # what is imported has no thread yet
    if os.fork() == 0:
        break
else:
    sys.exit(sum(os.waitstatus_to_exitcode(os.wait()[1]) != 0 for _ in range(8)))
for number in range(2):
    identity = f"{writer}-{number}"
    store_outcomes(home, [outcome], run_id=identity)
    with staging_folder(home, "test") as folder:
        rows = {"raw_item_id": [number], "title": [identity], "genres": [""]}
        stage_frame(folder, "raw.items", identity, pl.DataFrame(rows))
        files = place_all(home, folder)
    with writing(home) as connection:
        list_files(connection, home, files)
"""
    assert subprocess.run([sys.executable, "-c", code, str(home.root)], timeout=120).returncode == 0
    assert count(home, "(SELECT DISTINCT run_id FROM mart.validation_results)") == 16
    assert count(home, "raw.items WHERE title = load_id") == 16
    assert publication(home) == 32
    assert len(list(home.catalogue.iterdir())) == 3
    assert home.published.read_bytes() == newest(home).read_bytes()


def test_a_damaged_warehouse_names_the_way_back(home, publish_rows):
    publish_rows("load", ROWS)
    newest(home).chmod(0o640)
    newest(home).write_bytes(b"not a database" * 1000)
    named = rf"{newest(home).name} is damaged: got .*`fpt doctor --mend`"
    with pytest.raises(RefusedError, match=named), reading(home):
        pass
    before = newest(home)
    with pytest.raises(RefusedError, match=named), writing(home):
        pass
    assert newest(home) == before
