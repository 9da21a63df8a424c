"""How time and memory from archive to audited, published tables grow with the ratings.

    python benchmarks/etl_growth.py --millions 1 10 32 100 200

Each size is a synthetic archive in ml-32m's layout (large_archive.py), taken in by a process of
its own (etl.py), whose peak memory is the kernel's figure. 32 stands for ml-32m's 32,000,204.
200 need some 25 GB of disk, where `--folder` says.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from large_archive import RATINGS, Size, write_archive
from results import Result, command, cpu, record, versions

from warehouse.charts import HEIGHT, WIDTH, Series, course, legend, picture, placed

HERE = Path(__file__).parent
PLOT = HERE.parent / "docs" / "images" / "etl_growth.svg"
ENGINES = ("duckdb", "polars", "great-expectations")


@dataclass(frozen=True)
class Point:
    """One size: millions of ratings, seconds, seconds of all cores, GB (10^9 bytes) at most."""

    millions: int
    seconds: float
    cpu_seconds: float
    memory: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 10, 32, 100, 200])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for archives and homes; else a temporary one")
    parser.add_argument("--plot", type=Path, default=PLOT)
    parser.add_argument("--record", action="store_true", help="keep 32 and more in speed.json")
    asked = parser.parse_args()
    if asked.folder:
        asked.folder.mkdir(parents=True, exist_ok=True)
    print(f"{'millions':>8} {'s':>8} {'s a million':>12} {'CPU s':>8} {'GB':>6}")
    points = []
    for millions in asked.millions:
        point = measure(millions, asked.seed, asked.folder)
        print(
            f"{point.millions:8} {point.seconds:8.1f} {point.seconds / millions:12.2f} "
            f"{point.cpu_seconds:8.1f} {point.memory:6.2f}",
            flush=True,
        )
        points.append(point)
    plot(points, asked.plot)
    if asked.record:
        keep([point for point in points if point.millions >= 32])


def measure(millions: int, seed: int, folder: Path | None) -> Point:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        archive = Path(place, "ml-32m.zip")
        ratings = RATINGS if millions == 32 else millions * 1_000_000
        write_archive(archive, Size.of(ratings), seed)
        script = [sys.executable, str(HERE / "etl.py"), "--dataset", "ml-32m", "--json"]
        words = [*script, "--source", str(archive), "--runs", "1"]
        there = os.environ | {"TMPDIR": place}  # of its home
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=there)
    found = json.loads(done.stdout)
    return Point(millions, found["seconds"], found["cpu_seconds"], found["peak_bytes"] / 1e9)


def plot(points: list[Point], path: Path) -> None:
    """Measured points, and the line that the first would grow along in proportion."""
    places = [point.millions for point in points]
    parts = [legend(["measured", "in proportion to the first"], 8, 16, 110)]
    for number, (title, name) in enumerate(
        {"seconds": "seconds", "GB of memory at most": "memory"}.items()
    ):
        values = [getattr(point, name) for point in points]
        ends = [0, places[-1]]
        proportion = [end * values[0] / places[0] for end in ends]
        lines = [Series("measured", places, values), Series("in proportion", ends, proportion)]
        panel = course(lines, "million ratings", title)
        parts.append(placed(8 + number * (WIDTH + 20), 26, panel))
    path.write_text(picture(2 * WIDTH + 36, HEIGHT + 30, parts), encoding="utf-8")


def keep(points: list[Point]) -> None:
    made = {"device": cpu(), "versions": versions(*ENGINES), "command": command()}
    for point in points:
        name = f"etl_{point.millions}m"
        cores = Result(f"{name}_cpu", point.cpu_seconds, "s of both cores", **made)
        memory = Result(f"{name}_memory", point.memory, "GB", **made)
        record(Result(name, point.seconds, "s", **made), cores, memory)


if __name__ == "__main__":
    main()
