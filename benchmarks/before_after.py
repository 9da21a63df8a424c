"""Are training steps as fast as before? Two checkouts in turn, in one run on one machine.

    python benchmarks/before_after.py --before DIR --sequences S

A checkout's process has its training ready, and is asked for epochs when the other has done its own
and waits. The figure is the lower quartile of epochs on a GPU and of steps on a CPU, as what else a
machine does only adds to them. Exit code 1 where a step takes over `--margin` longer. Cases are of
step.py, large_step.py, best_step.py and cpu_step.py; those of a GPU only where there is one.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import quantiles
from typing import Any

import torch
from timing import BEST, HEADS_ALIKE, LARGE, Trainings, load

# name: model, settings, seeds, device, epochs of a round
CASES: dict[str, tuple[str, dict[str, Any], int, str, int]] = {
    "step TiSASRec": ("tisasrec", {}, 1, "cuda", 20),
    "step SAS-FPT": ("sas_fpt", {}, 1, "cuda", 20),
    "step TiSASRec, 8 seeds": ("tisasrec", {}, 8, "cuda", 10),
    "large_step": ("sas_fpt", LARGE, 1, "cuda", 8),
    "large_step, 2 heads": ("sas_fpt", LARGE | {"heads": 2}, 1, "cuda", 8),
    "best_step": ("sas_fpt", BEST, 1, "cuda", 4),
    **{
        f"heads of {width // 4}": ("sas_fpt", settings, 1, "cuda", 4)
        for width, settings in HEADS_ALIKE.items()
    },
    "cpu_step TiSASRec": ("tisasrec", {}, 1, "cpu", 1),
    "cpu_step SAS-FPT": ("sas_fpt", {}, 1, "cpu", 1),
}
WARM = 5  # epochs on a GPU: steps of a new length are compiled and recorded


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="another checkout")
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--margin", type=float, default=0.02)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        work(asked.sequences)
        return 0
    if asked.before is None:
        parser.error("--before: a checkout to compare with")
    here = Path(__file__).parents[1]
    sides = {
        name: Side(root, asked.sequences)
        for name, root in (("before", asked.before), ("now", here))
    }
    slower = [name for name in chosen(asked.only) if not holds(name, sides, asked)]
    for side in sides.values():
        side.process.communicate()
    print("slower: " + ", ".join(slower) if slower else "none is slower")
    return int(bool(slower))


def chosen(part: str) -> list[str]:
    """Cases with that part in their name that can be measured here."""
    there = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    return [name for name, case in CASES.items() if part in name and case[3] in there]


def holds(name: str, sides: "dict[str, Side]", asked: argparse.Namespace) -> bool:
    """Whether a case takes no longer than before, within the margin."""
    took = in_turn(name, sides, asked.rounds)
    before, now = (quantiles(took[side], n=4)[0] * 1e6 for side in ("before", "now"))
    print(f"{name:24} before {before:9.1f} µs a step, now {now:9.1f}, {now / before - 1:+.1%}")
    return now <= before * (1 + asked.margin)


def in_turn(name: str, sides: "dict[str, Side]", rounds: int) -> dict[str, list[float]]:
    """Seconds of a case's steps by side."""
    for side in sides.values():
        side.tell(name)
    took = {word: side.answer() for word, side in sides.items()}
    for number in range(rounds):
        for word in list(sides)[:: 1 if number % 2 else -1]:
            sides[word].tell("go")
            took[word] += sides[word].answer()
    return took


class Side:
    """A checkout's process."""

    def __init__(self, root: Path, sequences: Path) -> None:
        self.root = root
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", "--sequences", sequences.resolve()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root,
            env=os.environ | {"PYTHONPATH": str(root.resolve())},
        )  # fmt: skip

    def tell(self, words: str) -> None:
        """A case is made ready, or timed."""
        assert self.process.stdin is not None
        print(words, file=self.process.stdin, flush=True)

    def answer(self) -> list[float]:
        """Seconds of steps; none when a case is ready."""
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"The process of {self.root} ended")
        return list(json.loads(answer))


def work(sequences: Path) -> None:
    """Make the case ready that a line names; time it when a line says so."""
    import fpt_model

    assert Path(fpt_model.__path__[0]).parent == Path.cwd(), "not the checkout's own code"
    trainings, epochs, found = None, 0, list[float]()
    for line in sys.stdin:
        if line.strip() in CASES:
            del trainings  # its memory is the next one's
            model, settings, seeds, device, epochs = CASES[line.strip()]
            trainings = Trainings(model, load(sequences, device), settings, seeds)
            trainings.seconds(WARM if device == "cuda" else 1)
            found = []
        elif device == "cuda":
            found = [one / trainings.steps for one in trainings.seconds(epochs)]
        else:
            found = trainings.seconds_of_steps()
        print(found, flush=True)


if __name__ == "__main__":
    sys.exit(main())
