"""Does the model that sees a planted signal beat the one that does not? Five worlds, five seeds.

    python benchmarks/signals.py --seeds 5 --split test

Each truth has worlds of its own with one signal alone; its two models share all settings but the
part in question. Differences are of NDCG@10 among 100 sampled items, paired by seed, with a 95 % t
interval.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

import torch
from harness import prepare, t_interval

from fpt_model.config import VARIANTS, Setting, resolve
from fpt_model.data.sequences import Split, load
from fpt_model.evaluation.metrics import ndcg
from fpt_model.evaluation.popularity import popularity
from fpt_model.evaluation.ranks import rank
from fpt_model.evaluation.scorer import scorer
from fpt_model.training.trainer import trainer_of
from warehouse.synthetic.world import SyntheticWorld

SMALL: dict[str, Setting] = {
    "item_width": 24,
    "max_length": 5,
    "batch_size": 64,
    "learning_rate": 3e-3,
    "dropout": 0.1,
    "windows": "random",
    "epochs": 100,
    "validate_every": 5,
    "patience": 8,  # groups show after 30 epochs; with 4 a lucky first validation ends it before
}
# Preset paper's strong group loss keeps vectors as small as these from telling the groups apart.
LIGHT_GROUPS: dict[str, Setting] = {"group_weight": 0.01, "group_pairs": 100}
WIDTHS: dict[str, Setting] = {"week_width": 12, "user_width": 12}


@dataclass(frozen=True)
class Truth:
    """A signal, who should win by it, and over whom."""

    name: str
    signals: Mapping[str, float]
    winner: str
    loser: str
    settings: Mapping[str, Setting] = field(default_factory=dict)


ONLY = {"sequence": 0.0, "gaps": 0.0, "season": 0.0, "groups": 0.0}
TRUTHS = (
    Truth("gaps", ONLY | {"gaps": 0.6}, "tisasrec", "sasrec"),
    Truth("season", ONLY | {"season": 0.6}, "tisasrec_plus_plus", "tisasrec_plus"),
    Truth("groups", ONLY | {"groups": 0.4}, "sas_fpt", "tisasrec_plus_plus", LIGHT_GROUPS),
    *(Truth("nothing", ONLY, "popularity", model) for model in VARIANTS),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument("--only", nargs="*", default=sorted({truth.name for truth in TRUTHS}))
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    settings = SMALL | dict(pair.split("=", 1) for pair in asked.set)
    truths = [truth for truth in TRUTHS if truth.name in asked.only]
    rows = measure(truths, range(asked.seeds), asked.split, settings, asked.processes)
    for row in rows:
        print(json.dumps(row))
    return 0 if all(row["holds"] for row in rows) else 1


def measure(
    truths: Sequence[Truth],
    seeds: Sequence[int],
    split: Split,
    settings: Mapping[str, Setting],
    processes: int,
) -> list[dict]:
    """One row a truth: NDCG@10 of both, the paired difference and its interval."""
    jobs = {
        (model, tuple(sorted(truth.signals.items())), tuple(sorted(truth.settings.items())), seed)
        for truth in truths
        for model in (truth.winner, truth.loser)
        for seed in seeds
    }
    ordered = sorted(jobs)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        found = {}
        answers = [pool.submit(_score, *job, split, dict(settings)) for job in ordered]
        for number, (job, answer) in enumerate(zip(ordered, answers, strict=True), start=1):
            found[job] = answer.result()
            print(f"\r{number} of {len(jobs)} trainings", end="", file=sys.stderr)
    print(file=sys.stderr)
    return [_row(truth, seeds, found) for truth in truths]


def _row(truth: Truth, seeds: Sequence[int], found: Mapping[tuple, float]) -> dict:
    world, own = tuple(sorted(truth.signals.items())), tuple(sorted(truth.settings.items()))
    winner = [found[truth.winner, world, own, seed] for seed in seeds]
    loser = [found[truth.loser, world, own, seed] for seed in seeds]
    difference, low, high = t_interval([a - b for a, b in zip(winner, loser, strict=True)])
    return {
        "planted": truth.name,
        "winner": f"{truth.winner} {mean(winner):.4f}",
        "loser": f"{truth.loser} {mean(loser):.4f}",
        "difference": round(difference, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        # a model that beats popularity where nothing is planted has seen what it should not
        "holds": low > 0 if truth.winner != "popularity" else high > 0,
    }


def _score(
    model: str,
    signals: tuple[tuple[str, float], ...],
    own: tuple[tuple[str, Setting], ...],
    seed: int,
    split: Split,
    settings: dict[str, Setting],
) -> float:
    """NDCG@10 of one training on one world."""
    torch.set_num_threads(1)
    world = SyntheticWorld(seed=seed, n_users=1500, n_items=300, mean_length=40, **dict(signals))
    with tempfile.TemporaryDirectory() as folder:
        sequences = load(prepare(world, Path(folder, "sequences.parquet")))
    if model == "popularity":
        ranks = rank(popularity(sequences), sequences, split, 1)
        return ndcg(ranks.ranks["uniform_100"], 10)
    paper = resolve(model, "paper")
    widths = {name: width for name, width in WIDTHS.items() if getattr(paper, name)}
    config = resolve(model, "paper", settings | widths | dict(own))
    trainer = trainer_of(config, seed, sequences)
    while not trainer.finished:
        while trainer.progress.step < trainer.steps:
            trainer.step()
        trainer.end_epoch()
    trainer.model.load_state_dict(trainer.best)
    ranks = rank(scorer(trainer.model, sequences), sequences, split, config.max_length)
    return ndcg(ranks.ranks["uniform_100"], 10)


if __name__ == "__main__":
    sys.exit(main())
