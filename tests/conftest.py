"""What tests of several rooms share."""

import gc
import importlib.util
import os
import sys
from pathlib import Path

import pytest

# by its path: the folder of tests on sys.path would hide packages of the same names
_spec = importlib.util.spec_from_file_location(
    "lake_server", Path(__file__).with_name("lake_server.py")
)
lake_server = importlib.util.module_from_spec(_spec)
sys.modules["lake_server"] = lake_server  # where dataclasses look
_spec.loader.exec_module(lake_server)

os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"


@pytest.fixture(scope="session")
def lakes():
    """A PostgreSQL for lakes of tests."""
    with lake_server.lake_server() as server:
        yield server


@pytest.fixture(scope="session")
def home_at(request):
    """Make a home that several tests share: with a lake by `make test-lake`."""
    from warehouse.home import Home

    def make(root: Path) -> Home:
        if os.environ.get("FPT_TEST_WAREHOUSE") == "lake":
            url = request.getfixturevalue("lakes").new_url(root.with_name(f"{root.name} lake"))
            os.environ["PGPASSWORD"] = lake_server.PASSWORD  # the note of a home has none
            root.mkdir(parents=True)
            note = url.replace(f":{lake_server.PASSWORD}@", "@")
            (root / "warehouse.url").write_text(note)
        return Home.at(root)

    return make


@pytest.fixture
def warehouse(request, monkeypatch, tmp_path) -> None:
    """What homes of a test publish into: `make test-lake` runs the same tests with a lake."""
    if os.environ.get("FPT_TEST_WAREHOUSE") == "lake":
        url = request.getfixturevalue("lakes").new_url(tmp_path / "lake")
        monkeypatch.setenv("FPT_WAREHOUSE", url)


@pytest.fixture(scope="session")
def real_archive():
    """The path of a real MovieLens archive in the folder `FPT_MOVIELENS`; without it, a skip."""

    def find(name: str) -> Path:
        folder = os.environ.get("FPT_MOVIELENS")
        if not folder or not Path(folder, name).exists():
            pytest.skip(f"no {name}: set FPT_MOVIELENS to the folder of your MovieLens archives")
        return Path(folder, name)

    return find


def pytest_collection_modifyitems(items):
    """What takes longest begins first, so that no worker waits for another's last test."""
    items.sort(key=lambda item: item.path.name != "test_signals.py")


def pytest_collection_finish():
    """What is imported by now stays to the end: no collection need look at it again and again."""
    gc.collect()
    gc.freeze()
