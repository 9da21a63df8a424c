"""The folder of a pipeline: where it is, who may read it, and what it may not be called."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from warehouse.catalogue import replace_readers_copy
from warehouse.datasets import find
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.kept_catalogues import catalogues
from warehouse.landing import land
from warehouse.publishing import has_load, publish_load
from warehouse.questions import ask
from warehouse.staging import staging_folder


@pytest.fixture(autouse=True)
def _same_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_home_is_made_with_its_folders_which_others_may_not_enter(tmp_path):
    home = Home.at(tmp_path / "deep" / "home")
    folders = {home.sources, home.catalogue, home.store, home.staging}
    folders |= {home.sequences, home.runs, home.locks}
    assert {path for path in home.root.iterdir() if path.is_dir()} == folders
    assert {mode(folder) for folder in folders | {home.root}} == {0o750}


def test_files_made_afterwards_are_not_for_others(tmp_path, write_zip, files):
    home = Home.at(tmp_path / "home")
    with staging_folder(home, "load") as folder:
        land(find("ml-1m"), write_zip(files), folder)
        for path in (folder, *folder.rglob("*")):
            assert mode(path) & 0o027 == 0, path
        publish_load(home, folder)
    stored = list(home.store.rglob("*"))
    assert len(stored) > 8
    for path in (*stored, *catalogues(home), home.published):
        assert mode(path) & 0o027 == 0, path


def test_opening_again_keeps_what_is_there(tmp_path):
    home = Home.at(tmp_path)
    (home.runs / "mine").write_text("kept")
    assert Home.at(str(tmp_path)) == home
    assert (home.runs / "mine").read_text() == "kept"


def test_the_place_is_the_argument_then_the_variable_then_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FPT_HOME", raising=False)
    assert Home.at().root == tmp_path / ".fpt"
    monkeypatch.setenv("FPT_HOME", str(tmp_path / "variable"))
    assert Home.at().root == tmp_path / "variable"
    assert Home.at("argument").root == tmp_path / "argument"


def test_a_tilde_is_the_users_folder_and_links_are_resolved(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Home.at("~/place").root == tmp_path / "place"
    (tmp_path / "link").symlink_to(tmp_path / "place")
    assert Home.at(tmp_path / "link").root == tmp_path / "place"


def test_each_identity_has_its_own_files(tmp_path):
    home = Home.at(tmp_path)
    places = [
        place(identity) for place in (home.sequences_file, home.run) for identity in ("one", "two")
    ]
    assert len({*places, home.catalogue, home.store, home.published}) == 7
    assert all(path.is_relative_to(home.root) for path in places)


@pytest.mark.parametrize(
    "name", ["[a-z]*", "it's; --", "ö 🎬", "{a,b}", "md:x", "%20#&=", "x" * 200]
)
def test_a_home_of_any_other_name_works(tmp_path, write_zip, files, name):
    home = Home.at(tmp_path / name)
    with staging_folder(home, "load") as folder:
        load = land(find("ml-1m"), write_zip(files), folder)
        publish_load(home, folder)
    assert has_load(home, load.load_id)
    assert not replace_readers_copy(home).changed
    assert ask(home, "SELECT count(*) FROM raw.ratings").item() == load.n_ratings
    with duckdb.connect(str(home.published), read_only=True) as readers:
        assert readers.execute("SELECT count(*) FROM raw.ratings").fetchone() == (load.n_ratings,)


@pytest.mark.parametrize("name", ["what?", "back\\slash"])
def test_a_home_that_duckdb_cannot_open_is_refused_and_not_made(tmp_path, name):
    with pytest.raises(RefusedError, match=r"expected a path without \? and"):
        Home.at(tmp_path / name / "home")
    assert not list(tmp_path.iterdir())


def test_a_home_needs_no_environment(tmp_path):
    code = "import sys; from warehouse.home import Home; print(Home.at(sys.argv[1]).root)"
    command = [sys.executable, "-c", code, str(tmp_path / "home")]
    done = subprocess.run(command, capture_output=True, text=True, env={}, cwd=Path.cwd())
    assert done.stdout.strip() == str(tmp_path / "home"), done.stderr
