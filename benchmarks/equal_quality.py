"""Are the fast engines as good as the reference? Seeds in pairs, by their validation NDCG@10.

    python benchmarks/equal_quality.py --sequences S --folder F --engine multiseed --engine jagged

Each seed is trained for the same number of epochs, without an early end, by each engine and by the
reference on the same device; that one some seeds at a time in processes of their own. What is
compared is the best of a training's validations; the test split is never ranked.

A difference of engines that is smaller than what a seed changes means nothing: the noise of one run
is about 0.005, so the margin is that. The engines are equivalent if the 90 % t interval of the mean
paired difference lies within the margin, which is two one-sided tests at 5 %. Exit code 1 where one
is not shown to be, or where `--minutes` were not enough.

Nothing is lost when it ends early (`--minutes`, a kill): the same command goes on. Results go to
docs/results/equal_quality.json, or to `--output`; `python benchmarks/results.py merge FILE --into
docs/results/equal_quality.json` takes over what another machine found.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import RESULTS, ROOT, Row, job, record, t_interval, write_jobs
from results import command, store
from timing import LARGE

from fpt_model.config import Config, resolve
from fpt_model.version import code_version

MARGIN = 0.005  # of NDCG@10: the noise of one run
REFERENCE = "reference"
LOOK_EVERY = 5.0  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="trainings are kept here")
    parser.add_argument("--engine", action="append", default=[], help="default: auto; repeatable")
    parser.add_argument("--model", default="tisasrec")
    parser.add_argument("--large", action="store_true", help="the settings of large_step.py")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seeds", type=int, default=10, help="2 or more")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--validate-every", type=int, default=5)
    parser.add_argument(
        "--workers", type=int, default=5, help="trainings of the reference at a time"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--minutes", type=float, default=9.0, help="then stop, to go on later")
    parser.add_argument("--output", type=Path, default=RESULTS / "equal_quality.json")
    asked = parser.parse_args()
    if asked.seeds < 2:
        parser.error(f"--seeds: got {asked.seeds}, expected 2 or more")
    asked.engine = asked.engine or ["auto"]
    config = settings(asked)
    for name, seeds in shares(asked).items():
        side = name.partition("-")[0]
        path = asked.sequences.resolve()
        jobs = [job(path, output(side, seed), config.to_dict(), seed) for seed in seeds]
        write_jobs(asked.folder / f"{name}.json", jobs, code_version=code_version(), rank=False)
    if not train(asked):
        print("Not finished: the same command goes on")
        return 1
    rows = [judged(asked, config, engine) for engine in asked.engine]
    for row in rows:
        show(row)
    store(rows, asked.output)
    return int(not all(row["equivalent"] for row in rows))


def settings(asked: argparse.Namespace) -> Config:
    """All sides' settings: every epoch of every seed is trained."""
    sizes: dict[str, Any] = dict(LARGE) if asked.large else {}
    sizes |= dict(pair.split("=", 1) for pair in asked.set)
    sizes |= {"epochs": asked.epochs, "patience": asked.epochs}
    return resolve(asked.model, "paper", sizes | {"validate_every": asked.validate_every})


def shares(asked: argparse.Namespace) -> dict[str, range]:
    """Seeds of each process: all of an engine, a share of them for each worker of the reference."""
    workers = min(asked.workers, asked.seeds)
    slow = {f"{REFERENCE}-{n}": range(n, asked.seeds, workers) for n in range(workers)}
    return {engine: range(asked.seeds) for engine in asked.engine} | slow


def output(side: str, seed: int) -> str:
    return f"runs/{side}-{seed}"


def train(asked: argparse.Namespace) -> bool:
    """Run all processes until they have finished, or until the time is over."""
    until = time.monotonic() + 60 * asked.minutes
    processes = [start(asked, name) for name in shares(asked)]
    try:
        while any(one.poll() is None for one in processes) and time.monotonic() < until:
            time.sleep(LOOK_EVERY)
            tell(asked)
    finally:
        stop(processes)
    ended = {0, 128 + signal.SIGTERM, -signal.SIGTERM}  # the last: before it could listen
    failed = [Path(one.args[-1]).stem for one in processes if one.returncode not in ended]
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}; see the .log files beside them")
    return all(one.returncode == 0 for one in processes)


