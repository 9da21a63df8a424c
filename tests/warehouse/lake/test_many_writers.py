"""Several homes publish into one lake: all of each publication is there, once, or nothing of it."""

import os
import signal
import stat

import duckdb
import polars as pl
import pytest

from warehouse.catalogue import fetch_all, reading, writing
from warehouse.errors import InUseError, RefusedError, StepError
from warehouse.following import newest, publication
from warehouse.home import Home
from warehouse.keeping import go_back, keep_whole, prune
from warehouse.kept_catalogues import catalogues
from warehouse.lake import attached as attached_by
from warehouse.lake import changes, server, upstream
from warehouse.lake.attached import attached
from warehouse.locks import waiting
from warehouse.staging import stage_frame, staging_folder
from warehouse.store import list_files, place_all

LOADS = "SELECT load_id FROM raw.loads ORDER BY ALL"
ITEMS = "SELECT load_id, count(*) FROM raw.items GROUP BY ALL ORDER BY ALL"
MANY = 'for n in range(4): publish(Home.at(sys.argv[1]), f"{sys.argv[2]}-{n}")'
ONE = "publish(Home.at(sys.argv[1]), sys.argv[2])"
DIE = """
import os, signal
from warehouse.lake import server
server._refuse_lost = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # in the transaction's end
"""


def test_what_one_home_publishes_every_home_and_the_lake_itself_has(home, other, publish, lake):
    publish(home, "first")
    publish(other, "second")
    assert publication(home) == publication(other) == 2
    for one in (home, other):
        assert fetch_all(one, LOADS) == [("first",), ("second",)]
        assert fetch_all(one, ITEMS) == [("first", 2), ("second", 2)]
    assert lake(LOADS) == [("first",), ("second",)]
    assert lake(ITEMS) == [("first", 2), ("second", 2)]


def test_every_table_and_view_is_the_same_in_both_homes_and_in_the_lake(
    home, other, published_snapshot, make_run, lake
):
    from warehouse.publishing import publish_runs

    runs = [
        make_run(f"run{n}", published_snapshot.snapshot_id, [1.0, 2.0, n, 4.0], seed=n)
        for n in (1, 2)
    ]
    publish_runs(home, runs)
    names = [
        name
        for (name,) in fetch_all(
            home,
            (
                "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE NOT internal "
                "UNION ALL "
                "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"
            ),
        )
    ]
    assert {"mart.user_ranks", "raw.ratings", "main.leaderboard", "mart.run_pairs"} < set(names)
    filled = 0
    for name in set(names) - {"mart.catalogue"}:
        ours = sorted(map(repr, fetch_all(home, f"FROM {name}")))
        assert sorted(map(repr, fetch_all(other, f"FROM {name}"))) == ours, name
        assert sorted(map(repr, lake(f"FROM {name}"))) == ours, name
        filled += bool(ours)
    assert filled > 20


def test_two_at_the_same_time_publish_everything_once(home, other, program, lake):
    writers = [program(MANY, str(home.root), "a"), program(MANY, str(other.root), "b")]
    for writer in writers:
        _, said = writer.communicate(timeout=240)
        assert writer.returncode == 0, said
    expected = sorted(f"{who}-{n}" for who in "ab" for n in range(4))
    assert publication(home) == publication(other) == 8
    for one in (home, other):
        assert fetch_all(one, LOADS) == [(name,) for name in expected]
        assert fetch_all(one, ITEMS) == [(name, 2) for name in expected]
    assert lake(ITEMS) == [(name, 2) for name in expected]
    numbers = fetch_all(home, "SELECT publication FROM raw.loads ORDER BY ALL")
    assert numbers == [(n,) for n in range(1, 9)]


@pytest.mark.parametrize("place", ["all that is staged is in the store", "a draft is whole"])
def test_a_writer_killed_before_the_lake_has_it_published_nothing(
    home, other, publish, program, place
):
    publish(home, "first")
    writer = program(ONE, str(home.root), "killed", FPT_FAULT=f"{place}:kill")
    assert writer.wait(60) == -signal.SIGKILL
    assert publication(home) == publication(other) == 1
    publish(other, "second")  # nobody's turn is left over
    assert fetch_all(home, ITEMS) == [("first", 2), ("second", 2)]


