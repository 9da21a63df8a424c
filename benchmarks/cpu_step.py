"""TiSASRec on the CPU, a training step and an evaluation: the public TiSASRec.pytorch and ours.

    python benchmarks/cpu_step.py --sequences S --reference DIR --record

Both in turn at the paper's sizes (B = 128, T = 50, D = 50, two blocks) on the same histories, each
with its own sampler. A step is the median over those of all rounds but the first. An evaluation
ranks every user's test item among 100 sampled items; the reference draws them as it goes, ours are
in the file.
"""

import argparse
from itertools import chain
from pathlib import Path
from statistics import median

import torch
from reference import Reference
from results import Result, add_arguments, command, keep
from timing import Trainings, as_our_command, facts, load, seconds

Times = list[list[float]]  # of each round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True, help="its checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=3, help="rounds of them")
    add_arguments(parser)
    asked = parser.parse_args()
    sequences = load(asked.sequences, "cpu")
    trainings = Trainings("tisasrec", sequences)
    (member,) = trainings.members

    def evaluate() -> None:
        with as_our_command():
            member.ranked("test", ("uniform_100",))

    with Reference(asked.reference, sequences, torch.device("cpu")) as reference:
        theirs: Times = []
        ours: Times = []
        for _ in range(1 + asked.rounds):
            theirs.append(seconds(reference.step, 5))
            reference.wait_for_sampler()
            ours.append(trainings.seconds_of_steps())
        steps = result("cpu_step", ours[1:], theirs[1:], 1e3, "ms a step")
        theirs = [seconds(reference.evaluate) for _ in range(asked.evaluations)]
        ours = [seconds(evaluate, 5) for _ in range(asked.evaluations)]
        keep(asked, steps, *([result("cpu_evaluation", ours, theirs, 1, "s")] if ours else []))


def result(name: str, ours: Times, theirs: Times, factor: float, unit: str) -> Result:
    """Medians over all that was timed."""
    one, other = (median(chain(*some)) * factor for some in (ours, theirs))
    about = {"command": command(), "reference": other, "ratio": other / one}
    made = Result(name, one, unit, **about, **facts("cpu"))
    print(f"{name}: reference {other:.4g} {unit}, ours {one:.4g}, {other / one:.1f} times")
    print(f"  {made.device}, {torch.get_num_threads()} threads; medians of the rounds:")
    for side, rounds in (("reference", theirs), ("ours", ours)):
        print(f"  {side}", *(f"{median(found) * factor:.3g}" for found in rounds))
    return made


if __name__ == "__main__":
    main()
