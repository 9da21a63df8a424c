"""Archive to audited, published core tables and sequences: seconds of engine time and peak memory.

    python benchmarks/etl.py --dataset ml-1m --source ml-1m.zip --runs 5

Engine time leaves out imports and Prefect's start. Each run starts from an empty home.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

from expectations.facts import Facts
from expectations.outcome import stops
from expectations.runner import audit
from expectations.suites import CORE, RAW
from tasks.auditing import load_facts, snapshot_facts
from warehouse import landing, preparing, publishing
from warehouse.datasets import find
from warehouse.home import Home


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="ml-1m")
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--retention", default="5-core")
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    runs = [measure(asked.dataset, asked.source, asked.retention) for _ in range(asked.runs)]
    for step in runs[0]:
        print(f"{step:16} {statistics.median(run[step] for run in runs):7.2f} s")
    total = statistics.median(sum(run.values()) for run in runs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{'total':16} {total:7.2f} s, peak memory {peak:.2f} GiB, median of {asked.runs}")


def measure(dataset: str, source: Path, retention: str) -> dict[str, float]:
    """Seconds of each step."""
    seconds: dict[str, float] = {}
    last = time.perf_counter()

    def lap(step: str) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[step] = now - last
        last = now

    with tempfile.TemporaryDirectory() as folder:
        home = Home.at(folder)
        load_id = landing.load_id_of(find(dataset), source)
        load = landing.land(find(dataset), source, home.staged(load_id))
        lap("land")
        check(home.staged(load_id), RAW, load_facts(load, max_rejects=0))
        lap("audit raw")
        publishing.publish_load(home, load_id)
        lap("publish raw")
        snapshot = preparing.prepare(home, load_id, retention)
        lap("prepare")
        check(home.staged(snapshot.snapshot_id), CORE, snapshot_facts(snapshot))
        lap("audit core")
        publishing.publish_snapshot(home, snapshot)
        publishing.replace_readers_copy(home)
        lap("publish core")
    return seconds


def check(database: Path, suites: tuple[str, ...], facts: Facts) -> None:
    outcomes = audit(database, suites, facts)
    if stops(outcomes):
        raise SystemExit(str([outcome for outcome in outcomes if not outcome.success]))


if __name__ == "__main__":
    main()
