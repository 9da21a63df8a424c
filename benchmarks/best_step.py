"""Microseconds of a step of SAS-FPT as the preset `best` has it, and of steps by width and heads.

    python benchmarks/best_step.py --sequences S --before DIR --record
    python benchmarks/best_step.py --sequences S --sweep points.json
    python benchmarks/best_step.py --plot points.json
    python benchmarks/best_step.py --sequences S --five-seeds --record

The settings are those that the preset had at commit 9196cff (`timing.BEST`). With `--before`
another checkout's steps are timed in turn with these. `head_cliff` is a step of three blocks with
four heads at a width of 208, otherwise as in large_step.py, beside the mean of 192 and 224. A time
is the median over epochs, divided by their users / 128. `--sweep` times such steps over many widths
and heads, `--plot` draws them. `--five-seeds` times whole trainings by `python -m fpt_model
train-all`, imports and ranking included.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from before_after import WARM, Side, in_turn
from results import Result, add_arguments, command, keep
from timing import BEST, HEADS_ALIKE, LARGE, Trainings, as_our_command, facts, load

from fpt_model.config import resolve
from fpt_model.engines.precompile import compile_ahead

PLOT = Path(__file__).parents[1] / "docs" / "images" / "heads.svg"
WIDTHS = range(128, 273, 16)
EPOCHS = 4  # of a round
SEEDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=Path)
    parser.add_argument("--before", type=Path, help="another checkout, timed in turn")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--heads", type=int, nargs="+", default=[1, 2, 4, 8], help="of --sweep")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="of --sweep")
    parser.add_argument("--profile", action="store_true", help="list the kernels of a step")
    parser.add_argument("--sweep", type=Path, metavar="FILE", help="write steps by width and heads")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw what --sweep wrote")
    parser.add_argument("--five-seeds", action="store_true", help="time whole trainings")
    add_arguments(parser)
    asked = parser.parse_args()
    if asked.plot:
        plot(json.loads(asked.plot.read_text(encoding="utf-8")), PLOT)
    elif asked.sequences is None:
        parser.error("--sequences: a file of them")
    elif asked.sweep:
        points = sweep(asked)
        asked.sweep.write_text(json.dumps(points), encoding="utf-8")
    elif asked.five_seeds:
        seconds = five_seeds(asked.sequences.resolve())
        print(f"{SEEDS} trainings: {seconds:.1f} s")
        keep(asked, Result("best_five_seeds", seconds, "s", command=command(), **facts()))
    else:
        steps(asked)


def steps(asked: argparse.Namespace) -> None:
    """Those of `best`, and of heads beside each other."""
    print(facts())
    if asked.before:
        now, before = both(asked.sequences, asked.before, asked.rounds)
    else:
        now, before = alone(asked), None
    for name, value in now.items():
        was = f", before {before[name]:7.0f}" if before else ""
        print(f"{name:12} {value:7.0f} µs a step{was}")
    found = [
        figure("best_step", "µs a step", now["best_step"], before and before["best_step"]),
        figure("head_cliff", "times its neighbours' mean", cliff(now), before and cliff(before)),
    ]
    keep(asked, *found)


def figure(name: str, unit: str, ours: float, other: Any) -> Result:
    """One beside that of the other checkout."""
    print(f"{name} {ours:.4g}" + (f", before {other:.4g}" if other else ""))
    ratio = other / ours if other else None
    return Result(name, ours, unit, reference=other, ratio=ratio, command=command(), **facts())


def cliff(steps: Mapping[str, float]) -> float:
    """Heads of 52 beside the mean of 48 and 56."""
    return 2 * steps["heads of 52"] / (steps["heads of 48"] + steps["heads of 56"])


CASES = {"best_step": BEST} | {f"heads of {w // 4}": some for w, some in HEADS_ALIKE.items()}


def both(sequences: Path, before: Path, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """µs a step here and in another checkout, in turn."""
    here, users = Path(__file__).parents[1], len(load(sequences, "cpu").trainable())
    batch = LARGE["batch_size"]
    whole = -(-users // batch) * batch / users  # the last step is smaller
    sides = {"now": Side(here, sequences), "before": Side(before, sequences)}
    took = {name: in_turn(name, sides, rounds) for name in CASES}
    for side in sides.values():
        side.process.communicate()
    now, other = (
        {name: median(some[side]) * whole * 1e6 for name, some in took.items()} for side in sides
    )
    return now, other


def alone(asked: argparse.Namespace) -> dict[str, float]:
    """µs a step here."""
    data, found = load(asked.sequences), {}
    for name, settings in CASES.items():
        found[name] = step_of(data, settings, asked.rounds, profile=asked.profile)
    return found


def step_of(data: Any, settings: Mapping[str, Any], rounds: int, *, profile: bool = False) -> float:
    """µs a step with some settings."""
    some = Trainings("sas_fpt", data, settings)
    some.seconds(WARM)
    found = median(some.seconds(EPOCHS * rounds)) / some.batches * 1e6
    if profile:
        some.list_kernels()
    return found


def sweep(asked: argparse.Namespace) -> list[dict[str, float]]:
    """Steps of three blocks by width and heads."""
    data, found = load(asked.sequences), []
    sizes = list(itertools.product(asked.heads, asked.widths))
    settings = [
        LARGE | {"blocks": 3, "heads": heads, "item_width": width - 64} for heads, width in sizes
    ]
    configs = [resolve("sas_fpt", "paper", one) for one in settings]
    with as_our_command():
        compile_ahead(configs, data, "auto")
    for (heads, width), one in zip(sizes, settings, strict=True):
        step = step_of(data, one, asked.rounds)
        found.append({"heads": heads, "width": width, "step": step})
        print(f"heads {heads}, width {width}: {step:.0f} µs a step", flush=True)
    return found


def plot(points: list[dict[str, float]], path: Path) -> None:
    """A line for each number of heads."""
    from warehouse.charts import HEIGHT, WIDTH, Series, course, legend, picture, placed

    lines = [
        Series(name_of(heads), [p["width"] for p in mine], [p["step"] for p in mine])
        for heads in sorted({point["heads"] for point in points})
        if (mine := [point for point in points if point["heads"] == heads])
    ]
    parts = [
        legend([line.name for line in lines], 8, 16, 80),
        placed(8, 26, course(lines, "width", "µs a step of three blocks")),
    ]
    path.write_text(picture(WIDTH + 16, HEIGHT + 30, parts), encoding="utf-8")


def name_of(heads: float) -> str:
    return f"{heads:g} head" + ("s" if heads > 1 else "")


def five_seeds(sequences: Path) -> float:
    """Seconds of whole trainings and their rankings, in one process."""
    with tempfile.TemporaryDirectory() as place:
        jobs = Path(place, "jobs.json")
        jobs.write_text(json.dumps({"jobs": jobs_of(sequences)}), encoding="utf-8")
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "fpt_model", "train-all", "--jobs", jobs],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return time.perf_counter() - began


def jobs_of(sequences: Path) -> list[dict[str, Any]]:
    """Trainings that `train-all` reads."""
    settings = {"model": "sas_fpt", "preset": "paper", **BEST}
    return [
        {"sequences": str(sequences), "output": f"runs/{seed}", "config": settings, "seed": seed}
        for seed in range(SEEDS)
    ]


if __name__ == "__main__":
    main()
