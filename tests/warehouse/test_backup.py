"""A backup is all that is published; a home from it is as it was."""

import shutil
import tarfile

import duckdb
import pytest

from fpt_model.files.checkpoints import check_sha256
from warehouse import faults
from warehouse.backup import MANIFEST, backup, restore
from warehouse.catalogue import reading, writing
from warehouse.errors import RefusedError
from warehouse.following import newest, publication
from warehouse.home import Home
from warehouse.identity import sha256_of
from warehouse.kept_catalogues import catalogues, copy_fault, is_whole
from warehouse.questions import ask
from warehouse.store import listed
from warehouse.stored_files import damaged


@pytest.fixture
def kept(home, publish, tmp_path):
    """A backup of a small published world."""
    publish("run", [1.0, 2.0, 30.0, 4.0])
    (home.run("run") / "best.safetensors").write_bytes(b"weights")
    backup(home, tmp_path / "kept.tar")
    return tmp_path / "kept.tar"


@pytest.fixture
def other(tmp_path):
    return Home.at(tmp_path / "other")


def test_a_home_from_a_backup_has_all_of_it(home, other, kept):
    done = restore(other, kept)
    assert done["publication"] == publication(home) == publication(other)
    question = "SELECT * FROM mart.leaderboard ORDER BY ALL"
    assert ask(other, question).equals(ask(home, question))
    assert publication(other) == publication(home)  # nothing had to be brought up to date
    with reading(other) as connection:
        assert list(damaged(other, listed(connection), whole=True)) == []
        (path,) = connection.execute("SELECT sequences_path FROM core.snapshots").fetchone()
    assert (other.root / path).read_bytes() == (home.root / path).read_bytes()
    weights = other.run("run") / "best.safetensors"
    assert weights.read_bytes() == b"weights"
    assert check_sha256(weights, made_by="the training") == sha256_of(weights)
    assert copy_fault(other) == ""


def test_readers_of_a_restored_home_read_its_own_files(home, other, kept):
    restore(other, kept)
    shutil.rmtree(home.root)
    with duckdb.connect(str(other.published), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM raw.ratings").fetchall() == [(20,)]
    assert is_whole(newest(other))


@pytest.mark.parametrize(
    "place", ["after the rename to *-*.duckdb", "before the rename to published.duckdb"]
)
def test_a_restoring_that_died_goes_on(other, kept, place, monkeypatch):
    faults._times.clear()
    monkeypatch.setenv(faults.ASKED, f"{place}:raise")
    with pytest.raises(faults.FaultError):
        restore(other, kept)
    monkeypatch.delenv(faults.ASKED)
    restore(other, kept)
    assert copy_fault(other) == ""
    assert ask(other, "SELECT count(*) FROM raw.ratings").item() == 20


def test_another_publication_of_the_same_number_is_not_overwritten(home, other, kept):
    restore(other, kept)
    its = newest(other)
    with writing(other) as connection:
        connection.execute("DELETE FROM mart.files WHERE table_name = 'raw.ratings'")
        connection.execute("UPDATE mart.catalogue SET publication = publication - 1")
    its.unlink()
    before = newest(other)
    with pytest.raises(RefusedError, match="Something is published"):
        restore(other, kept)
    assert newest(other) == before


def test_what_is_published_in_the_home_is_not_overwritten(home, kept):
    before = newest(home).read_bytes()
    with pytest.raises(RefusedError, match="Something is published"):
        restore(home, kept)
    assert newest(home).read_bytes() == before


@pytest.mark.files_only  # a lake brings the home its newest
def test_a_home_whose_catalogues_are_damaged_is_brought_back(home, kept):
    for path in catalogues(home):
        path.chmod(0o640)
        path.write_bytes(b"x" * path.stat().st_size)
    restore(home, kept)
    assert ask(home, "SELECT count(*) FROM mart.user_ranks").item() == 16


def test_a_damaged_backup_is_refused_and_nothing_comes_of_it(other, kept):
    data = bytearray(kept.read_bytes())
    data[data.index(b"PAR1") + 10] ^= 1
    kept.write_bytes(data)
    with pytest.raises(RefusedError, match="is damaged: got store/"):
        restore(other, kept)
    assert newest(other) is None
    assert list(other.staging.iterdir()) == []


@pytest.mark.parametrize("left", [0, 100, 5000])
def test_a_backup_that_is_cut_is_refused(other, kept, left):
    kept.write_bytes(kept.read_bytes()[:left])
    with pytest.raises(RefusedError, match="no whole backup"):
        restore(other, kept)


def test_a_tar_of_something_else_is_refused(other, tmp_path):
    (tmp_path / "file").write_text("x")
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        archive.add(tmp_path / "file", "file")
    with pytest.raises(RefusedError, match="no whole backup: got no catalogue"):
        restore(other, tmp_path / "other.tar")


def test_the_manifest_comes_last_so_that_a_cut_backup_has_none(kept):
    with tarfile.open(kept) as archive:
        assert archive.getnames()[-1] == MANIFEST


def test_damage_is_not_kept(home, kept, tmp_path):
    path = next(home.store.glob("raw.ratings/*/*.parquet"))
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RefusedError, match="bytes instead of"):
        backup(home, tmp_path / "second.tar")
    assert not (tmp_path / "second.tar").exists()


def test_nothing_published_or_no_place_to_write_is_said(other, home, kept, tmp_path):
    with pytest.raises(RefusedError, match="Nothing is published"):
        backup(other, tmp_path / "empty.tar")
    with pytest.raises(RefusedError, match="could not be written"):
        backup(home, tmp_path / "missing" / "kept.tar")
