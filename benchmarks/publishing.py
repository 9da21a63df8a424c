"""What publishing one training costs, in an empty home and in one that holds much.

    python benchmarks/publishing.py --reference ../adfa516 --gigabytes 3

Publishes 4 × 6,040 ranks in both homes, in turn with a checkout of the version that kept all in one
database (`--reference`), each in a process of its own. Times are medians from the call to the
readers' copy; the lock is the warehouse's, which other runs wait for.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

USERS, ITEMS = 6040, 3400
ROWS_A_SNAPSHOT = 8_000_000
PARTS = [(split, protocol) for split in ("valid", "test") for protocol in ("uniform_100", "full")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, help="a checkout of the version to compare with")
    parser.add_argument("--gigabytes", type=float, default=3.0, help="GiB of history")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="for the homes; a temporary one otherwise")
    parser.add_argument("--child", nargs=2, metavar=("HOME", "GIB"), help=argparse.SUPPRESS)
    parser.add_argument("--record", action="store_true", help="keep the figures in speed.json")
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(measure(Path(asked.child[0]), float(asked.child[1]), asked.runs)))
        return
    codes = {"ours": Path(__file__).parents[1]}
    if asked.reference:
        codes["reference"] = asked.reference.resolve()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        told = {
            code: {
                size: child(asked, root, Path(folder, f"{code}-{size:g}"), size) for size in sizes
            }
            for sizes in [(0.0, asked.gigabytes)]
            for code, root in codes.items()
        }
    show(told)
    if asked.record:
        keep(told, asked.gigabytes)


def child(asked: argparse.Namespace, root: Path, home: Path, gigabytes: float) -> dict[str, float]:
    """Measure the code of a checkout in a home of its own."""
    words = [sys.executable, __file__, "--runs", str(asked.runs), "--child", str(home)]
    done = subprocess.run(
        [*words, str(gigabytes)],
        env=os.environ | {"PYTHONPATH": str(root)},
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(root: Path, gigabytes: float, runs: int) -> dict[str, float]:
    """Fill a home, then publish trainings one by one."""
    from warehouse.home import Home

    home = Home.at(root)
    history = Reference() if hasattr(home, "warehouse") else Ours()
    history.add_snapshot(home, "small", USERS * 3)
    number = 0
    while size_of(root) < gigabytes * 2**30:
        history.add_snapshot(home, f"big-{number}", ROWS_A_SNAPSHOT)
        number += 1
    history.publish(home, [])  # what the history still owes its readers
    held = watch_lock()
    seconds = []
    for run in range(runs):
        trained = training(home, run)
        begin = time.perf_counter()
        history.publish(home, [trained])
        seconds.append(time.perf_counter() - begin)
    return {
        "seconds": statistics.median(seconds),
        "lock": statistics.median(held),
        "disk": size_of(root),
        "warehouse": history.bytes_of(home),
    }


def size_of(root: Path) -> int:
    """Bytes on the disk; a file with two names counts once."""
    seen = {}
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and "runs" not in path.parts:
            about = path.stat()
            seen[about.st_ino] = about.st_size
    return sum(seen.values())


def watch_lock() -> list[float]:
    """Seconds that the warehouse's lock is held, from now on."""
    from filelock import FileLock

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


def training(home: Any, number: int) -> Any:
    """A training with 4 × 6,040 ranks, as its process left them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from warehouse.identity import sha256_of
    from warehouse.publishing import TrainedRun

    rng = np.random.default_rng(number)
    folder = home.run(f"run-{number}")
    folder.mkdir(parents=True, exist_ok=True)
    tables = [
        pa.table(
            {
                "split": pa.array([split] * USERS),
                "protocol": pa.array([protocol] * USERS),
                "user_id": pa.array(np.arange(1, USERS + 1), pa.int32()),
                "rank": pa.array(rng.integers(1, 102, USERS), pa.float32()),
                "n_candidates": pa.array([101] * USERS, pa.int32()),
            }
        )
        for split, protocol in PARTS
    ]
    path = folder / "ranks.parquet"
    pq.write_table(pa.concat_tables(tables), path)
    Path(f"{path}.sha256").write_text(f"{sha256_of(path)}  {path.name}\n")
    moment = datetime(2026, 1, 1)
    return TrainedRun(
        run_id=f"run-{number}",
        snapshot_id="small",
        model="sas_fpt",
        preset="quick",
        seed=number,
        config={},
        device="cpu",
        code_version="c0de",
        versions={},
        started_at=moment,
        finished_at=moment,
        train_seconds=1.0,
        best_epoch=1,
        checkpoint_sha256="abc",
        epochs=tuple({"epoch": n, "train_loss": 0.5, "seconds": 1.0} for n in range(100)),
        ranks=path,
    )


SNAPSHOT = (
    "INSERT INTO core.snapshots BY NAME SELECT '{id}' AS snapshot_id, 'load' AS load_id, "
    "'5-core' AS retention, 1 AS n_users, 1 AS n_items, 1 AS n_interactions, 0 AS n_duplicates, "
    "'' AS sequences_path, '' AS sequences_sha256, now()::TIMESTAMP AS created_at{more}"
)
LOAD = (
    "INSERT INTO raw.loads BY NAME SELECT 'load' AS load_id, 'ml-1m' AS dataset, '' AS source, "
    "'' AS source_sha256, true AS verified, now()::TIMESTAMP AS loaded_at, 1 AS n_ratings, "
    "1 AS n_users, 1 AS n_items{more} WHERE 'load' NOT IN (SELECT load_id FROM raw.loads)"
)


def interactions(n: int) -> str:
    """Three for each user of a small snapshot; of a large one random numbers, which don't pack."""
    return f"""
        SELECT
            (row % {USERS} + 1)::INTEGER AS user_id, (row % {ITEMS} + 1)::INTEGER AS item_id,
            (random() * 5)::FLOAT AS rating, (random() * 1e15)::BIGINT AS timestamp,
            (row // {USERS} + 1)::INTEGER AS position,
            CASE row // {USERS} WHEN 0 THEN 'train' WHEN 1 THEN 'valid' ELSE 'test' END AS split,
            (random() * 1e9)::BIGINT AS scaled_interval, (row % 52 + 1)::TINYINT AS week
        FROM (SELECT range AS row FROM range({n}))"""


