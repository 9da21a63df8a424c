"""Does an epoch repeat itself to the bit? The same epoch from the same state, many times, on a GPU.

    python benchmarks/repeats.py --sequences S --engine reference
    python benchmarks/repeats.py --sequences S --only heads=   # the jagged engine's alone

What launches do side by side, and what is on its way while they go on, must not change the weights,
however the GPU times it. A rare mistake of that kind shows only when an epoch is repeated often.
"""

import argparse
import copy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from timing import BEST, Trainings, as_our_command, facts, load

from fpt_model.files.checkpoints import State

SOFTMAX = {"loss": "softmax", "exclude_seen": True, "time_reference": "query", "heads": 2}
# Model, settings beside the paper's, seeds side by side, share of the repetitions.
CASES: tuple[tuple[str, Mapping[str, Any], int, float], ...] = (
    ("sasrec", {}, 1, 1.0),
    ("tisasrec", {}, 1, 1.0),
    ("tisasrec", {}, 8, 1.0),
    ("sas_fpt", {}, 1, 1.0),
    ("sas_fpt", {}, 2, 1.0),
    ("sas_fpt", SOFTMAX, 1, 0.2),
    ("sas_fpt", BEST, 1, 0.2),
)
BEFORE = 6  # epochs, until weights and groups of users are of some use


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--times", type=int, default=300)
    parser.add_argument("--only", default="", help="part of a case's name, as it is printed")
    parser.add_argument("--engine", default="auto", help="see `fpt_model.engines.choose.engine_of`")
    asked = parser.parse_args()
    sequences = load(asked.sequences)
    print(facts()["device"])
    differ = 0
    with as_our_command():
        for model, settings, seeds, share in CASES:
            named = " ".join([model, *(f"{name}={value}" for name, value in settings.items())])
            if asked.only not in named:
                continue
            times = max(2, round(share * asked.times))
            some = Trainings(model, sequences, settings, seeds, asked.engine)
            for _ in range(BEFORE):
                some.to_the_end()
                for member in some.members:
                    member.end_epoch()
            found = differing(some, times)
            print(f"{named}: {some.engine}, seeds {seeds}, {found} of {times} differ", flush=True)
            differ += found
    return min(differ, 1)


def copied(state: State) -> State:
    """One that training leaves as it is."""
    tensors = {name: tensor.clone() for name, tensor in state.tensors.items()}
    return State(tensors, copy.deepcopy(state.facts))


def differing(some: Trainings, times: int) -> int:
    """How many of the repetitions end with other weights than the first."""
    members = some.members
    states = [copied(member.state()) for member in members]
    first, differ = None, 0
    for _ in range(times):
        for member, state in zip(members, states, strict=True):
            member.restore(copied(state))
        some.to_the_end()
        weights = [tensor for member in members for tensor in member.weights().values()]
        first = first or [tensor.clone() for tensor in weights]
        differ += not all(map(torch.equal, weights, first))
    return differ


if __name__ == "__main__":
    sys.exit(main())
