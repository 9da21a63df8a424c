"""Does the quickstart show what it says? Ten worlds, with all signals and with one left out.

    python benchmarks/quickstart.py prepare F             # the worlds, by the pipeline's own steps
    python -m fpt_model train-all --jobs F/jobs.json      # here or on a GPU machine; goes on
    python benchmarks/quickstart.py show F --device "…"   # the table, in docs

Each world has a seed of its own, which is its models' seed as well; every model is trained as
`fpt run` does by default. Differences are paired by world, with a 95 % t interval. Two things must
hold: the models are above popularity and SAS-FPT above TiSASRec with all signals there, and without
the season, which SAS-FPT sees and TiSASRec does not, SAS-FPT gains nothing.
"""

import argparse
import json
import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import polars as pl
import torch
from tables import replaced

from fpt_model.config import VARIANTS
from fpt_model.data.sequences import load
from fpt_model.evaluation.popularity import popularity
from fpt_model.evaluation.ranks import rank
from fpt_model.version import code_version
from warehouse import landing, preparing, publishing
from warehouse.datasets import find
from warehouse.home import Home
from warehouse.staging import staging_folder
from warehouse.synthetic.world import SyntheticWorld
from warehouse.synthetic.writer import write_archive

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "quickstart.json"
PAGE = ROOT / "docs" / "first-minutes.md"
SEEDS = 10
T_975 = 2.262  # Student's t of ten seeds
LEFT_OUT = {"all signals": None, "no season": "season", "no groups": "groups"}
MODELS = ("tisasrec", "tisasrec_plus_plus", "sas_fpt")
PAIRS = (
    ("tisasrec", "popularity"),
    ("sas_fpt", "popularity"),
    ("sas_fpt", "tisasrec"),
    ("sas_fpt", "tisasrec_plus_plus"),
)
NAMES = {"popularity": "Popularity"} | {
    slug: variant.display_name for slug, variant in VARIANTS.items()
}
Scores = dict[tuple[str, str], list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("prepare", "show"):
        commands.add_parser(name).add_argument("folder", type=Path)
    commands.choices["show"].add_argument("--device", required=True, help="what trained them")
    asked = parser.parse_args()
    if asked.command == "prepare":
        prepare(asked.folder)
        return 0
    found = record(asked.folder, asked.device)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replaced(text, "quickstart", table(found)), encoding="utf-8")
    print(table(found))
    return 0 if found["holds"] else 1


def prepare(folder: Path) -> None:
    """Sequences of every world, and the trainings on them as jobs."""
    (folder / "sequences").mkdir(parents=True, exist_ok=True)
    for number, (world, seed) in enumerate(_worlds(), start=1):
        _prepare(world, seed, folder / _file(world, seed))
        print(f"\r{number} of {len(_worlds())} worlds", end="", file=sys.stderr)
    print(file=sys.stderr)
    jobs = [
        {
            "sequences": _file(world, seed),
            "output": f"runs/{_name(world, seed)}-{model}",
            "config": {"model": model, "preset": "quick"},
            "seed": seed,
        }
        for world, seed in _worlds()
        for model in MODELS
    ]
    (folder / "jobs.json").write_text(json.dumps({"code_version": code_version(), "jobs": jobs}))


def _prepare(name: str, seed: int, sequences: Path) -> None:
    world, signal = SyntheticWorld(seed=seed), LEFT_OUT[name]
    with tempfile.TemporaryDirectory() as kept:
        home, archive = Home.at(Path(kept) / "home"), Path(kept) / "world.zip"
        write_archive(replace(world, **{signal: 0.0}) if signal else world, archive)
        with staging_folder(home, "load") as staged:
            load_id = landing.land(find("synthetic"), archive, staged).load_id
            publishing.publish_load(home, staged)
        with staging_folder(home, "snapshot") as staged:
            made = preparing.prepare(home, load_id, "5-core", staged).sequences
            sequences.write_bytes(made.read_bytes())