def test_a_writer_killed_within_the_transaction_published_nothing(home, other, publish, program):
    publish(home, "first")
    writer = program(DIE + ONE, str(home.root), "killed")
    assert writer.wait(60) == -signal.SIGKILL
    publish(other, "second")
    assert fetch_all(home, LOADS) == fetch_all(other, LOADS) == [("first",), ("second",)]


def test_a_writer_killed_after_the_commit_has_published(home, other, publish, program, lake):
    publish(home, "first")
    place = "before a draft counts in its home"
    writer = program(ONE, str(home.root), "killed", FPT_FAULT=f"{place}:kill")
    assert writer.wait(60) == -signal.SIGKILL
    for one in (home, other):
        assert publication(one) == 2
        assert fetch_all(one, ITEMS) == [("first", 2), ("killed", 2)]
    publish(home, "killed")  # the same command again
    assert fetch_all(other, ITEMS) == lake(ITEMS) == [("first", 2), ("killed", 2)]


def test_readers_see_whole_publications_while_others_write(home, other, program):
    writer = program(MANY, str(home.root), "a")
    seen = set()
    while writer.poll() is None:
        with reading(other) as connection:
            loads = connection.execute("SELECT count(*) FROM raw.loads").fetchone()[0]
            items = connection.execute("SELECT count(*) FROM raw.items").fetchone()[0]
        assert items == 2 * loads
        seen.add(loads)
    assert writer.returncode == 0, writer.stderr.read()
    assert len(seen) > 1


def test_whose_turn_it_is_not_is_told_who_has_it(home, other, publish, monkeypatch):
    publish(home, "first")
    monkeypatch.setattr(waiting, "most", 0.2)
    with server.turn(home.lake), pytest.raises(InUseError, match=r"fpt on .*, process \d+"):
        publish(other, "second")
    publish(other, "second")


def test_who_lost_its_turn_publishes_nothing(home, other, publish, lakes, monkeypatch):
    """The connection that has the lock breaks; another may have it already."""
    publish(home, "first")
    attach = changes._attached

    def broken(*given):
        query = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        assert lakes.sql(query) == "t"
        return attach(*given)

    monkeypatch.setattr(changes, "_attached", broken)
    with pytest.raises(StepError, match="went away before the publication"):
        publish(home, "second")
    monkeypatch.undo()
    assert fetch_all(other, LOADS) == [("first",)]


def test_somebody_who_takes_no_turn_is_a_conflict_and_not_overwritten(home, publish, lake):
    publish(home, "first")
    with pytest.raises(InUseError, match="meanwhile"), writing(home):
        lake("UPDATE mart.catalogue SET publication = 7")
    lake("UPDATE mart.catalogue SET publication = 1")
    publish(home, "second")


def test_rows_that_another_hand_changed_are_not_overwritten(home, publish, lake):
    publish(home, "first")

    def change():
        with writing(home) as connection:
            lake("UPDATE raw.loads SET source = 'other.zip'")
            connection.execute("UPDATE raw.loads SET source = 'ours.zip'")

    with pytest.raises(RefusedError, match="another hand"):
        change()
    assert lake("SELECT source FROM raw.loads") == [("other.zip",)]


def test_others_tables_in_the_lake_are_no_publication(home, publish, lake):
    publish(home, "first")
    before = newest(home)
    lake("CREATE TABLE main.theirs AS SELECT 1 AS a")
    assert newest(home) == before
    publish(home, "second")
    assert lake("FROM main.theirs") == [(1,)]


def test_a_damaged_catalogue_comes_anew_from_the_lake(home, publish):
    publish(home, "first")
    path = newest(home)
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert [said for said in go_back(home) if "was damaged" in said]
    assert fetch_all(home, LOADS) == [("first",)]


def test_files_go_when_nothing_has_them_and_not_while_the_lake_can_go_back(
    home, publish, lake, lakes
):
    publish(home, "first")
    with writing(home) as connection:
        connection.execute("DELETE FROM mart.files")
        connection.execute("DELETE FROM raw.loads")
    for _ in range(2):
        with writing(home):
            pass
    assert len(catalogues(home)) == 3
    assert prune(home, older_than=-1) == []
    (file,) = home.store.glob("raw.items/*/*")
    past = lake("SELECT count(*) FROM raw.items AT (VERSION => 1)")
    assert past == [(2,)]
    schema = home.lake.schema
    lakes.sql(
        f"UPDATE {schema}.ducklake_snapshot SET snapshot_time = now() - interval '9 days' "
        f"WHERE snapshot_id < (SELECT max(snapshot_id) FROM {schema}.ducklake_snapshot)"
    )
    prune(home, older_than=-1)
    assert not file.exists()
    assert not upstream.is_long(home)  # the last change, however old, is no past
    stray = file.with_name("stray.parquet")
    stray.write_bytes(b"of a dead writer")
    assert prune(home, older_than=-1) == [stray]


