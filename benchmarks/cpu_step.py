"""Milliseconds of a TiSASRec training step on the CPU: the public TiSASRec.pytorch and ours.

    python benchmarks/cpu_step.py --sequences S --reference DIR

Both train in turn at the paper's sizes (B = 128, T = 50, D = 50, two blocks) on the same histories,
each with its own sampler. A figure is the median over the steps of all rounds but the first.
"""

import argparse
import statistics
from itertools import chain
from pathlib import Path

import torch
from reference import Reference, as_our_command, seconds
from results import Result, command, cpu, record, versions

from fpt_model.config import resolve
from fpt_model.data.sequences import load
from fpt_model.training.trainer import Trainer, trainer_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True, help="its checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="write docs/results/speed.json")
    asked = parser.parse_args()
    sequences = load(asked.sequences)
    trainer = trainer_of(resolve("tisasrec", "paper"), 0, sequences, "threaded")
    theirs, ours = [], []
    with Reference(asked.reference, sequences, torch.device("cpu")) as reference:
        for _ in range(1 + asked.rounds):
            theirs.append(seconds(reference.step, 5))
            reference.wait_for_sampler()
            ours.append(epoch_seconds(trainer))
    step = statistics.median(chain(*ours[1:])) * 1e3
    reference_step = statistics.median(chain(*theirs[1:])) * 1e3
    ratio = reference_step / step
    print(f"{cpu()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"reference {reference_step:.0f} ms a step, ours {step:.1f} ms, {ratio:.1f} times")
    for name, rounds in (("reference", theirs), ("ours", ours)):
        medians = ", ".join(f"{statistics.median(found) * 1e3:.1f}" for found in rounds)
        print(f"  {name}, medians of the rounds: {medians}")
    if asked.record:
        made = Result(
            name="cpu_step",
            ours=step,
            reference=reference_step,
            ratio=ratio,
            unit="ms a step",
            device=cpu(),
            versions=versions("torch", "numpy"),
            command=command(),
        )
        record(made)


def epoch_seconds(trainer: Trainer) -> list[float]:
    """Of each step of an epoch, without the smaller last one."""
    with as_our_command():
        found = seconds(trainer.step, trainer.steps - 1)
    trainer.progress.step = 0
    trainer.progress.epoch += 1
    return found


if __name__ == "__main__":
    main()
