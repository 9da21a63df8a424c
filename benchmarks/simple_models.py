"""Seconds and memory of the simple models, each in a process of its own: to fit, and to rank.

    python benchmarks/simple_models.py --sequences S
    python benchmarks/simple_models.py --ratings 32000000 --items 44000 --users 200000

The second makes a world of that size: lengths of histories are log-normal with MovieLens's spread,
items are drawn by Zipf's law. Ranked are both splits, among 100 drawn candidates and among all
items; of a world, `--ranked` users, whose seconds stand for all.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from fpt_model.data.sequences import Sequences, load
from fpt_model.errors import ModelError
from fpt_model.evaluation.ranks import compare, evaluated, scored
from fpt_model.simple.models import MODELS, Fitted
from fpt_model.simple.past import past_of
from fpt_model.simple.settings import resolve_simple

SPREAD = 1.1  # of the logarithm of a history's length, as in MovieLens-20M
GIB = 1 << 30


def world(ratings: int, users: int, items: int) -> Sequences:
    """Histories of about so many ratings in all, no item twice in one."""
    chance = np.random.default_rng(0)
    lengths = np.exp(chance.normal(0, SPREAD, users))
    lengths = np.maximum(lengths * ratings / lengths.sum(), 5).astype(np.int64)
    drawn = (items * chance.random(lengths.sum()) ** 3).astype(np.int64)  # the first, more often
    keys = np.repeat(np.arange(users), lengths) * items + drawn
    kept = np.unique(keys, return_index=True)[1]
    kept.sort()  # in the order in which they were drawn
    owners, found = keys[kept] // items, drawn[kept] + 1
    starts = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=users))])
    flat, nothing = torch.from_numpy(found), torch.zeros(1, dtype=torch.int64).expand(len(found))
    candidates = torch.from_numpy(chance.integers(1, items + 1, (users, 100)))
    return Sequences(
        snapshot_id="world", sha256="", values="", n_items=items, items=flat, times=nothing,
        weeks=nothing, ratings=nothing, query_times=nothing, starts=torch.from_numpy(starts),
        n_train=torch.from_numpy(np.diff(starts) - 2),
        scales=torch.ones(users, dtype=torch.int64),
        candidates={"valid": candidates, "test": candidates},
    )  # fmt: skip


def measure(model: str, sequences: Sequences, ranked: int) -> dict[str, object]:
    """What one model takes."""
    config, module = resolve_simple(model, "quick"), MODELS[model]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    began = time.process_time()
    fitted = Fitted(config, module.fit(past_of(sequences), config))
    fit = time.process_time() - began
    size = sum(part.nbytes for part in fitted.tensors.values()) / GIB
    rows = evaluated(sequences)
    some = rows[: ranked or len(rows)]
    length = fitted.length or int(sequences.lengths.max())
    began = time.process_time()
    score = fitted.scorer()
    for split in ("valid", "test"):
        compare(scored(score, sequences, some, split, length), sequences, split)
    rank = (time.process_time() - began) * len(rows) / len(some)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    return {"fit_s": fit, "rank_s": rank, "fitted_gib": size, "data_gib": before, "peak_gib": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=Path)
    parser.add_argument("--ratings", type=int, default=0)
    parser.add_argument("--users", type=int, default=0)
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--ranked", type=int, default=0, help="users; default: all")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--here", action="store_true", help="one model, in this process")
    asked = parser.parse_args()
    if not asked.here:
        for model in asked.models:
            words = [word for word in sys.argv[1:] if word not in MODELS and word != "--models"]
            subprocess.run(
                [sys.executable, __file__, *words, "--here", "--models", model], check=True
            )
        return
    torch.set_num_threads(1)
    if asked.sequences:
        sequences = load(asked.sequences)
    else:
        sequences = world(asked.ratings, asked.users, asked.items)
    (model,) = asked.models
    size = {"ratings": len(sequences.items), "users": sequences.n_users, "items": sequences.n_items}
    try:
        print(json.dumps({"model": model, **size, **measure(model, sequences, asked.ranked)}))
    except ModelError as error:
        print(json.dumps({"model": model, **size, "refused": str(error)}))


if __name__ == "__main__":
    main()
