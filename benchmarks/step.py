"""A training step on this GPU beside the public TiSASRec.pytorch, and seeds side by side.

    python benchmarks/step.py --sequences S --reference DIR --record

Sizes are the paper's. TiSASRec, SAS-FPT and the reference (always TiSASRec) train in turn, one seed
each; a figure is the median over the rounds. Ours is a whole epoch, all that it needs included,
divided by its steps; the reference's is the body of its loop. Then seed-steps a second: the best of
some numbers of seeds side by side, which the recorded unit and command name.
"""

import argparse
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import torch
from reference import Reference
from results import Result, add_arguments, command, keep
from timing import Trainings, facts, load, seconds

from fpt_model.config import VARIANTS

EPOCHS = 20  # of ours in a round, which go on as in a training
STEPS = 24  # of the reference in a round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--models", choices=VARIANTS, nargs="+", default=["tisasrec", "sas_fpt"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[8, 16, 32], help="side by side")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--reference", type=Path, help="checkout of TiSASRec.pytorch")
    parser.add_argument("--profile", action="store_true", help="list the kernels of a step")
    add_arguments(parser)
    asked = parser.parse_args()
    sequences = load(asked.sequences)
    print(facts())
    keep(asked, *steps(asked, sequences), *seed_steps(asked.seeds, sequences))


def steps(asked: argparse.Namespace, sequences: Any) -> list[Result]:
    """Steps of the models and of the reference, in turn."""
    trainings = {model: ready(model, 1, sequences) for model in asked.models}
    ours: dict[str, list[float]] = {model: [] for model in trainings}
    theirs: list[float] = []
    with ExitStack() as open_things:
        if asked.reference:
            reference = Reference(asked.reference, sequences, sequences.items.device)
            open_things.enter_context(reference)
            seconds(reference.step, 10)  # its samplers' queue fills, CUDA warms up
        for _ in range(asked.rounds):
            if asked.reference:
                theirs += seconds(reference.step, STEPS)
            for model, some in trainings.items():
                ours[model] += some.seconds(EPOCHS)
    found = []
    for model, some in trainings.items():
        step = median(ours[model]) / some.steps * 1e6
        other = median(theirs) * 1e6 if theirs else None
        ratio = other / step if other else None
        print(f"{model}: {step:.0f} µs a step; reference {other}, times {ratio}")
        if asked.profile:
            some.list_kernels()
        about = {"command": command(), "reference": other, "ratio": ratio}
        found.append(Result(f"{model}_step", step, "µs a step", **about, **facts()))
    return found


def seed_steps(numbers: list[int], sequences: Any) -> list[Result]:
    """Of TiSASRec, seed-steps a second: the best of the numbers of seeds that were asked for."""
    rates = {}
    for seeds in numbers:
        torch.cuda.reset_peak_memory_stats()
        some = ready("tisasrec", seeds, sequences)
        rates[seeds] = seeds * some.steps / median(some.seconds(2 * EPOCHS))
        memory = torch.cuda.max_memory_allocated() >> 20
        print(f"{seeds} seeds: {rates[seeds]:.0f} seed-steps a second, {memory} MiB at most")
        del some
    if not rates:
        return []
    best = max(rates, key=rates.__getitem__)
    unit = f"per s, {best} seeds side by side"
    return [Result("seed_steps", rates[best], unit, command=command(), **facts())]


def ready(model: str, seeds: int, sequences: Any) -> Trainings:
    """Trainings whose kernels are compiled and whose epoch is recorded."""
    some = Trainings(model, sequences, seeds=seeds)
    first, *_ = some.seconds(3)
    print(f"{model}, {seeds} seeds: {some.engine}, first epoch {first:.1f} s, {some.steps} steps")
    return some


if __name__ == "__main__":
    main()
