"""How much of each model's figure is the order of ratings of the same second: docs/sensitivity.md.

    python benchmarks/ties.py prepare --source ml-1m.zip --estimated E.parquet --output F
    python benchmarks/ties.py simple --folder F                            here
    python -m fpt_model train-all --jobs F/jobs.json                       on a GPU machine
    python benchmarks/ties.py rank --folder F                              there, too
    python benchmarks/ties.py table --folder F

Such ratings are ordered by their rows in the source's file, or by lot, three times; each time every
model is trained and ranked anew. A third evaluation, on the histories by file, knows no order: the
model sees what lies before the user's last second, and is right if any item of that second is
among its first ten. `--estimated`: see `sensitivity.py`; users with a restored timestamp among
their latest are left out of a second table.

Letters: N users, B of a batch, G items of the last second, I items.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from harness import (
    RESULTS,
    ROOT,
    Row,
    gains_of,
    job,
    over_seeds,
    put,
    table,
    write_jobs,
    write_json,
)
from torch import Tensor

from fpt_model.config import resolve
from fpt_model.data.sequences import Sequences, load
from fpt_model.evaluation.ranks import BATCH, Scorer, evaluated, filled
from fpt_model.simple.models import MODELS, Fitted
from fpt_model.simple.past import past_of
from fpt_model.simple.settings import resolve_simple
from fpt_model.training.ranking import Ranker, load_ranker

if TYPE_CHECKING:
    import polars as pl

PAGE = ROOT / "docs" / "sensitivity.md"
KEPT = RESULTS / "ties.json"
LOTS = ("lot-0", "lot-1", "lot-2")
ORDERS = ("file", *LOTS)
EVERYTHING = 1_000_000  # the setting's largest
LATEST = 52  # ratings: a window of 50 and the two that are held out
# name: slug and settings; those of `quick` were chosen on validation
SIMPLE = {
    "popularity": ("recent_popularity", {"latest": EVERYTHING}),
    "item-kNN": ("item_knn", {}),
    "Markov chain of first order": ("markov_chain", {"lags": 1, "prior": 1}),
    "Markov chain": ("markov_chain", {}),
    "ridge": ("ridge", {}),
}
QUERY = {"time_reference": "query"}  # the time of the request is known, of a tie as of any other
# name: slug, preset, settings, seeds
NEURAL: dict[str, tuple[str, str, dict[str, str], int]] = {
    "SASRec, paper": ("sasrec", "paper", {}, 3),
    "TiSASRec, paper": ("tisasrec", "paper", {}, 3),
    "SAS-FPT, paper": ("sas_fpt", "paper", {}, 3),
    "SASRec, best, query time": ("sasrec", "best", QUERY, 1),
    "TiSASRec, best, query time": ("tisasrec", "best", QUERY, 1),
    "SAS-FPT, best, query time": ("sas_fpt", "best", QUERY, 1),
}
PROTOCOLS = {"uniform_100": "100 sampled items", "full": "all items"}
Found = dict[str, np.ndarray[Any, Any]]


def prepare(source: Path, estimated: Path, output: Path) -> None:
    """Sequences in every order, whose held-out ratings are exact, and the jobs."""
    import polars as pl
    from sensitivity import RETENTION, raw_tables, write_sequences

    from warehouse.transforms.core import core_tables
    from warehouse.transforms.options import Options

    (output / "sequences").mkdir(parents=True, exist_ok=True)
    ratings, items = raw_tables("ml-1m", source)
    for order in ORDERS:
        options = Options()
        if order in LOTS:
            options = Options(ties="random", tie_seed=LOTS.index(order))
        write_sequences(output / "sequences" / f"{order}.parquet", ratings, items, options)
        interactions = core_tables(ratings, items, RETENTION, options).interactions
        exact = exact_users(interactions, ratings, pl.read_parquet(estimated))
        np.save(output / f"exact-{order}.npy", exact)
        print(f"{order}: the last {LATEST} of {exact.mean():.4f} of the users are exact")
    jobs = [
        job(
            f"sequences/{order}.parquet",
            f"runs/{order}-{slug}-{preset}-{seed}",
            resolve(slug, preset, settings).to_dict(),
            seed,
        )
        for slug, preset, settings, seeds in NEURAL.values()
        for order in ORDERS
        for seed in range(seeds)
    ]
    write_jobs(output / "jobs.json", jobs)


def exact_users(
    interactions: "pl.DataFrame", ratings: "pl.LazyFrame", estimated: "pl.DataFrame"
) -> np.ndarray[Any, Any]:
    """(N,) whether the timestamps of a user's latest ratings are all the source's own."""
    import polars as pl

    restored = (
        ratings.with_columns(row=pl.col("source_row") - 1)
        .join(estimated.lazy().select(row=pl.col("file_row").cast(pl.Int64)), on="row")
        .select("raw_user_id", "raw_item_id", restored=True)
        .collect()
    )
    users = (
        interactions.join(
            restored, on=["raw_user_id", "raw_item_id"], how="left", maintain_order="left"
        )
        .group_by("user_id", maintain_order=True)
        .agg(exact=pl.col("restored").tail(LATEST).is_null().all())
        .sort("user_id")
    )
    return users["exact"].to_numpy()


def last_second(sequences: Sequences) -> Tensor:
    """(N,) how many interactions at the end of each history have its last timestamp.

    One stays as input where all have.
    """
    owner = torch.repeat_interleave(sequences.lengths)
    last = sequences.times[sequences.starts[1:] - 1]
    same = (sequences.times == last[owner]).long()
    counts = torch.zeros_like(sequences.lengths).scatter_add_(0, owner, same)
    return torch.minimum(counts, sequences.lengths - 1)


@torch.no_grad()
def unordered(score: Scorer, sequences: Sequences, length: int) -> Found:
    """The best rank of an item of the last second, under both protocols, (N,) each."""
    rows = evaluated(sequences)
    counts = last_second(sequences)
    found: dict[str, list[Tensor]] = {protocol: [] for protocol in PROTOCOLS}
    for some in rows.split(BATCH):
        whole = filled(some, BATCH)
        before = (sequences.lengths - counts)[whole]
        scores = score(sequences.windows(whole, before, length))[: len(some)]
        own = own_scores(scores, sequences, some, counts[some])
        drawn = sequences.candidates["test"][some]
        others = {
            "uniform_100": scores.gather(1, drawn).masked_fill(drawn == 0, float("-inf")),
            "full": without_history(scores, sequences, some),
        }
        for protocol, values in others.items():
            found[protocol].append(best_rank(own, values))
    return {protocol: torch.cat(parts).cpu().numpy() for protocol, parts in found.items()}


def own_scores(scores: Tensor, sequences: Sequences, rows: Tensor, counts: Tensor) -> Tensor:
    """(B, G) scores of the last `counts` (B,) items of each history, -inf where there are fewer."""
    steps = torch.arange(int(counts.max()), device=rows.device)
    place = (sequences.starts[rows + 1] - 1)[:, None] - steps
    values = scores.gather(1, sequences.items[place.clamp(min=0)])
    return values.masked_fill(steps >= counts[:, None], float("-inf"))


def without_history(scores: Tensor, sequences: Sequences, rows: Tensor) -> Tensor:
    """Scores (B, I + 1), -inf for padding and the whole history of each user."""
    lengths = sequences.lengths[rows]
    steps = torch.arange(int(lengths.max()), device=rows.device)
    place = sequences.starts[rows][:, None] + steps
    items = sequences.items[place.clamp(max=len(sequences.items) - 1)]
    history = items.masked_fill(steps >= lengths[:, None], 0)  # filled up with padding
    return scores.scatter(1, history, float("-inf")).index_fill(1, steps[:1], float("-inf"))


def best_rank(own: Tensor, others: Tensor) -> Tensor:
    """(B,) 1 + the number of `others` (B, C) above the best of `own` (B, G) + half of those equal.

    >>> best_rank(torch.tensor([[1.0, 3.0]]), torch.tensor([[4.0, 3.0, 2.0, 0.0]])).tolist()
    [2.5]
    """
    best = own.amax(1, keepdim=True)
    return 1 + (others > best).sum(1) + (others == best).sum(1) / 2


def ranked(model: Ranker, order: str) -> Found:
    """Test ranks in order, and where it is the file's, without order."""
    ranks = model.ranks("test").ranks
    found: Found = {str(name): values.cpu().numpy() for name, values in ranks.items()}
    if order == "file":
        seen = model.sequences.as_seen_by(model)
        loose = unordered(model.score, seen, model.window(int(seen.lengths.max())))
        found |= {f"any-{protocol}": values for protocol, values in loose.items()}
    return found


