"""Are the fast engines as good as the reference? Seeds in pairs, by their validation NDCG@10.

    python benchmarks/equal_quality.py --sequences S --model tisasrec --folder F --workers 6

Each seed is trained twice for the same number of epochs, without an early end: by the engine that
`auto` picks, and by the engine `reference` on the same device, some seeds at a time in processes of
their own. What is compared is the best of a training's validations; the test split is never ranked.

A difference of engines that is smaller than what a seed changes means nothing: the noise of one run
is about 0.005, so the margin is that. The engines are equivalent if the 90 % t interval of the mean
paired difference lies within the margin, which is two one-sided tests at 5 %.

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
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from results import command, store

from fpt_model.config import Config, resolve
from fpt_model.version import code_version

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "equal_quality.json"
MARGIN = 0.005  # of NDCG@10: the noise of one run
# Student's t that a share of 5 % is above, by degrees of freedom
T_95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771)
T_95 += (1.761, 1.753, 1.746, 1.740, 1.734, 1.729)
SIDES = {"fast": "auto", "plain": "reference"}  # and their engines
LOOK_EVERY = 5.0  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="trainings are kept here")
    parser.add_argument("--model", default="tisasrec")
    parser.add_argument("--large", action="store_true", help="the settings of large_step.py")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seeds", type=int, default=10, help=f"2 to {len(T_95) + 1}")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--validate-every", type=int, default=5)
    parser.add_argument(
        "--workers", type=int, default=5, help="trainings of the reference at a time"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--minutes", type=float, default=9.0, help="then stop, to go on later")
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    if not 2 <= asked.seeds <= len(T_95) + 1:
        parser.error(f"--seeds: got {asked.seeds}, expected 2 to {len(T_95) + 1}")
    config = settings(asked)
    write_jobs(asked, config)
    if not train(asked):
        print("Not finished: the same command goes on")
        return 1
    row = judged(asked, config)
    show(row)
    store([row], asked.output)
    return 0


def settings(asked: argparse.Namespace) -> Config:
    """Both sides' settings: every epoch of every seed is trained."""
    sizes: dict[str, Any] = {}
    if asked.large:
        from timing import LARGE

        sizes |= LARGE
    sizes |= dict(pair.split("=", 1) for pair in asked.set)
    sizes |= {"epochs": asked.epochs, "patience": asked.epochs}
    return resolve(asked.model, "paper", sizes | {"validate_every": asked.validate_every})


def write_jobs(asked: argparse.Namespace, config: Config) -> None:
    """A file for each process: all seeds of the fast side, a share of them for each worker."""
    asked.folder.mkdir(parents=True, exist_ok=True)
    for side, numbers in shares(asked).items():
        rows = [
            {
                "sequences": str(asked.sequences.resolve()),
                "output": output(side.partition("-")[0], seed),
                "config": config.to_dict(),
                "seed": seed,
            }
            for seed in numbers
        ]
        text = json.dumps({"code_version": code_version(), "rank": False, "jobs": rows}, indent=1)
        (asked.folder / f"{side}.json").write_text(text, encoding="utf-8")


def shares(asked: argparse.Namespace) -> dict[str, range]:
    """Seeds of each process."""
    workers = min(asked.workers, asked.seeds)
    plain = {f"plain-{n}": range(n, asked.seeds, workers) for n in range(workers)}
    return {"fast": range(asked.seeds)} | plain


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
    words = ["--device", asked.device, "--engine", SIDES[name.partition("-")[0]], "--threads", "1"]
    jobs = asked.folder / f"{name}.json"
    program = [
        sys.executable,
        "-m",
        "fpt_model",
        "train-all",
        *words,
        "--jobs",
        str(jobs.resolve()),
    ]
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
    done = {side: sum(epochs(asked, side).values()) for side in SIDES}
    parts = [f"{side} {count} of {whole} epochs" for side, count in done.items()]
    print(f"{datetime.now(UTC):%H:%M:%S}", *parts, sep="  ", flush=True)


def epochs(asked: argparse.Namespace, side: str) -> dict[str, int]:
    """Epochs that each training of a side has done."""
    found = {}
    for event in events(asked, side):
        if event["event"] in ("epoch", "resumed"):
            found[event["run"]] = event["epoch"]
    return found


def events(asked: argparse.Namespace, side: str) -> list[dict[str, Any]]:
    """What a side's processes told; a last line may be on its way."""
    lines = [
        line
        for path in sorted(asked.folder.glob(f"{side}*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return [json.loads(line) for line in lines if line.endswith("}")]


def judged(asked: argparse.Namespace, config: Config) -> dict[str, Any]:
    """A row of the results."""
    records = {
        side: [record(asked.folder / output(side, seed)) for seed in range(asked.seeds)]
        for side in SIDES
    }
    best = {side: [one["valid_ndcg_10"] for one in found] for side, found in records.items()}
    engines = sorted({e["engine"] for e in events(asked, "fast") if e["event"] == "start"})
    first = records["fast"][0]
    sizes = "large" if asked.large else "paper"
    return {
        "name": " ".join([config.model, sizes, *asked.set]),
        "engine": " ".join(engines),
        "settings": config.to_dict(),
        "seeds": list(range(asked.seeds)),
        **{side: [round(value, 6) for value in values] for side, values in best.items()},
        **equivalence([a - b for a, b in zip(best["fast"], best["plain"], strict=True)]),
        "snapshot_id": first["snapshot_id"],
        "code_version": first["code_version"],
        "device": first["device"],
        "versions": first["versions"],
        "date": datetime.now(UTC).date().isoformat(),
        "command": command(),
    }


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def equivalence(differences: Sequence[float], margin: float = MARGIN) -> dict[str, Any]:
    """Mean paired difference, its 90 % t interval, and whether that lies within the margin."""
    middle, n = mean(differences), len(differences)
    half = T_95[n - 2] * stdev(differences) / n**0.5
    return {
        "difference": round(middle, 6),
        "interval_90": [round(middle - half, 6), round(middle + half, 6)],
        "margin": margin,
        "equivalent": -margin < middle - half and middle + half < margin,
    }


def show(row: Mapping[str, Any]) -> None:
    print(
        f"{row['name']}, {row['engine']} beside the reference, {row['device']}: validation NDCG@10"
    )
    for seed, fast, plain in zip(row["seeds"], row["fast"], row["plain"], strict=True):
        print(f"seed {seed:2}  {fast:.4f}  {plain:.4f}  {fast - plain:+.4f}")
    low, high = row["interval_90"]
    verdict = "equivalent" if row["equivalent"] else "not shown to be equivalent"
    print(f"mean difference {row['difference']:+.4f}, 90 % interval {low:+.4f} to {high:+.4f}")
    print(f"margin ±{row['margin']}: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