def start(asked: argparse.Namespace, name: str) -> subprocess.Popen[bytes]:
    words = ["--device", asked.device, "--engine", name.partition("-")[0], "--threads", "1"]
    jobs = str((asked.folder / f"{name}.json").resolve())
    program = [sys.executable, "-m", "fpt_model", "train-all", *words, "--jobs", jobs]
    with (
        (asked.folder / f"{name}.jsonl").open("a") as events,
        (asked.folder / f"{name}.log").open("a") as log,
    ):
        return subprocess.Popen(program, stdout=events, stderr=log, cwd=ROOT)


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End those that still run; they write checkpoints."""
    for one in processes:
        if one.poll() is None:
            one.terminate()
    for one in processes:
        one.wait(timeout=60)


def tell(asked: argparse.Namespace) -> None:
    """How many epochs of each side are done, over all attempts."""
    whole = asked.seeds * asked.epochs
    sides = (*asked.engine, REFERENCE)
    parts = [f"{side} {sum(epochs(asked, side).values())} of {whole} epochs" for side in sides]
    print(f"{datetime.now(UTC):%H:%M:%S}", *parts, sep="  ", flush=True)


def epochs(asked: argparse.Namespace, side: str) -> dict[str, int]:
    """Epochs that each training of a side has done."""
    found = {}
    for event in events(asked, side):
        if event["event"] in ("epoch", "resumed"):
            found[event["run"]] = event["epoch"]
    return found


def events(asked: argparse.Namespace, side: str) -> list[Row]:
    """What a side's processes told; a last line may be on its way."""
    lines = [
        line
        for path in sorted(asked.folder.glob(f"{side}*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return [json.loads(line) for line in lines if line.endswith("}")]


def judged(asked: argparse.Namespace, config: Config, engine: str) -> Row:
    """A row of the results."""
    ours, reference = (
        [record(asked.folder / output(side, seed)) for seed in range(asked.seeds)]
        for side in (engine, REFERENCE)
    )
    best = {
        side: [round(one["valid_ndcg_10"], 6) for one in found]
        for side, found in (("fast", ours), (REFERENCE, reference))
    }
    (used,) = {e["engine"] for e in events(asked, engine) if e["event"] == "start"}
    sizes = "large" if asked.large else "paper"
    return {
        "name": " ".join([config.model, sizes, *asked.set, used]),
        "engine": used,
        "settings": config.to_dict(),
        "seeds": list(range(asked.seeds)),
        **best,
        **equivalence([a - b for a, b in zip(best["fast"], best[REFERENCE], strict=True)]),
        **{name: ours[0][name] for name in ("snapshot_id", "code_version", "device", "versions")},
        "date": datetime.now(UTC).date().isoformat(),
        "command": command(),
    }


def equivalence(differences: Sequence[float], margin: float = MARGIN) -> Row:
    """Mean paired difference, its 90 % t interval, and whether that lies within the margin."""
    middle, low, high = t_interval(differences, 0.9)
    return {
        "difference": round(middle, 6),
        "interval_90": [round(low, 6), round(high, 6)],
        "margin": margin,
        "equivalent": -margin < low and high < margin,
    }


def show(row: Row) -> None:
    print(f"{row['name']} beside the reference, {row['device']}: validation NDCG@10")
    for seed, fast, other in zip(row["seeds"], row["fast"], row[REFERENCE], strict=True):
        print(f"seed {seed:2}  {fast:.4f}  {other:.4f}  {fast - other:+.4f}")
    low, high = row["interval_90"]
    verdict = "equivalent" if row["equivalent"] else "not shown to be equivalent"
    print(f"mean difference {row['difference']:+.4f}, 90 % interval {low:+.4f} to {high:+.4f}")
    print(f"margin ±{row['margin']}: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
