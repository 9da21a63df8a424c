"""Seconds of one evaluation on the CPU: the public TiSASRec.pytorch and ours.

    python benchmarks/cpu_evaluation.py --sequences S --reference DIR

Every user's held-out item of the test split among 100 sampled items, by untrained TiSASRec models
of the paper's sizes; the reference draws them as it goes, ours are in the file. Medians over
rounds.
"""

import argparse
import statistics
from pathlib import Path

import torch
from reference import Reference, as_our_command, seconds
from results import Result, command, cpu, record, versions

from fpt_model.config import resolve
from fpt_model.data.sequences import load
from fpt_model.training.trainer import trainer_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True, help="its checkout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--record", action="store_true", help="write docs/results/speed.json")
    asked = parser.parse_args()
    sequences = load(asked.sequences)
    trainer = trainer_of(resolve("tisasrec", "paper"), 0, sequences, "threaded")

    def evaluate() -> None:
        trainer.ranked("test", ("uniform_100",))

    theirs, ours = [], []
    with Reference(asked.reference, sequences, torch.device("cpu")) as reference:
        reference.wait_for_sampler()
        for _ in range(asked.rounds):
            theirs += seconds(reference.evaluate, 1)
            with as_our_command():
                ours += seconds(evaluate, 5)
    one, reference_one = statistics.median(ours), statistics.median(theirs)
    print(f"{cpu()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"reference {reference_one:.1f} s, ours {one:.3f} s, {reference_one / one:.0f} times")
    print(f"  reference: {theirs}\n  ours: {ours}")
    if asked.record:
        made = Result(
            name="cpu_evaluation",
            ours=one,
            reference=reference_one,
            ratio=reference_one / one,
            unit="s",
            device=cpu(),
            versions=versions("torch", "numpy"),
            command=command(),
        )
        record(made)


if __name__ == "__main__":
    main()
