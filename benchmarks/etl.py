"""Archive to audited, published core tables and sequences: seconds of engine time and peak memory.

    python benchmarks/etl.py --dataset ml-1m --source ml-1m.zip --runs 5

Engine time leaves out imports and Prefect's start. Each run starts from an empty home.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from results import Result, command, cpu, record, versions

from expectations.facts import Facts
from expectations.outcome import stops
from expectations.runner import audit
from expectations.suites import CORE, RAW
from tasks.auditing import load_facts, snapshot_facts
from warehouse import landing, preparing, publishing
from warehouse.datasets import find
from warehouse.home import Home
from warehouse.staging import audited, staging_folder

ENGINES = ("duckdb", "polars", "great-expectations")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="ml-1m")
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--retention", default="5-core")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="seconds and bytes, nothing else")
    parser.add_argument("--record", metavar="NAME", help="keep the seconds in speed.json")
    asked = parser.parse_args()
    runs = [measure(asked.dataset, asked.source, asked.retention) for _ in range(asked.runs)]
    steps = {step: statistics.median(run[step] for run in runs) for step in runs[0]}
    total = statistics.median(sum(run.values()) for run in runs)
    used = resource.getrusage(resource.RUSAGE_SELF)  # all runs, no children
    peak, busy = used.ru_maxrss * 1024, used.ru_utime + used.ru_stime
    if asked.json:
        told = {"steps": steps, "seconds": total, "cpu_seconds": busy, "peak_bytes": peak}
        print(json.dumps(told))
    else:
        for step, seconds in steps.items():
            print(f"{step:16} {seconds:7.2f} s")
        print(f"{'total':16} {total:7.2f} s, {peak / 1e9:.2f} GB at most, median of {asked.runs}")
    if asked.record:
        record(Result(asked.record, total, "s", cpu(), versions(*ENGINES), command()))


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
        with staging_folder(home, "load") as staged:
            load = landing.land(find(dataset), source, staged)
            lap("land")
            check(home, staged, RAW, load_facts(load, max_rejects=0), load_id=load.load_id)
            lap("audit raw")
            publishing.publish_load(home, staged)
            lap("publish raw")
        with staging_folder(home, "snapshot") as staged:
            snapshot = preparing.prepare(home, load.load_id, retention, staged)
            lap("prepare")
            facts = snapshot_facts(snapshot)
            check(home, staged, CORE, facts, snapshot_id=snapshot.snapshot_id)
            lap("audit core")
            publishing.publish_snapshot(home, snapshot, staged)
            lap("publish core")
    return seconds


def check(home: Home, staged: Path, suites: tuple[str, ...], facts: Facts, **identity: str) -> None:
    """As a run does it: the results are stored before they stop anything."""
    outcomes = audit(audited(staged), suites, facts)
    publishing.store_outcomes(home, [asdict(outcome) for outcome in outcomes], **identity)
    if stops(outcomes):
        raise SystemExit(str([outcome for outcome in outcomes if not outcome.success]))


if __name__ == "__main__":
    main()