def test_nothing_is_pruned_before_the_first_publication(home):
    assert list(keep_whole(home)) == prune(home) == []


def test_what_one_user_makes_in_the_folder_others_write_into(home, publish_anew):
    home.files.chmod(0o2770)
    publish_anew(home, "first")
    folders = [path for path in home.files.rglob("*") if path.is_dir()]
    assert home.files / "mart" / "run_metrics" in folders
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o2770}


def test_another_users_file_is_replaced_without_a_change_of_it(home, publish, monkeypatch):
    publish(home, "first")
    frame = pl.DataFrame({"raw_item_id": [1], "title": ["other"], "genres": [""]})
    with staging_folder(home, "test") as folder:
        stage_frame(folder, "raw.items", "first", frame)
        files = place_all(home, folder)

    def refuse(*_):
        raise PermissionError  # the answer for who is not its owner

    monkeypatch.setattr(os, "utime", refuse)
    with writing(home) as connection:
        list_files(connection, home, files)
    assert fetch_all(home, ITEMS) == [("first", 1)]


def test_a_share_that_is_not_mounted_here_makes_nothing_go(home, other, publish):
    """An empty folder is in its place, as mount points are."""
    publish(home, "first")
    publish(other, "second")
    mounted = home.files.rename(home.files.with_name("mounted"))
    home.files.mkdir()
    for one in (home, other):  # the first has not seen the second publication yet
        with pytest.raises(RefusedError, match=r"can't be read here: got .*missing"):
            list(keep_whole(one))
    home.files.rmdir()
    mounted.rename(home.files)
    assert list(keep_whole(home)) == []
    assert publication(other) == 2
    assert fetch_all(other, ITEMS) == [("first", 2), ("second", 2)]


def test_a_file_with_other_bytes_goes_out_of_the_lake(home, other, publish):
    publish(home, "first")
    publish(home, "second")
    (file,) = home.store.glob("raw.items/load_id=first/*")
    data = bytearray(file.read_bytes())
    data[50] ^= 1
    file.chmod(0o640)
    file.write_bytes(data)
    assert len(list(keep_whole(home, whole=True))) == 1
    assert fetch_all(other, ITEMS) == [("second", 2)]


def test_lake_is_attached_without_its_password_anywhere(home, publish):
    publish(home, "first")
    with attached(home.lake) as connection:
        said = connection.execute("SELECT * FROM duckdb_databases()").fetchall()
        said += connection.execute("SELECT * FROM duckdb_secrets()").fetchall()
    assert "s3cret-word" not in str(said) + str(home)


def test_who_has_duckdb_alone_reads_the_lake_as_it_is_and_was(home, publish, url):
    publish(home, "first")
    publish(home, "second")
    with duckdb.connect() as connection:
        for name in attached_by.EXTENSIONS:
            connection.execute(f"LOAD '{attached_by._extension(name)}'")
        at = home.lake
        connection.execute(
            f"ATTACH 'ducklake:postgres:host={at.host} port={at.port} user={at.user} "
            f"password=s3cret-word dbname={at.database}' AS theirs "
            f"(READ_ONLY, METADATA_SCHEMA '{at.schema}')"
        )
        assert connection.execute("SELECT count(*) FROM theirs.raw.items").fetchone() == (4,)
        assert connection.execute("FROM theirs.leaderboard").fetchall() == []
        was = "SELECT count(*) FROM theirs.raw.items AT (VERSION => 1)"
        assert connection.execute(was).fetchone() == (2,)


def test_a_home_moves_with_its_lake(home, other, publish, tmp_path):
    publish(home, "first")
    moved = Home.at(home.root.rename(tmp_path / "three"))
    publish(other, "second")
    assert fetch_all(moved, LOADS) == [("first",), ("second",)]
