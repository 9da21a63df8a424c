"""Homes that tests begin with: a copy is what was made, and no test changes it for the next one."""

import shutil
from pathlib import Path

import pytest

from warehouse.following import publication
from warehouse.home import Home

ROWS = [(1, 10, 100), (1, 11, 200), (2, 10, 300)]


@pytest.fixture
def begin(kept_homes, home, same_place, tmp_path, publish_rows):
    """Publish a load, in a beginning of this test alone, and say how often that was done."""
    kept = type(kept_homes)(tmp_path / "kept", pytest.fail)
    done = []

    def make() -> int:
        done.append(publish_rows("load", ROWS))
        return len(done)

    return lambda: (kept.begin(same_place, home, "load", make), len(done))


def content(home: Home) -> dict[Path, tuple[bytes, int]]:
    held = {home.locks, home.staging}
    paths = [path for path in home.root.rglob("*") if path.is_file() and not held & {*path.parents}]
    return {path: (path.read_bytes(), path.stat().st_mode) for path in paths}


def anew(home: Home) -> None:
    shutil.rmtree(home.root)
    Home.at(home.root)


@pytest.mark.files_only  # the lake of a test has a name of its own
def test_a_copy_is_what_was_made_whatever_was_done_in_it(home, begin, publish_rows):
    assert begin() == (1, 1)
    made = content(home)
    assert publication(home) == 1
    for _ in range(3):
        anew(home)
        assert begin() == (1, 1)
        assert content(home) == made
        publish_rows("other", ROWS)
        for path in filter(Path.exists, made):
            path.chmod(0o640)
            path.write_bytes(b"changed where it lies")


@pytest.mark.files_only  # the lake of a test has a name of its own
def test_what_had_another_beginning_is_made(home, begin, publish_rows):
    begin()
    anew(home)
    publish_rows("other", ROWS)
    assert begin() == (2, 2)
    assert publication(home) == 2