def rank_simple(folder: Path) -> None:
    """Fit and rank the simple models in every order."""
    torch.set_num_threads(1)
    for order in ORDERS:
        sequences = load(folder / "sequences" / f"{order}.parquet")
        for name, (slug, settings) in SIMPLE.items():
            config = resolve_simple(slug, "quick", settings)
            fitted = Fitted(config, MODELS[slug].fit(past_of(sequences), config))
            model = Ranker(fitted.scorer(), sequences, fitted.length)
            keep(folder, order, name, 0, partial(ranked, model, order))


def rank_neural(folder: Path, device: torch.device) -> None:
    """Rank every finished training by its chosen weights."""
    for order in ORDERS:
        path = folder / "sequences" / f"{order}.parquet"
        if not path.exists():  # carried in parts
            continue
        sequences = load(path).to(device)
        for name, (slug, preset, _, seeds) in NEURAL.items():
            for seed in range(seeds):
                run = folder / "runs" / f"{order}-{slug}-{preset}-{seed}"
                if not (run / "run.json").exists():
                    print(f"{run.name} is not trained", file=sys.stderr)
                    continue
                found = partial(ranked, load_ranker(run, sequences), order)
                keep(folder, order, name, seed, found)


def keep(folder: Path, order: str, name: str, seed: int, found: Callable[[], Found]) -> None:
    """Ranks as a file, unless it is there."""
    path = folder / "ranks" / f"{order}-{name.replace(', ', '-').replace(' ', '_')}-{seed}.npz"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        np.savez_compressed(path, **found())  # type: ignore[arg-type]
        print(path.name, flush=True)


