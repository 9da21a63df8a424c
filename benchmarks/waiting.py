"""How long people wait for whole commands, of another checkout and of this one in turn.

    python benchmarks/waiting.py --other ../before --source ml-1m.zip --runs 5

Measures `fpt run` in a new home (all that `make run` does after the installation), the same command
again, and `fpt ingest` of ML-1M in a new home: medians of seconds from the start of the process to
its end. Both checkouts use this Python's packages. Prefect's own home is new, but for what the
first, unmeasured, command of each checkout leaves: its database.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from results import Result, add_arguments, command, cpu, keep, versions

HERE = Path(__file__).parents[1]
ENTRIES = ("entry", "cli")  # in `flows`; earlier versions begin in the second
NAMES = {"make_run": "fpt run", "rerun": "fpt run, again", "ingest_command": "fpt ingest"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--other", type=Path, help="a checkout to compare with")
    parser.add_argument("--source", type=Path, required=True, help="an archive of ML-1M")
    parser.add_argument("--runs", type=int, default=5)
    add_arguments(parser)
    asked = parser.parse_args()
    checkouts = [*([asked.other.resolve()] if asked.other else []), HERE]
    with tempfile.TemporaryDirectory() as folder:
        waits = measure(checkouts, asked.source.resolve(), asked.runs, Path(folder))
    results = []
    for name, shown in NAMES.items():
        *others, ours = (median(waits[checkout, name]) for checkout in checkouts)
        reference = others[0] if others else None
        ratio = reference / ours if reference else None
        print(f"{shown:15} {ours:6.2f} s", f"(before {reference:.2f} s)" if reference else "")
        about = (cpu(), versions("prefect", "duckdb", "torch"), command())
        results.append(Result(name, ours, "s", *about, reference, ratio))
    keep(asked, *results)


def measure(
    checkouts: Sequence[Path], source: Path, runs: int, folder: Path
) -> dict[tuple[Path, str], list[float]]:
    """Seconds of each command, the checkouts in turn."""
    waits: dict[tuple[Path, str], list[float]] = {}
    for run in range(runs + 1):
        for number, checkout in enumerate(checkouts):
            prefect, home = folder / f"prefect-{number}", folder / f"home-{number}-{run}"
            for name, words in (
                ("make_run", ["run", "--home", home]),
                ("rerun", ["run", "--home", home]),
                (
                    "ingest_command",
                    ["ingest", "--dataset", "ml-1m", "--source", source, "--home", f"{home}-ml"],
                ),
            ):
                seconds = _seconds(checkout, prefect, [str(word) for word in words])
                if run:  # the first makes Prefect's database
                    waits.setdefault((checkout, name), []).append(seconds)
    return waits


def _seconds(checkout: Path, prefect: Path, words: Sequence[str]) -> float:
    others = {
        name: x for name, x in os.environ.items() if not name.startswith(("PREFECT_", "FPT_"))
    }
    environment = others | {"PREFECT_HOME": str(prefect), "PYTHONPATH": str(checkout)}
    entry = next(name for name in ENTRIES if (checkout / "flows" / f"{name}.py").exists())
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", f"from flows.{entry} import main; main()", *words],
        cwd=checkout,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
