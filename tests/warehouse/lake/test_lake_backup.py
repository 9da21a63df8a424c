"""A backup holds a whole lake as one publication has it; a lake or home from it is as it was."""

import pytest

from warehouse import faults
from warehouse.backup import backup, restore
from warehouse.catalogue import fetch_all
from warehouse.errors import RefusedError
from warehouse.expiry import Rule
from warehouse.following import publication
from warehouse.home import Home
from warehouse.kept_catalogues import copy_fault
from warehouse.pruning import prune, would_go
from warehouse.publishing import publish_runs
from warehouse.stored_files import damaged

BOARD = "SELECT * FROM mart.leaderboard ORDER BY ALL"
RATINGS = "SELECT * FROM raw.ratings ORDER BY ALL"
LOADS = "SELECT load_id FROM raw.loads ORDER BY ALL"


@pytest.fixture
def kept(home, other, published_snapshot, make_run, publish, tmp_path):
    """Of a lake into which two homes published."""
    publish_runs(home, [make_run("run", published_snapshot.snapshot_id, [1.0, 2.0, 30.0, 4.0])])
    (home.run("run") / "best.safetensors").write_bytes(b"weights")
    publish(other, "theirs")
    backup(home, tmp_path / "kept.tar")
    publish(other, "later")
    return tmp_path / "kept.tar"


@pytest.fixture
def elsewhere(kept, lakes, same_place, monkeypatch):
    """Make a home of a lake that is not there yet; data in a folder of that name."""

    def make(name: str, folder: str) -> Home:
        monkeypatch.setenv("PGPASSWORD", "s3cret-word")  # for the lake of before
        monkeypatch.setenv("FPT_WAREHOUSE", lakes.new_url(same_place / folder))
        return Home.at(same_place / name)

    return make


def test_a_lake_from_a_backup_has_all_of_it(home, kept, elsewhere, tmp_path, publish):
    board, ratings = fetch_all(home, BOARD), fetch_all(home, RATINGS)
    number = publication(home) - 1
    new = elsewhere("new", "another")
    assert restore(new, kept)["publication"] == publication(new) == number
    joined = Home.at(tmp_path / "joined")
    for one in (new, joined):
        assert fetch_all(one, BOARD) == board
        assert fetch_all(one, RATINGS) == ratings
        assert fetch_all(one, LOADS) == [("load",), ("theirs",)]
        assert copy_fault(one) == ""
    assert (new.run("run") / "best.safetensors").read_bytes() == b"weights"
    publish(joined, "more")
    assert publication(new) == number + 1
    with pytest.raises(RefusedError, match="Something is published"):
        restore(Home.at(tmp_path / "third"), kept)


def test_a_backup_beside_a_home_that_prunes_says_that_it_is_not_damage(
    home, other, publish, tmp_path, monkeypatch
):
    publish(home, "first")

    def pruned(*words, **named):
        monkeypatch.setattr("warehouse.backup.damaged", damaged)
        rule = Rule(keep=0)
        prune(other, rule, would_go(other, rule), at_once=True)
        return damaged(*words, **named)

    monkeypatch.setattr("warehouse.backup.damaged", pruned)
    with pytest.raises(RefusedError, match=r"changed while it was kept.*is missing.*again"):
        backup(home, tmp_path / "kept.tar")


def test_a_lost_database_comes_back_beside_files_that_are_there(home, kept, elsewhere, lakes):
    files = sorted(home.store.rglob("*.parquet"))
    lakes.sql(f"DROP SCHEMA {home.lake.schema} CASCADE")
    new = elsewhere("new", "lake")
    restore(new, kept)
    assert fetch_all(new, LOADS) == [("load",), ("theirs",)]
    assert sorted(new.store.rglob("*.parquet")) == files
    with pytest.raises(RefusedError, match="The lake is gone"):
        publication(home)


@pytest.mark.parametrize(
    "place",
    [
        "before the rename to *-*.parquet",
        "before a restored catalogue counts in its home",
        "before the rename to published.duckdb",
    ],
)
def test_a_restoring_that_died_goes_on(kept, elsewhere, place):
    new = elsewhere("new", "another")
    faults._times.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(faults.ASKED, f"{place}:raise")
        with pytest.raises(faults.FaultError):
            restore(new, kept)
    restore(new, kept)
    assert fetch_all(new, LOADS) == [("load",), ("theirs",)]
    assert (new.run("run") / "best.safetensors").read_bytes() == b"weights"
    assert copy_fault(new) == ""


def test_from_a_lake_to_a_home_of_its_own_and_back(home, kept, elsewhere, tmp_path, monkeypatch):
    board = fetch_all(home, BOARD)
    monkeypatch.delenv("FPT_WAREHOUSE")
    own = Home.at(tmp_path / "own")
    restore(own, kept)
    assert fetch_all(own, BOARD) == board
    backup(own, tmp_path / "own.tar")
    new = elsewhere("new", "another")
    restore(new, tmp_path / "own.tar")
    assert fetch_all(new, BOARD) == board
