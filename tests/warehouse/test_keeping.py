"""What is damaged is seen, leaves the tables, and counts as not done."""

import duckdb
import pytest

from flows.doctor import databases
from warehouse.catalogue import reading
from warehouse.errors import RefusedError
from warehouse.following import newest, publication
from warehouse.home import Home
from warehouse.keeping import keep_whole
from warehouse.kept_catalogues import copy_fault
from warehouse.preparing import find_snapshot, prepare
from warehouse.publishing import has_load
from warehouse.questions import ask
from warehouse.stored import RAW

# a lake refuses, as the folder may not be mounted: lake/test_many_writers.py
LOST = [pytest.param(damage, marks=pytest.mark.files_only) for damage in ("missing", "cut")]


def spoil(path, data: bytes | None) -> None:
    path.chmod(0o640)
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)


def test_a_whole_home_is_left_alone(home, published_snapshot):
    before = newest(home)
    assert list(keep_whole(home)) == list(keep_whole(home, whole=True)) == []
    assert newest(home) == before
    assert {one["state"] for one in databases(home)} == {"good"}


@pytest.mark.parametrize("damage", [*LOST, "changed"])
@pytest.mark.parametrize("table", ["raw.users", "core.items"])
def test_a_damaged_file_leaves_the_tables_and_is_not_done(home, published_snapshot, table, damage):
    (path,) = (home.store / table).glob("*/*.parquet")
    data = path.read_bytes()
    middle = len(data) // 2
    changed = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    spoil(path, {"missing": None, "cut": data[:-9], "changed": changed}[damage])
    (bad,) = [one for one in databases(home) if one["state"] == "bad"]
    assert path.name in bad["seen"]
    (said,) = keep_whole(home, whole=damage == "changed")
    assert path.name in said
    assert not path.exists()
    assert ask(home, f"SELECT count(*) FROM {table}").item() == 0
    done = (has_load(home, "load"), find_snapshot(home, published_snapshot.snapshot_id) is not None)
    assert done == ((False, True) if table == "raw.users" else (True, False))
    notes = [one["seen"] for one in databases(home) if one["state"] == "note"]
    assert notes == [f"{table} of {path.parent.name.partition('=')[2]} is lost"]


@pytest.mark.files_only  # as with LOST
@pytest.mark.parametrize("table", RAW)
def test_what_lacks_a_file_is_not_prepared(home, published_snapshot, table, tmp_path):
    (path,) = (home.store / table).glob("*/*.parquet")
    spoil(path, None)
    assert len(list(keep_whole(home))) == 1
    with pytest.raises(RefusedError, match=f"Load load is not whole: got no {table}. .*fpt ingest"):
        prepare(home, "load", "cold-start", tmp_path)


def test_a_changed_byte_is_not_looked_for_at_each_run(home, published_snapshot):
    (path,) = (home.store / "core.items").glob("*/*.parquet")
    data = path.read_bytes()
    spoil(path, data[:8] + bytes([data[8] ^ 1]) + data[9:])
    assert list(keep_whole(home)) == []
    assert len(list(keep_whole(home, whole=True))) == 1


@pytest.mark.files_only  # a lake brings the newest, not the one before
def test_a_damaged_catalogue_is_put_aside(home, published_snapshot):
    last = newest(home)
    spoil(last, b"x" * last.stat().st_size)
    (first, second) = keep_whole(home)
    assert last.name in first
    assert "published.duckdb" in second
    assert publication(home) == int(last.name[:10]) - 1
    assert last.with_suffix(".damaged").exists()


def test_the_catalogue_that_counts_again_names_files_where_the_home_is_now(
    home, published_snapshot, tmp_path
):
    """It was written before the home moved: readers of its copy would look in the old place."""
    moved = Home.at(home.root.rename(tmp_path / "elsewhere"))
    with reading(moved):
        pass
    last = newest(moved)
    spoil(last, b"x" * last.stat().st_size)
    assert last.name in next(iter(said := list(keep_whole(moved))))
    assert len(said) == 1 or "published.duckdb" in said[1]
    with duckdb.connect(str(moved.published), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM raw.ratings").fetchone() == (20,)
    assert copy_fault(moved) == ""
