"""Microseconds of a large training step on this GPU: captured steps, full softmax, long windows.

    python benchmarks/large_step.py --sequences S --heads 1 --profile

SAS-FPT at T = 200, item 128 + week 32 + user 32, two blocks, B = 128, dropouts and Adam included. A
time is the median over epochs, all that an epoch needs included, divided by its users / 128.
"""

import argparse
from pathlib import Path
from statistics import median
from typing import Any

import torch
from results import Result, add_arguments, command, keep
from timing import LARGE, Trainings, facts, load

WARM = 6  # epochs; each can have steps of a length that is new, and is recorded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="list the kernels of a step")
    parser.add_argument("--plain", action="store_true", help="time the plain trainer as well")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    add_arguments(parser)
    asked = parser.parse_args()
    if (asked.record or asked.record_to) and asked.set:
        parser.error("only the settings above are recorded: no --set")
    print(facts())
    ours = measure("auto", asked, asked.epochs)
    plain = measure("plain", asked, 1) if asked.plain else None
    about = {"command": command(), "reference": plain, "ratio": plain / ours if plain else None}
    keep(asked, Result("large_step", ours, "µs a step", **about, **facts()))


def measure(engine: str, asked: argparse.Namespace, epochs: int) -> float:
    """Median µs a step."""
    other: dict[str, Any] = dict(pair.split("=", 1) for pair in asked.set)
    settings = LARGE | {"heads": asked.heads} | other
    some = Trainings("sas_fpt", load(asked.sequences), settings, engine=engine)
    first = some.seconds(WARM)[0]  # compiles and records
    step = median(some.seconds(epochs)) / some.batches * 1e6
    print(
        f"{some.engine}, heads {asked.heads}: {step:.0f} µs a step, first epoch {first:.1f} s, "
        f"{torch.cuda.max_memory_allocated() >> 20} MiB at most"
    )
    if asked.profile:
        some.list_kernels()
    return step


if __name__ == "__main__":
    main()
