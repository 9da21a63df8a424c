"""A home of the version with one database loses no row on its way into the store."""

from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from warehouse.catalogue import reading, writing
from warehouse.errors import RefusedError
from warehouse.following import newest, publication
from warehouse.home import Home
from warehouse.kept_catalogues import copy_fault
from warehouse.questions import ask
from warehouse.upgrade import upgrade

OLDER = (Path(__file__).parent / "older" / "one_database.sql").read_text(encoding="utf-8")
MOMENT = datetime(2026, 1, 1)
CHANGED = "quick average=0.5 rivals=unseen"


@pytest.fixture
def old(tmp_path) -> Home:
    """Two loads, a snapshot, two trainings of four users in one database, and its copy."""
    home = Home.at(tmp_path / "old")
    with duckdb.connect(str(home.old_warehouse)) as connection:
        connection.execute(OLDER)
        connection.execute("INSERT INTO mart.schema_version VALUES ('adfa516')")
        for load in ("a", "b"):
            connection.execute(
                "INSERT INTO raw.loads VALUES (?, 'ml-1m', 'x.zip', 'abc', true, ?, 20, 4, 5)",
                [load, MOMENT],
            )
            connection.execute(
                "INSERT INTO raw.ratings SELECT ?, range, range % 4 + 1, range % 5 + 1, 4.0, range "
                "FROM range(20)",
                [load],
            )
        connection.execute(
            "INSERT INTO core.snapshots VALUES "
            "('s', 'a', '5-core', 4, 5, 12, 0, 'sequences/s.parquet', 'abc', ?, NULL)",
            [MOMENT],
        )
        connection.execute(
            "INSERT INTO core.interactions SELECT 's', range % 4 + 1, range // 4 + 1, 4.0, range, "
            "range // 4 + 1, ['train', 'valid', 'test'][range // 4 + 1], NULL, 1 FROM range(12)"
        )
        connection.execute(
            "INSERT INTO core.users SELECT 's', range, range, 3, 1, 1 FROM range(1, 5)"
        )
        connection.execute(
            "INSERT INTO core.items SELECT 's', range, range, 'T', 'G', 1 FROM range(1, 6)"
        )
        connection.execute(
            "INSERT INTO core.candidates SELECT 's', 'test', range, [4, 5] FROM range(1, 5)"
        )
        for place, run in enumerate(("later", "earlier")):
            connection.execute(
                "INSERT INTO mart.training_runs VALUES "
                "(?, 's', 'sas_fpt', ?, 0, '{\"average\": 0.5}', 'cpu', 'c0de', '{}', ?, ?, 1, 1, "
                "'abc', 'published', NULL)",
                [run, CHANGED, MOMENT, datetime(2026, 1, 3 - place)],
            )
            connection.execute(
                "INSERT INTO mart.user_ranks SELECT ?, s, p, range, range * ?, 101 "
                "FROM range(1, 5), (SELECT unnest(['valid', 'test']) AS s), "
                "(SELECT unnest(['uniform_100', 'full']) AS p)",
                [run, place + 1],
            )
            connection.execute("INSERT INTO mart.epochs VALUES (?, 1, 0.5, 0.1, 0.1, 1.0)", [run])
    home.published.write_bytes(home.old_warehouse.read_bytes())
    return home


def test_nothing_works_beside_it_until_it_is_brought_up_to_date(old):
    with pytest.raises(RefusedError, match="`fpt upgrade`"), reading(old):
        pass
    with pytest.raises(RefusedError, match="`fpt upgrade`"), writing(old):
        pass


def test_every_row_comes_over(old):
    with duckdb.connect(str(old.old_warehouse), read_only=True) as connection:
        tables = ("raw.ratings", "core.interactions", "core.candidates", "mart.user_ranks")
        before = {one: connection.sql(f"FROM {one} ORDER BY ALL").fetchall() for one in tables}
    counts = upgrade(old)
    assert (counts["raw.ratings"], counts["raw.loads"], counts["mart.user_ranks"]) == (40, 2, 32)
    with reading(old) as connection:
        for one, rows in before.items():
            assert connection.sql(f"FROM {one} ORDER BY ALL").fetchall() == rows
        assert connection.sql("SELECT count(*) FROM mart.epochs").fetchall() == [(2,)]
    assert not old.old_warehouse.exists()
    assert copy_fault(old) == ""
    assert list(old.staging.iterdir()) == []


def test_the_order_of_publications_is_that_of_the_clock_of_then(old):
    upgrade(old)
    # ranks 1 to 4 of "later": 1 of 4 users at 1
    board = ask(old, "SELECT recall FROM mart.leaderboard WHERE k = 1 AND split = 'test'")
    assert set(board["recall"]) == {0.25}
    rows = ask(
        old, "SELECT run_id, publication FROM mart.training_runs ORDER BY publication"
    ).rows()
    assert rows == [("earlier", 1), ("later", 2)]
    assert publication(old) >= 2


def test_changed_settings_have_the_names_of_now(old):
    upgrade(old)
    rows = ask(old, "SELECT preset, config FROM mart.training_runs ORDER BY publication").rows()
    as_its_files_have_it = '{"average": 0.5}'
    assert rows == [("quick ema_decay=0.5 exclude_seen=true", as_its_files_have_it)] * 2


def test_a_second_time_there_is_nothing_to_do(old, tmp_path):
    upgrade(old)
    before = newest(old)
    assert upgrade(old) == {}
    assert newest(old) == before
    with pytest.raises(RefusedError, match="Nothing to bring up to date"):
        upgrade(Home.at(tmp_path / "empty"))


def test_what_does_not_open_stays_as_it_was(old):
    old.old_warehouse.write_bytes(b"no database" * 1000)
    with pytest.raises(RefusedError, match=r"warehouse\.duckdb"):
        upgrade(old)
    assert old.old_warehouse.exists()
    assert publication(old) == 0


def test_one_that_was_ended_after_its_publication_is_finished(old):
    data = old.old_warehouse.read_bytes()
    upgrade(old)
    old.old_warehouse.write_bytes(data)
    old.published.unlink()
    assert upgrade(old) == {}
    assert not old.old_warehouse.exists()
    assert copy_fault(old) == ""
    assert ask(old, "SELECT count(*) FROM raw.ratings").item() == 40


def test_who_was_killed_before_the_end_leaves_no_note_of_the_lock(old):
    """Nor does the rest happen while another holds it."""
    upgrade(old)
    old.old_warehouse.write_bytes(b"of before")
    (old.locks / "warehouse.holder").write_text("{}")
    assert upgrade(old) == {}
    assert not (old.locks / "warehouse.holder").exists()
    assert not old.old_warehouse.exists()
