"""Mixtures of finished trainings: the mean of their scores, and of a simple model's beside them.

    python benchmarks/mixture.py --sequences S --runs runs/0 runs/1 --beside runs/ridge --output F
    python benchmarks/mixture.py --sequences S --runs runs/0 runs/1 --beside runs/ridge --output F \
        --test

The mean of networks' scores is that of the logarithms of their probabilities, but for a number that
is the same for every item of a user. A simple model's scores are divided by their standard
deviation over items and weighted; validation chooses the weight by NDCG@10 among all items. Where
none stands beside them, validation also says what the first of them reach, from one to all. Without
`--test` the test split is not computed; with it only the chosen mixture's, of all members.

A mixture is not one model: it costs as many trainings as it has members, and tables say so.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from harness import Row, short, table, write_json
from torch import Tensor

from fpt_model.data.sequences import Sequences, Split, load
from fpt_model.engines.choose import device_of
from fpt_model.evaluation.metrics import ndcg, recall
from fpt_model.evaluation.ranks import Ranks, Scored, compare, evaluated, scored
from fpt_model.files.finished import read_record
from fpt_model.training.ranking import Ranker, rankers

WEIGHTS = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0)
FIGURES = ("recall_10", "ndcg_10", "full_recall_10", "full_ndcg_10")


@dataclass(frozen=True)
class Mixture:
    """Members of equal weight, and one beside them.

    Attributes:
        sequences: on the device to mix on.
        members: run directories.
        beside: of another model; None for nothing.
        kept: scores by whose and of what, each computed once: many mixtures are of the same ones.
    """

    sequences: Sequences
    members: tuple[Path, ...]
    beside: Path | None = None
    kept: dict[tuple[Path, Split], list[Scored]] = field(default_factory=dict)

    def of_first(self, members: int) -> "Mixture":
        """The same of the first members alone."""
        return replace(self, members=self.members[:members])

    def ranks(self, split: Split, weight: float) -> Ranks:
        """Ranks of a split's held-out items, by what has not seen them."""
        batches = [self._scored(run, split) for run in self.members]
        other = self._scored(self.beside, split) if self.beside and weight else None
        return compare(mixed(batches, other, weight), self.sequences, split)

    def _scored(self, run: Path, split: Split) -> Iterator[Scored]:
        if (run, split) not in self.kept:
            answering, validated = rankers(run, self.sequences)
            ranker = validated if split == "valid" else answering
            self.kept[run, split] = list(scores_of(ranker, self.sequences, split))
        return iter(self.kept[run, split])


def scores_of(ranker: Ranker, sequences: Sequences, split: Split) -> Iterator[Scored]:
    """Batches of user rows and scores, all on the device of the sequences."""
    seen = ranker.sequences.as_seen_by(ranker)
    length = ranker.window(int(seen.lengths.max()))
    for rows, scores in scored(ranker.score, seen, evaluated(seen), split, length):
        yield rows.to(sequences.device), scores.to(sequences.device)


def mixed(
    members: Sequence[Iterator[Scored]], other: Iterator[Scored] | None, weight: float
) -> Iterator[Scored]:
    """The mean of members' scores, and another model's by its weight."""
    for parts in zip(*members, strict=True):
        rows, total = parts[0][0], torch.stack([scores for _, scores in parts]).mean(0)
        if other is not None:
            total = total + weight * standardised(next(other)[1])
        yield rows, total


def standardised(scores: Tensor) -> Tensor:
    """Scores (B, I + 1) over the standard deviation of each user's; column 0 is no item.

    >>> standardised(torch.tensor([[9.0, 2.0, 4.0]])).tolist()[0][1:]
    [1.4142135381698608, 2.8284270763397217]
    """
    return scores / scores[:, 1:].std(1, keepdim=True).clamp(min=1e-12)


def figures(ranks: Ranks) -> dict[str, float]:
    """Recall@10 and NDCG@10 among 100 sampled items and among all."""
    by = (ranks.ranks["uniform_100"], ranks.ranks["full"])
    found = [measure(one, 10) for one in by for measure in (recall, ndcg)]
    return {name: round(value, 6) for name, value in zip(FIGURES, found, strict=True)}


def tried(mixture: Mixture, weights: Sequence[float]) -> list[Row]:
    """Validation figures of each weight, or of the first members, from one to all."""
    n = len(mixture.members)
    ways = [(n, w) for w in weights] if mixture.beside else [(k, 0.0) for k in range(1, n + 1)]
    return [
        {"members": k, "weight": w, **figures(mixture.of_first(k).ranks("valid", w))}
        for k, w in ways
    ]


def chosen(rows: Sequence[Row]) -> float:
    """The weight that is best on validation, the smaller one of equal ones.

    >>> chosen([{"weight": 0.0, "full_ndcg_10": 0.1}, {"weight": 1.0, "full_ndcg_10": 0.2}])
    1.0
    """
    return float(max(rows, key=lambda row: (row["full_ndcg_10"], -row["weight"]))["weight"])


def said(run: Path) -> Row:
    """What a member is."""
    record = read_record(run)
    config = record["config"]
    about = {name: config[name] for name in ("model", "preset")}
    return about | {name: record[name] for name in ("seed", "code_version")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="finished trainings")
    parser.add_argument("--beside", type=Path, help="another one, such as ridge's")
    parser.add_argument("--weights", type=float, nargs="+", default=WEIGHTS)
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    parser.add_argument("--test", action="store_true", help="the chosen mixture's test figures")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    asked = parser.parse_args()
    sequences = load(asked.sequences).to(device_of(asked.device))
    mixture = Mixture(sequences, tuple(asked.runs), asked.beside)
    rows = tried(mixture, asked.weights)
    found: Row = {
        "members": [said(run) for run in asked.runs],
        "beside": said(asked.beside) if asked.beside else None,
        "sequences_sha256": sequences.sha256,
        "valid": rows,
        "weight": chosen(rows),
    }
    if asked.test:
        about = {"members": len(asked.runs), "weight": found["weight"]}
        found["test"] = about | figures(mixture.ranks("test", found["weight"]))
    write_json(asked.output, found)
    shown = [("valid", row) for row in rows]
    shown += [("test", found["test"])] if asked.test else []
    lines = [
        [split, str(row["members"]), str(row["weight"]), *(short(row[name]) for name in FIGURES)]
        for split, row in shown
    ]
    print(table(("split", "members", "weight", *FIGURES), lines))


if __name__ == "__main__":
    main()
