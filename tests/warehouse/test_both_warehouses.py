"""Which tests run on a home's own catalogue alone: a list with reasons, and no more than these."""

import re
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LIST = tomllib.loads((HERE / "not_on_a_lake.toml").read_text(encoding="utf-8"))
NOTHING, OTHER = LIST["publishes_nothing"]["files"], LIST["other"]
PUBLISHES = re.compile(r"publish|writing\(|Home\.at|\bhome\b|home_at")
OWN_HOME = re.compile(r"(?<!def )\bHome(\.at)?\(tmp_path_factory")


def files() -> list[str]:
    found = sorted(str(path.relative_to(HERE)) for path in HERE.rglob("test_*.py"))
    return [name for name in found if not name.startswith("lake/")]


def test_the_list_names_files_that_are_there_once():
    names = [*NOTHING, *OTHER]
    assert len(set(names)) == len(names)
    assert set(names) < set(files())


@pytest.mark.parametrize("name", NOTHING)
def test_what_publishes_nothing_has_no_home(name):
    assert not PUBLISHES.search((HERE / name).read_text(encoding="utf-8"))


def test_others_have_a_reason():
    assert all(len(reason.split()) > 2 for reason in OTHER.values())


def test_homes_that_tests_share_are_of_the_warehouse_that_is_tested():
    """Made by `home_at`; a home of one test is made by the fixture `home`."""
    ours = [name for name in files() if name not in {*NOTHING, *OTHER}]
    ours += [str(path.relative_to(HERE)) for path in HERE.rglob("conftest.py")]
    assert not [name for name in ours if OWN_HOME.search((HERE / name).read_text("utf-8"))]


def test_a_test_of_files_alone_says_why():
    for name in files():
        for line in (HERE / name).read_text(encoding="utf-8").splitlines():
            assert not line.startswith("@pytest.mark.files_only") or "  # " in line, (name, line)