def figures(folder: Path) -> list[Row]:
    """Recall@10 and NDCG@10 of each model, order, seed, protocol, and kind of users."""
    exact = {order: np.load(folder / f"exact-{order}.npy") for order in ORDERS}
    rows = []
    for name in (*SIMPLE, *NEURAL):
        for order in ORDERS:
            start = f"{order}-{name.replace(', ', '-').replace(' ', '_')}"
            for path in sorted((folder / "ranks").glob(f"{start}-[0-9].npz")):
                seed = int(path.stem.rpartition("-")[2])
                for kind, ranks in np.load(path).items():
                    gains = gains_of(ranks.astype(float))
                    facts = {"model": name, "order": order, "seed": seed, "protocol": kind}
                    for metric, values in gains.items():
                        facts[metric] = round(float(values.mean()), 5)
                        facts[f"{metric}_exact"] = round(float(values[exact[order]].mean()), 5)
                    rows.append(facts)
    return rows


def markdown(rows: Sequence[Row], protocol: str, suffix: str = "") -> str:
    """A line a model: by file, by lot, without order, and what lots lose, of both metrics."""
    lines = []
    for name in dict.fromkeys(row["model"] for row in rows):
        cells = [name]
        for metric in ("recall_10", "ndcg_10"):
            own = [row for row in rows if row["model"] == name]
            by = {
                "file": of(own, metric + suffix, protocol, ("file",)),
                "lot": of(own, metric + suffix, protocol, LOTS),
                "any": of(own, metric + suffix, f"any-{protocol}", ("file",)),
            }
            lost = float(np.mean(by["lot"]) / np.mean(by["file"]) - 1) if by["lot"] else 0.0
            cells += [over_seeds(by[key]) for key in ("file", "lot")]
            cells += [f"{round(100 * lost, 1) + 0.0:+.1f} %", over_seeds(by["any"])]
        lines.append(cells)
    header = ["model", "Recall@10, by file", "by lot", "", "any of the last second"]
    return table([*header, "NDCG@10, by file", *header[2:]], lines)


def of(rows: Sequence[Row], metric: str, protocol: str, orders: Sequence[str]) -> list[float]:
    """Values of some orders."""
    return [x[metric] for x in rows if x["order"] in orders and x["protocol"] == protocol]


def write_table(folder: Path) -> None:
    """Record and put into the page."""
    rows = figures(folder)
    write_json(KEPT, rows)
    put(PAGE, "ties", shown(rows))
    print(shown(rows))


def shown(rows: Sequence[Row]) -> str:
    """A table for each protocol and kind of users."""
    kinds = {"": "all users", "_exact": "users whose latest timestamps are all exact"}
    return "\n\n".join(
        f"Among {told}, {users}:\n\n{markdown(rows, protocol, suffix)}"
        for protocol, told in PROTOCOLS.items()
        for suffix, users in kinds.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("prepare")
    making.add_argument("--source", type=Path, required=True)
    making.add_argument("--estimated", type=Path, required=True)
    making.add_argument("--output", type=Path, required=True)
    for name in ("simple", "rank", "table"):
        commands.add_parser(name).add_argument("--folder", type=Path, required=True)
    asked = parser.parse_args()
    if asked.command == "prepare":
        prepare(asked.source, asked.estimated, asked.output)
    elif asked.command == "simple":
        rank_simple(asked.folder)
    elif asked.command == "rank":
        rank_neural(asked.folder, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    else:
        write_table(asked.folder)


if __name__ == "__main__":
    main()
