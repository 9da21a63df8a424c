"""What a lake refuses, and that a server which is away is waited for: one line, no password."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from warehouse.catalogue import fetch_all, reading, writing
from warehouse.errors import RefusedError, StepError
from warehouse.following import publication
from warehouse.home import Home
from warehouse.lake import server
from warehouse.locks import waiting

SECRET = "s3cret-word"
LOADS = "SELECT load_id FROM raw.loads ORDER BY ALL"
FPT = "from flows.entry import main; main()"


def fpt(*words: str, **env: str) -> subprocess.CompletedProcess:
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": root} | env
    return subprocess.run(
        [sys.executable, "-c", FPT, *words], env=environment, capture_output=True, text=True
    )


def test_a_wrong_password_is_one_line_without_it(home, url, publish, monkeypatch):
    publish(home, "first")
    wrong = url.replace(SECRET, "wr0ng-word")
    done = fpt("sql", "--home", str(home.root), "SELECT 1", FPT_WAREHOUSE=wrong)
    assert done.returncode == 2
    assert "wr0ng-word" not in done.stdout + done.stderr
    assert "password authentication failed" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_server_that_is_away_is_one_line(home, lakes, publish, monkeypatch):
    publish(home, "first")
    monkeypatch.setattr(server, "AWAY_SECONDS", 0.5)
    lakes.stop()
    try:
        with pytest.raises(StepError, match="does not answer") as raised:
            fetch_all(home, LOADS)
    finally:
        lakes.start()
    assert SECRET not in str(raised.value)
    assert fetch_all(home, LOADS) == [("first",)]  # with nothing made anew by hand
    publish(home, "second")


def test_who_is_told_waits_for_the_server(home, lakes, publish, monkeypatch):
    publish(home, "first")
    said: list[str] = []
    monkeypatch.setattr(waiting, "tell", said.append)
    lakes.stop()
    later = threading.Timer(4.0, lakes.start)
    later.start()
    try:
        publish(home, "second")
    finally:
        later.join()
    assert "waiting for PostgreSQL" in said[0]
    assert fetch_all(home, LOADS) == [("first",), ("second",)]


def test_a_server_that_goes_in_the_middle_leaves_nothing_of_a_publication(home, lakes, publish):
    publish(home, "first")

    def change():
        with writing(home) as connection:
            connection.execute("DELETE FROM raw.loads")
            lakes.stop()
            lakes.start()

    with pytest.raises(StepError):
        change()
    assert fetch_all(home, LOADS) == [("first",)]
    publish(home, "second")


def test_a_lake_that_is_gone_is_not_taken_for_an_empty_one(home, lakes, publish):
    publish(home, "first")
    lakes.sql(f"DROP SCHEMA {home.lake.schema} CASCADE")
    with pytest.raises(RefusedError, match="The lake is gone"):
        publication(home)


def test_an_old_copy_from_which_others_went_on_is_refused(home, publish, lake, lakes):
    """Its numbers are those that the home knows, and other things are behind them."""
    publish(home, "first")
    schema = home.lake.schema
    lakes.sql(
        f"UPDATE {schema}.ducklake_snapshot SET snapshot_time = snapshot_time + interval '1 s' "
        f"WHERE snapshot_id = (SELECT max(snapshot_id) FROM {schema}.ducklake_snapshot)"
    )
    with pytest.raises(RefusedError, match="gone back: got a lake without"):
        publication(home)


def test_a_lake_that_has_gone_back_is_refused(home, publish, lake):
    publish(home, "first")
    publish(home, "second")
    lake("UPDATE mart.catalogue SET publication = 1")
    with pytest.raises(RefusedError, match="gone back: got publication 1, expected 2 or later"):
        publication(home)


@pytest.mark.parametrize(
    "change", ["ALTER TABLE raw.loads ADD COLUMN colour VARCHAR", "CREATE TABLE mart.news (a DATE)"]
)
def test_a_lake_of_a_newer_version_is_refused_and_left_alone(home, other, publish, lake, change):
    publish(home, "first")
    lake(change)
    lake("UPDATE mart.catalogue SET version = 'newer'")
    with pytest.raises(RefusedError, match=r"A newer version made this lake.*(colour|news)"):
        publication(other)
    with pytest.raises(RefusedError, match="A newer version made this lake"):
        publish(home, "second")
    assert lake(LOADS) == [("first",)]


def test_a_lake_of_an_older_version_is_brought_up_to_date(home, other, publish, lake):
    publish(home, "first")
    lake("ALTER TABLE core.snapshots DROP COLUMN repeats")
    lake("DROP TABLE mart.run_lists")
    lake("DROP VIEW main.leaderboard")
    lake("UPDATE mart.catalogue SET version = 'older'")
    assert fetch_all(other, LOADS) == [("first",)]
    assert publication(other) == 2
    assert lake("SELECT repeats FROM core.snapshots") == lake("FROM mart.run_lists") == []
    assert lake("FROM leaderboard") == []
    publish(home, "second")
    assert fetch_all(other, LOADS) == [("first",), ("second",)]


def test_a_home_stays_with_its_lake(home, url, publish, monkeypatch, lakes, tmp_path):
    publish(home, "first")
    monkeypatch.setenv("PGPASSWORD", SECRET)
    monkeypatch.delenv("FPT_WAREHOUSE")
    assert SECRET not in (home.root / "warehouse.url").read_text()
    assert fetch_all(Home.at(home.root), LOADS) == [("first",)]
    for elsewhere in ("files", lakes.new_url(tmp_path / "elsewhere")):
        monkeypatch.setenv("FPT_WAREHOUSE", elsewhere)
        with pytest.raises(RefusedError, match="publishes elsewhere") as raised:
            Home.at(home.root)
        assert SECRET not in str(raised.value)


def test_a_home_with_a_catalogue_of_its_own_is_not_joined(url, tmp_path, monkeypatch):
    monkeypatch.delenv("FPT_WAREHOUSE")
    with writing(Home.at(tmp_path / "own")):
        pass
    monkeypatch.setenv("FPT_WAREHOUSE", url)
    with pytest.raises(RefusedError, match="a catalogue of its own"):
        Home.at(tmp_path / "own")


def test_a_folder_that_is_not_mounted_is_not_made(url, same_place):
    (same_place / "lake").rmdir()
    with pytest.raises(RefusedError, match="data is not there"):
        Home.at(same_place / "one")
    assert not (same_place / "lake").exists()


def test_a_lake_whose_data_is_elsewhere_is_refused(
    home, url, publish, monkeypatch, same_place, tmp_path
):
    publish(home, "first")
    (tmp_path / "another").mkdir()
    monkeypatch.setenv(
        "FPT_WAREHOUSE", url.replace(str(same_place / "lake"), str(tmp_path / "another"))
    )
    with pytest.raises(RefusedError, match="The lake's data is elsewhere"):
        publication(Home.at(tmp_path / "three"))


def test_who_only_asks_needs_no_home(home, publish, tmp_path):
    publish(home, "first")
    for _ in range(2):  # and is asked again as a home of the lake
        assert fetch_all(Home.existing(tmp_path / "new"), LOADS) == [("first",)]


def test_before_the_first_publication_a_lake_is_empty(home):
    started = time.monotonic()
    assert publication(home) == 0
    with reading(home) as connection:
        assert connection.execute(LOADS).fetchall() == []
    assert time.monotonic() - started < 10
