"""A training step on this GPU beside the public TiSASRec.pytorch, and seeds side by side.

    python benchmarks/step.py --sequences S --reference DIR --record

Sizes are the paper's. TiSASRec, SAS-FPT and the reference (always TiSASRec) train in turn, one seed
each; a figure is the median over the rounds. Ours is a whole epoch, all that it needs included,
divided by its steps; the reference's is the body of its loop. Then seed-steps a second: the best of
some numbers of seeds side by side, which the recorded unit and command name.
"""

import argparse
import statistics
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from gpu import as_our_command, facts, seconds, several
from reference import Reference
from results import Result, add_arguments, command, keep

from fpt_model.config import VARIANTS, resolve
from fpt_model.data.sequences import Sequences, load
from fpt_model.engines.choose import device_of
from fpt_model.engines.multiseed.training import Group
from fpt_model.engines.shared import Training

MODELS = ("tisasrec", "sas_fpt")
EPOCHS = 20  # of ours in a round, which go on as in a training
STEPS = 24  # of the reference in a round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--models", choices=VARIANTS, nargs="+", default=MODELS)
    parser.add_argument("--seeds", type=int, nargs="*", default=[8, 16, 32], help="side by side")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--reference", type=Path, help="checkout of TiSASRec.pytorch")
    parser.add_argument("--profile", action="store_true", help="list the kernels of a step")
    add_arguments(parser)
    asked = parser.parse_args()
    sequences = load(asked.sequences).to(device_of("cuda"))
    print(facts())
    keep(asked, *steps(asked, sequences), *seed_steps(asked, sequences))


def steps(asked: argparse.Namespace, sequences: Sequences) -> list[Result]:
    """Steps of the models and of the reference, in turn."""
    groups = {model: ready(model, 1, sequences) for model in asked.models}
    ours: dict[str, list[float]] = {model: [] for model in groups}
    theirs: list[float] = []
    with ExitStack() as open_things:
        if asked.reference:
            reference = Reference(asked.reference, sequences, sequences.items.device)
            open_things.enter_context(reference)
            several(reference.step, 10)  # its samplers' queue fills, CUDA warms up
        for _ in range(asked.rounds):
            if asked.reference:
                theirs += several(reference.step, STEPS)
            with as_our_command():
                for model, group in groups.items():
                    ours[model] += several(partial(epoch, group), EPOCHS)
    if asked.profile:
        for model, group in groups.items():
            list_kernels(model, group)
    other = statistics.median(theirs) * 1e6 if theirs else None
    return [
        step_result(model, statistics.median(ours[model]) / group.kernels.steps * 1e6, other)
        for model, group in groups.items()
    ]


def step_result(model: str, ours: float, reference: float | None) -> Result:
    ratio = reference / ours if reference else None
    print(f"{model}: {ours:.0f} µs a step", end="")
    print(f", reference {reference:.0f} µs, {ratio:.0f} times" if reference else "")
    name = f"{model}_step"
    return Result(
        name, ours, "µs a step", command=command(), reference=reference, ratio=ratio, **facts()
    )


def seed_steps(asked: argparse.Namespace, sequences: Sequences) -> list[Result]:
    """Of TiSASRec, seed-steps a second: the best of the numbers of seeds that were asked for."""
    rates = {}
    for seeds in asked.seeds:
        group = ready("tisasrec", seeds, sequences)
        with as_our_command():
            middle = statistics.median(several(partial(epoch, group), 2 * EPOCHS))
        rates[seeds] = seeds * group.kernels.steps / middle
        memory = torch.cuda.max_memory_allocated() >> 20
        print(f"{seeds} seeds: {rates[seeds]:.0f} seed-steps a second, {memory} MiB at most")
        del group
    if not rates:
        return []
    best = max(rates, key=rates.__getitem__)
    unit = f"per s, {best} seeds side by side"
    return [Result("seed_steps", rates[best], unit, command=command(), **facts())]


def ready(model: str, seeds: int, sequences: Sequences) -> Group:
    """Trainings whose kernels are compiled and whose epoch is recorded."""
    torch.cuda.reset_peak_memory_stats()
    config = resolve(model, "paper")
    group = Group([Training(config, seed, sequences) for seed in range(seeds)])
    first = seconds(partial(epoch, group))
    several(partial(epoch, group), 2)
    print(f"{model}, {seeds} seeds: first epoch {first:.1f} s, {group.kernels.steps} steps")
    return group


def epoch(group: Group) -> None:
    """An epoch of every seed, as a training has it, without its validation."""
    group.run_epoch()
    for member in group.members:
        progress = member.training.progress
        progress.step, progress.epoch = 0, progress.epoch + 1


def list_kernels(model: str, group: Group) -> None:
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiled:
        seconds(group.kernels.graph.replay)
    print(f"kernels of a step, {model}:")
    for kernel in sorted(profiled.key_averages(), key=lambda kernel: -kernel.device_time_total):
        if kernel.device_time_total:
            print(f"  {kernel.key:24} {kernel.device_time_total / group.kernels.steps:8.1f} µs")


if __name__ == "__main__":
    main()
