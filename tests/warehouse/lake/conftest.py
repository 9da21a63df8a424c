"""Two homes of one lake; a program of its own for a home, which can be killed."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from warehouse.home import Home
from warehouse.lake import upstream
from warehouse.lake.attached import attached

ROOT = Path(__file__).parents[3]
FORGET_ROW = "INSERT INTO raw.forgotten VALUES (?, ?, '2026-01-01', NULL)"


@pytest.fixture
def url(lakes, same_place, monkeypatch) -> str:
    """Of a new lake, which every home of the test belongs to."""
    url = lakes.new_url(same_place / "lake")
    monkeypatch.setenv("FPT_WAREHOUSE", url)
    return url


@pytest.fixture
def home(url, same_place) -> Home:
    return Home.at(same_place / "one")


@pytest.fixture
def other(url, same_place) -> Home:
    return Home.at(same_place / "two")


@pytest.fixture
def lake(home):
    """Ask DuckLake itself."""

    def ask(query: str) -> list[tuple]:
        with attached(home.lake) as connection:
            return connection.execute(query).fetchall()

    return ask


WRITER = """
import sys
from datetime import datetime
import polars as pl
from warehouse.catalogue import writing
from warehouse.home import Home
from warehouse.lake import upstream
from warehouse.staging import stage_frame, staging_folder
from warehouse.store import list_files, place_all

def publish(home, name):
    frame = pl.DataFrame({"raw_item_id": [1, 2], "title": [name, name], "genres": ["", ""]})
    with staging_folder(home, "test") as folder:
        stage_frame(folder, "raw.items", name, frame)
        files = place_all(home, folder)
    row = [name, "ml-1m", "a.zip", "abc", True, datetime(2026, 1, 1), 0, 0, 2]
    with writing(home) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO raw.loads SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, "
            "(SELECT publication FROM mart.catalogue)", row)
        list_files(connection, home, files)
"""


@pytest.fixture
def program(tmp_path):
    """Start Python with `publish(home, name)` at hand, and more of its own."""
    started: list[subprocess.Popen] = []

    def start(code: str, *words: str, **env: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER + code, *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def publish_anew():
    """Publish a load with two items, by its name; the first in a lake makes all of its tables."""
    names: dict = {}
    exec(WRITER, names)
    return names["publish"]


@pytest.fixture
def publish(begun, publish_anew):
    """The same; what comes first in a lake is a copy of what it was for another test."""

    def go(home: Home, name: str) -> None:
        if home.lake is not None and upstream.last_change(home.lake) is None:
            begun(home, f"load {name}", lambda: publish_anew(home, name))
        else:
            publish_anew(home, name)

    return go


def rows(home: Home, query: str) -> list[tuple]:
    """Of the readers' copy, in DuckDB alone."""
    with duckdb.connect(str(home.published), read_only=True) as connection:
        return connection.execute(query).fetchall()