def record(folder: Path, device: str) -> dict[str, Any]:
    """What the trainings of a folder found."""
    recall, ndcg = _scores(folder)
    differences = [
        {"world": world, "model": model, "over": over, **_difference(ndcg, world, model, over)}
        for world in LEFT_OUT
        for model, over in PAIRS
    ]
    return {
        "command": "python benchmarks/quickstart.py",
        "device": device,
        "code_version": code_version(),
        "worlds": SEEDS,
        "models": [
            {
                "world": world,
                "model": model,
                "recall_10": round(mean(recall[world, model]), 4),
                "ndcg_10": round(mean(ndcg[world, model]), 4),
            }
            for world in LEFT_OUT
            for model in ("popularity", *MODELS)
        ],
        "differences": differences,
        "holds": _holds(differences),
    }


def _holds(differences: list[dict[str, Any]]) -> bool:
    by = {(one["world"], one["model"], one["over"]): one for one in differences}
    above = (("tisasrec", "popularity"), ("sas_fpt", "tisasrec"))
    without_season = by["no season", "sas_fpt", "tisasrec"]
    return all(by["all signals", *pair]["low"] > 0 for pair in above) and without_season["low"] <= 0


def _difference(scores: Scores, world: str, model: str, over: str) -> dict[str, float]:
    """Of two models' NDCG@10, over worlds: the mean, and its interval."""
    gains = [a - b for a, b in zip(scores[world, model], scores[world, over], strict=True)]
    half = T_975 * stdev(gains) / math.sqrt(len(gains))
    middle = mean(gains)
    bounds = {"low": middle - half, "high": middle + half}
    return {name: round(value, 4) for name, value in ({"difference": middle} | bounds).items()}


def _scores(folder: Path) -> tuple[Scores, Scores]:
    """Recall@10 and NDCG@10 on test among 100 sampled items, a figure for each world's seed."""
    recall: Scores = {}
    ndcg: Scores = {}
    for world, seed in _worlds():
        ranks = {
            model: _ranks(folder / "runs" / f"{_name(world, seed)}-{model}" / "ranks.parquet")
            for model in MODELS
        }
        sequences = load(folder / _file(world, seed))
        by_count = rank(popularity(sequences), sequences, "test", 1)
        ranks["popularity"] = pl.Series(by_count.ranks["uniform_100"].numpy())
        for model, places in ranks.items():
            recall.setdefault((world, model), []).append(_recall(places))
            ndcg.setdefault((world, model), []).append(_ndcg(places))
    return recall, ndcg


def _ranks(path: Path) -> pl.Series:
    wanted = (pl.col("split") == "test") & (pl.col("protocol") == "uniform_100")
    return pl.read_parquet(path).filter(wanted)["rank"]


def _recall(places: pl.Series) -> float:
    return float((places <= 10).sum() / len(places))


def _ndcg(places: pl.Series) -> float:
    """One relevant item each: 1 / log2(rank + 1) within the first ten."""
    first = places.filter(places <= 10)
    return float((1 / (first + 1).log(2)).sum() / len(places))


def table(found: dict[str, Any]) -> str:
    """As Markdown."""
    models = ("popularity", *MODELS)
    figures = {(row["world"], row["model"]): row for row in found["models"]}
    gains = {
        row["world"]: row
        for row in found["differences"]
        if (row["model"], row["over"]) == ("sas_fpt", "tisasrec")
    }
    lines = [
        f"| world | {' | '.join(NAMES[model] for model in models)} | SAS-FPT over TiSASRec |",
        "|---|" + "---|" * (len(models) + 1),
    ]
    for world in LEFT_OUT:
        cells = [_pair(figures[world, model]) for model in models]
        gain = gains[world]
        told = f"{gain['difference']:.4f} ({gain['low']:.4f} to {gain['high']:.4f})"
        lines.append(f"| {world} | {' | '.join(cells)} | {told} |".replace("0.", "."))
    return "\n".join(lines)


def _pair(row: dict[str, Any]) -> str:
    return f"{row['recall_10']:.4f} / {row['ndcg_10']:.4f}"


def _worlds() -> list[tuple[str, int]]:
    return [(world, seed) for world in LEFT_OUT for seed in range(SEEDS)]


def _name(world: str, seed: int) -> str:
    return f"{world.replace(' ', '-')}-{seed}"


def _file(world: str, seed: int) -> str:
    return f"sequences/{_name(world, seed)}.parquet"


if __name__ == "__main__":
    torch.set_num_threads(2)
    sys.exit(main())
