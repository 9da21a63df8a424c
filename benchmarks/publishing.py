"""What publishing one training costs, in a home of one snapshot and in one that holds much.

    python benchmarks/publishing.py --gigabytes 3

Publishes 4 × 6,040 ranks in both homes. Times are medians from the call to the readers' copy; the
lock is the warehouse's, which other runs wait for. Disk is what the home takes, in times what is
published.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
from filelock import FileLock
from results import Result, add_arguments, command, cpu, keep, versions
from ten_million_ranks import Trainings, held_out, prepared

from warehouse.catalogue import opened, writing
from warehouse.database import table_files
from warehouse.following import newest
from warehouse.home import Home
from warehouse.publishing import publish_runs
from warehouse.staging import stage_rows, staging_folder
from warehouse.store import list_files, listed, place_all

ROWS_A_SNAPSHOT = 8_000_000
# random numbers, which don't pack
INTERACTIONS = f"""
SELECT
    (row % 6040 + 1)::INTEGER AS user_id, (row % 3400 + 1)::INTEGER AS item_id,
    (random() * 5)::FLOAT AS rating, (random() * 1e15)::BIGINT AS timestamp,
    (row // 6040 + 1)::INTEGER AS position, 'train' AS split,
    (random() * 1e9)::BIGINT AS scaled_interval, (row % 52 + 1)::TINYINT AS week
FROM (SELECT range AS row FROM range({ROWS_A_SNAPSHOT}))"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=3.0, help="GiB of history")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="for the homes; a temporary one otherwise")
    add_arguments(parser)
    asked = parser.parse_args()
    told = []
    for size in (0.0, asked.gigabytes):
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            told.append(measure(Home.at(folder), size, asked.runs))
        seconds, lock, disk = told[-1]
        print(f"{size:4.1f} GiB: {seconds:7.3f} s, lock {lock:6.3f} s, disk {disk:5.2f} times")
    (empty, _, _), (full, lock, disk) = told
    figures = {"publish_ratio": full / empty, "publish_lock": lock, "warehouse_disk": disk}
    about = (cpu(), versions("duckdb"), command())
    units = {"publish_lock": "s"}
    keep(asked, *(Result(n, one, units.get(n, "ratio"), *about) for n, one in figures.items()))


def measure(home: Home, gigabytes: float, runs: int) -> tuple[float, float, float]:
    """Fill a home, then publish trainings one by one: seconds, those of the lock, disk."""
    (snapshot,) = prepared(home, ["5-core"])
    trainings = Trainings(home, snapshot, held_out(snapshot), "paper")
    number = 0
    while size_of(home.root) < gigabytes * 2**30:
        add_history(home, snapshot.load_id, f"big-{number}")
        number += 1
    held = watch_lock()
    seconds = []
    for seed in range(runs):
        trained = trainings.train("sas_fpt", seed)
        begin = time.perf_counter()
        publish_runs(home, [trained])
        seconds.append(time.perf_counter() - begin)
    with opened(home) as connection:
        published = sum(one.size for one in listed(connection)) + newest(home).stat().st_size
    return median(seconds), median(held), size_of(home.root) / published


def add_history(home: Home, load_id: str, identity: str) -> None:
    """Publish a snapshot of many interactions."""
    with staging_folder(home, "history") as folder:
        with duckdb.connect() as connection:
            for path in table_files():
                connection.execute(path.read_text(encoding="utf-8"))
            stage_rows(connection, folder, "core.interactions", identity, INTERACTIONS)
        files = place_all(home, folder)
    with writing(home) as connection:
        connection.execute(
            "INSERT INTO core.snapshots BY NAME SELECT * REPLACE ($1 AS snapshot_id) "
            "FROM core.snapshots WHERE load_id = $2 LIMIT 1",
            [identity, load_id],
        )
        list_files(connection, home, files)


def size_of(root: Path) -> int:
    """Bytes on the disk without trainings; a file with two names counts once."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    kept = [path.stat() for path in files if not {"runs", "sources"} & set(path.parts)]
    return sum({about.st_ino: about.st_size for about in kept}.values())


def watch_lock() -> list[float]:
    """Seconds that the warehouse's lock is held, from now on."""
    held: list[float] = []
    begin: dict[str, float] = {}
    acquire, release = FileLock.acquire, FileLock.release

    def acquired(self: Any, *words: Any, **options: Any) -> Any:
        proxy = acquire(self, *words, **options)
        begin[self.lock_file] = time.perf_counter()
        return proxy

    def released(self: Any, *words: Any, **options: Any) -> None:
        if self.lock_file.endswith("warehouse.lock") and self.is_locked:
            held.append(time.perf_counter() - begin[self.lock_file])
        release(self, *words, **options)

    FileLock.acquire, FileLock.release = acquired, released  # type: ignore[method-assign]
    return held


if __name__ == "__main__":
    main()
