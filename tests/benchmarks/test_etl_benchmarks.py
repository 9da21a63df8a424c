"""The archives that the data side is measured with, and what is drawn of it."""

import importlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest

from warehouse import charts, landing
from warehouse.datasets import find

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "benchmarks"
RATINGS = 30_000


@pytest.fixture
def script():
    return importlib.import_module


@pytest.fixture
def archive(script, tmp_path):
    large_archive = script("large_archive")
    path = tmp_path / "ml-32m.zip"
    large_archive.write_archive(path, large_archive.Size.of(RATINGS), seed=3)
    return path


def ratings_of(path: Path) -> pl.DataFrame:
    with zipfile.ZipFile(path) as archive:
        return pl.read_csv(archive.read("ml-32m/ratings.csv"))


def test_every_line_of_the_archive_is_taken(archive, tmp_path):
    load = landing.land(find("ml-32m"), archive, tmp_path)
    assert (load.n_ratings, load.n_rejects) == (RATINGS, 0)


def test_lines_are_ordered_and_no_pair_stands_twice(archive):
    pairs = ratings_of(archive).select("userId", "movieId")
    assert pairs.equals(pairs.unique().sort("userId", "movieId"))


def test_histories_have_a_long_tail(archive):
    lengths = ratings_of(archive)["userId"].value_counts()["count"]
    assert lengths.min() >= 20
    assert lengths.max() > 4 * lengths.median()


def test_a_seed_gives_the_same_ratings(script, archive, tmp_path):
    large_archive = script("large_archive")
    for seed, same in ((3, True), (4, False)):
        again = tmp_path / f"{seed}.zip"
        large_archive.write_archive(again, large_archive.Size.of(RATINGS), seed)
        assert ratings_of(again).equals(ratings_of(archive)) is same


def test_the_chart_places_its_points(script, tmp_path):
    growth = script("etl_growth")
    growth.plot([growth.Point(1, 10, 9, 1), growth.Point(2, 40, 9, 2)], tmp_path / "x.svg")
    marks = [
        (float(mark.get("cx")), float(mark.get("cy")))
        for mark in ElementTree.parse(tmp_path / "x.svg").iter("{http://www.w3.org/2000/svg}circle")
    ]
    bottom, top = charts.HEIGHT - charts.BOTTOM, charts.TOP
    right = charts.WIDTH - charts.RIGHT
    assert marks[0] == ((charts.LEFT + right) / 2, bottom - (bottom - top) / 4)
    assert marks[1] == (right, top)
    assert marks[3] == (right, (bottom + top) / 2)  # 20 s in proportion


@pytest.mark.slow
def test_archive_to_published_tables_in_one_command(archive):
    words = [SCRIPTS / "etl.py", "--dataset", "ml-32m", "--source", archive, "--runs", "1"]
    done = subprocess.run(
        [sys.executable, *words, "--json"], check=True, capture_output=True, text=True, cwd=ROOT
    )
    found = json.loads(done.stdout)
    assert found["seconds"] == pytest.approx(sum(found["steps"].values()))
    assert 1e8 < found["peak_bytes"] < 8e9