TABLES = {
    "core.users": f"""
        SELECT range::INTEGER AS user_id, range AS raw_user_id, 3::BIGINT AS n_interactions,
            1::BIGINT AS n_train, 1::BIGINT AS time_scale FROM range(1, {USERS + 1})""",
    "core.items": f"""
        SELECT range::INTEGER AS item_id, range AS raw_item_id, '' AS title, '' AS genres,
            1::BIGINT AS n_train FROM range(1, {ITEMS + 1})""",
}


class Ours:
    """Files of the store and a catalogue."""

    def add_snapshot(self, home: Any, identity: str, n: int) -> None:
        """Publish a snapshot of so many interactions."""
        import duckdb

        from warehouse.catalogue import writing
        from warehouse.database import table_files
        from warehouse.staging import stage_rows, staging_folder
        from warehouse.store import list_files, place_all

        with staging_folder(home, "history") as folder:
            with duckdb.connect() as connection:
                for path in table_files():
                    connection.execute(path.read_text(encoding="utf-8"))
                rows = {**TABLES, "core.interactions": interactions(n)}
                for table, query in rows.items():
                    stage_rows(connection, folder, table, identity, query)
            files = place_all(home, folder)
        with writing(home) as connection:
            connection.execute(LOAD.format(more=", 1 AS publication"))
            connection.execute(SNAPSHOT.format(id=identity, more=", 1 AS publication"))
            list_files(connection, home, files)

    def publish(self, home: Any, runs: list[Any]) -> None:
        """As the pipeline does it."""
        from warehouse.publishing import publish_runs

        if runs:
            publish_runs(home, runs)

    def bytes_of(self, home: Any) -> int:
        """What is published."""
        from warehouse.catalogue import newest, opened
        from warehouse.store import listed

        with opened(home) as connection:
            return sum(one.size for one in listed(connection)) + newest(home).stat().st_size


class Reference:
    """One database, and a copy of it."""

    def add_snapshot(self, home: Any, identity: str, n: int) -> None:
        """Publish a snapshot of so many interactions."""
        from warehouse.database import writing

        with writing(home) as connection:
            connection.execute(LOAD.format(more=""))
            connection.execute(SNAPSHOT.format(id=identity, more=""))
            rows = {**TABLES, "core.interactions": interactions(n)}
            for table, query in rows.items():
                connection.execute(
                    f"INSERT INTO {table} BY NAME SELECT '{identity}' AS snapshot_id, * "
                    f"FROM ({query})"
                )

    def publish(self, home: Any, runs: list[Any]) -> None:
        """As the pipeline did it."""
        from warehouse.publishing import publish_runs, replace_readers_copy

        if runs:
            publish_runs(home, runs)
        replace_readers_copy(home)

    def bytes_of(self, home: Any) -> int:
        """What is published."""
        return int(home.warehouse.stat().st_size)


def show(told: dict[str, dict[float, dict[str, float]]]) -> None:
    """A line a version and home."""
    for code, sizes in told.items():
        for size, one in sizes.items():
            print(
                f"{code:10} {size:4.1f} GiB: {one['seconds']:7.3f} s, lock {one['lock']:6.3f} s, "
                f"disk {one['disk'] / one['warehouse']:5.2f} times the warehouse"
            )


def keep(told: dict[str, dict[float, dict[str, float]]], gigabytes: float) -> None:
    """The three figures of docs/results/speed.json."""
    from results import Result, command, cpu, record, versions

    figures: dict[str, dict[str, float]] = {"publish_ratio": {}, "publish_lock": {}}
    figures["warehouse_disk"] = {}
    for code, sizes in told.items():
        empty, full = sizes[0.0], sizes[gigabytes]
        figures["publish_ratio"][code] = full["seconds"] / empty["seconds"]
        figures["publish_lock"][code] = full["lock"]
        figures["warehouse_disk"][code] = full["disk"] / full["warehouse"]
    units = {"publish_ratio": "ratio", "publish_lock": "s", "warehouse_disk": "ratio"}
    about = (cpu(), versions("duckdb"), command())
    record(
        *(
            Result(
                *(name, of["ours"], units[name], *about),
                of.get("reference"),
                of["reference"] / of["ours"] if "reference" in of else None,
            )
            for name, of in figures.items()
        )
    )


if __name__ == "__main__":
    main()
