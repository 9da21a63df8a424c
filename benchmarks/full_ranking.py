"""Milliseconds of one whole ranking on this GPU: every user, both protocols, one split.

    python benchmarks/full_ranking.py --sequences S --record

From weights to ranks of all held-out items among the drawn candidates and among all items, as the
fused engine does it after a training; what depends on the data alone (windows, candidates, who met
what) is there. The encoder ranks the same in turn. Weights are those of one epoch; a figure is
the median over the rounds, all of them warm.
"""

import argparse
import statistics
from pathlib import Path

import torch
from results import Result, add_arguments, command, keep
from timing import Trainings, as_our_command, facts, load, seconds

from fpt_model.config import VARIANTS
from fpt_model.evaluation.ranks import PROTOCOLS, Ranks, rank
from fpt_model.evaluation.scorer import scorer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--model", choices=VARIANTS, default="tisasrec")
    parser.add_argument("--split", choices=["valid", "test"], default="valid")
    parser.add_argument("--rounds", type=int, default=200)
    add_arguments(parser)
    asked = parser.parse_args()
    sequences = load(asked.sequences)
    trainings = Trainings(asked.model, sequences)
    trainings.to_the_end()
    (member,) = trainings.members
    weights = member.weights()
    member.engine.load(weights)  # now the encoder has them too

    def plain() -> Ranks:
        return rank(
            scorer(member.model, sequences), sequences, asked.split, member.config.max_length
        )

    def fused() -> Ranks:
        return member.ranked(asked.split)

    ours, parts, theirs = [], [], []
    with as_our_command():
        by_launches = fused()
        agreement(by_launches, plain())
        for number in range(asked.rounds):
            member.engine.load(weights)  # else the features would be those of the last time
            ours += seconds(fused)
            parts += seconds(fused)
            if number % 20 == 0:
                theirs += seconds(plain)
        by_graph = fused()
    for protocol in PROTOCOLS:
        assert by_graph.ranks[protocol].equal(by_launches.ranks[protocol]), protocol
    one, comparing, other = (statistics.median(found) * 1e3 for found in (ours, parts, theirs))
    print(f"{facts()['device']}, {asked.model}, {len(plain().users)} users")
    print(f"fused {one:.3f} ms, of it products and comparing {comparing:.3f} ms")
    print(f"plain {other:.1f} ms")
    made = {"unit": "ms", "command": command(), "reference": other, "ratio": other / one}
    keep(asked, Result("full_ranking", one, **made, **facts()))


def agreement(ours: Ranks, plain: Ranks) -> None:
    """Products of half operands change some ranks a little."""
    for protocol in PROTOCOLS:
        gap = (ours.ranks[protocol] - plain.ranks[protocol]).abs()
        same = (gap == 0).double().mean().item()
        print(f"{protocol}: {same:.1%} of ranks are the plain model's, at most {gap.max():g} apart")
        assert torch.equal(ours.n_candidates[protocol], plain.n_candidates[protocol])


if __name__ == "__main__":
    main()
