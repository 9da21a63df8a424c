"""Kill publisher, workers, server and database at random moments; is each training published once?

    python benchmarks/kill_pool.py --home H --minutes 10

A sweep by two workers, as benchmarks/many_workers.py has it. Every few seconds one of the services
is killed with SIGKILL and started again, the publisher too; the store goes away for some seconds.
Then the sweep must end, with every training published once. Prints what was done; exit code 1 if
anything was lost, published twice, or hangs.
"""

import argparse
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
from many_workers import WORKERS, Machines, deployed, services, wait_for

SERVICES = (*WORKERS, "server", "database", "publisher", "store")
PAUSE = (8.0, 25.0)  # seconds between two kills
HANGS = 600.0  # seconds without a kill


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="published home, which is copied")
    parser.add_argument("--minutes", type=float, default=10.0, help="in which services are killed")
    parser.add_argument("--trainings", type=int, default=4, help="of a sweep")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chance, end, wrong = random.Random(asked.seed), time.monotonic() + 60 * asked.minutes, []
    with tempfile.TemporaryDirectory() as folder, services(Path(folder)) as machines:
        shutil.copytree(asked.home, machines.home, symlinks=True)
        machines.more["FPT_LOST_SECONDS"] = "20"
        for name in WORKERS:
            machines.start(name)
        wait_for(lambda: machines.workers() == len(WORKERS))
        epochs = 30
        while time.monotonic() < end:
            epochs += 1
            fault = sweep(machines, asked.trainings, epochs, chance, end)
            print(f"{epochs} epochs: {fault or 'each published once'}", flush=True)
            wrong += [fault] if fault else []
    return int(bool(wrong))


def sweep(
    machines: Machines, trainings: int, epochs: int, chance: random.Random, end: float
) -> str | None:
    """What went wrong, if anything did."""
    settings = ["--set", f"epochs={epochs}", "--set", f"patience={epochs}"]
    words = ["train", "--model", "sasrec", "--seeds", str(trainings), *settings]
    said = machines.folder / f"said-{epochs}.log"

    def begin() -> subprocess.Popen[bytes]:
        with said.open("ab") as log:
            return subprocess.Popen(
                [deployed.BIN / "fpt", *words, "--device", "cpu", "--pool", "gpu"],
                env=machines.environment("publisher"),
                stdout=log,
                stderr=log,
            )

    machines.processes["publisher"] = begin()
    last = time.monotonic()
    while time.monotonic() - last < HANGS:
        publisher = machines.processes["publisher"]
        pause = chance.uniform(*PAUSE) if time.monotonic() < end else 5.0
        try:
            code = publisher.wait(pause)
        except subprocess.TimeoutExpired:
            if time.monotonic() < end:
                last = time.monotonic()
                kill(machines, chance.choice(SERVICES), begin)
            continue
        lines = said.read_text(errors="replace").strip().splitlines()
        if code == 0:
            del machines.processes["publisher"]
            return published(machines.home, trainings, epochs)
        print(f"  it ended with {code}: {lines[-1][:300] if lines else ''}", flush=True)
        time.sleep(5)
        machines.processes["publisher"] = begin()  # as its user would
    tail = " | ".join(said.read_text(errors="replace").strip().splitlines()[-3:])
    machines.kill("publisher")
    return f"it hangs: {tail}"


def kill(machines: Machines, name: str, begin: Callable[[], subprocess.Popen[bytes]]) -> None:
    """As a power cut of its machine, which comes back."""
    print(f"  kill {name}", flush=True)
    if name == "store":
        machines.door.shut()
        time.sleep(4)
        machines.door.open()
        return
    machines.kill(name)
    if name == "publisher":
        machines.processes[name] = begin()
    elif name == "database":
        machines.run_database()
    else:
        machines.start(name)


def published(home: Path, trainings: int, epochs: int) -> str | None:
    """What is not published exactly once."""
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        seeds = connection.sql(
            "SELECT seed FROM mart.training_runs WHERE preset LIKE '%epochs=' || $1 || ' %' "
            "ORDER BY seed",
            params=[str(epochs)],
        ).fetchall()
        files = connection.sql(
            "SELECT id, count(*) FROM mart.files WHERE table_name = 'mart.user_ranks' "
            "GROUP BY id HAVING count(*) > 1"
        ).fetchall()
    if seeds != [(seed,) for seed in range(trainings)]:
        return f"published are seeds {[seed for (seed,) in seeds]}"
    return f"published twice: {files}" if files else None


if __name__ == "__main__":
    raise SystemExit(main())
