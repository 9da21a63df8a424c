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
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch
from harness import (
    RESULTS,
    ROOT,
    Row,
    gains,
    gains_of,
    job,
    prepare,
    put,
    short,
    t_interval,
    table,
    write_jobs,
    write_json,
)

from fpt_model.config import VARIANTS
from fpt_model.data.sequences import load
from fpt_model.evaluation.popularity import popularity
from fpt_model.evaluation.ranks import rank
from fpt_model.version import code_version
from warehouse.synthetic.world import SyntheticWorld

PAGE = ROOT / "docs" / "first-minutes.md"
SEEDS = 10
LEFT_OUT = {"all signals": None, "no season": "season", "no groups": "groups"}
MODELS = ("tisasrec", "tisasrec_plus_plus", "sas_fpt")
PAIRS = (
    ("tisasrec", "popularity"),
    ("sas_fpt", "popularity"),
    ("sas_fpt", "tisasrec"),
    ("sas_fpt", "tisasrec_plus_plus"),
)
NAMES = {"popularity": "Popularity"} | {slug: VARIANTS[slug].display_name for slug in MODELS}
WORLDS = [(world, seed) for world in LEFT_OUT for seed in range(SEEDS)]
Scores = Mapping[tuple[str, str], list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("prepare", "show"):
        commands.add_parser(name).add_argument("folder", type=Path)
    commands.choices["show"].add_argument("--device", required=True, help="what trained them")
    asked = parser.parse_args()
    if asked.command == "prepare":
        make(asked.folder)
        return 0
    found = record(asked.folder, asked.device)
    write_json(RESULTS / "quickstart.json", found)
    put(PAGE, "quickstart", shown(found))
    print(shown(found))
    return 0 if found["holds"] else 1


def make(folder: Path) -> None:
    """Sequences of every world, and the trainings on them as jobs."""
    for number, (name, seed) in enumerate(WORLDS, start=1):
        signal = LEFT_OUT[name]
        world = SyntheticWorld(seed=seed)
        prepare(replace(world, **{signal: 0.0}) if signal else world, folder / _file(name, seed))
        print(f"\r{number} of {len(WORLDS)} worlds", end="", file=sys.stderr)
    print(file=sys.stderr)
    jobs = [
        job(_file(*world), _run(*world, model), {"model": model, "preset": "quick"}, world[1])
        for world in WORLDS
        for model in MODELS
    ]
    write_jobs(folder / "jobs.json", jobs, code_version=code_version())


def record(folder: Path, device: str) -> Row:
    """What the trainings of a folder found."""
    recall, ndcg = (_scores(folder, metric) for metric in ("recall_10", "ndcg_10"))
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
            for model in NAMES
        ],
        "differences": differences,
        "holds": _holds(differences),
    }


def _holds(differences: list[Row]) -> bool:
    by = {(one["world"], one["model"], one["over"]): one for one in differences}
    above = (("tisasrec", "popularity"), ("sas_fpt", "tisasrec"))
    without_season = by["no season", "sas_fpt", "tisasrec"]
    return all(by["all signals", *pair]["low"] > 0 for pair in above) and without_season["low"] <= 0


def _difference(scores: Scores, world: str, model: str, over: str) -> dict[str, float]:
    """Of two models' NDCG@10, over worlds: the mean, and its interval."""
    pairs = zip(scores[world, model], scores[world, over], strict=True)
    found = zip(("difference", "low", "high"), t_interval([a - b for a, b in pairs]), strict=True)
    return {name: round(value, 4) for name, value in found}


def _scores(folder: Path, metric: str) -> Scores:
    """Of the test items among 100 sampled ones, a figure for each world's seed."""
    found: dict[tuple[str, str], list[float]] = {}
    for world, seed in WORLDS:
        sequences = load(folder / _file(world, seed))
        by_count = rank(popularity(sequences), sequences, "test", 1).ranks["uniform_100"]
        of_each = {"popularity": gains_of(by_count.double().numpy())}
        of_each |= {m: gains(folder / _run(world, seed, m) / "ranks.parquet") for m in MODELS}
        for model, users in of_each.items():
            found.setdefault((world, model), []).append(float(users[metric].mean()))
    return found


def shown(found: Row) -> str:
    """As Markdown."""
    figures = {(row["world"], row["model"]): row for row in found["models"]}
    lines = []
    for row in found["differences"]:
        if (row["model"], row["over"]) == ("sas_fpt", "tisasrec"):
            cells = [_pair(figures[row["world"], model]) for model in NAMES]
            told = "{} ({} to {})".format(*(short(row[n]) for n in ("difference", "low", "high")))
            lines.append([row["world"], *cells, told])
    return table(["world", *NAMES.values(), "SAS-FPT over TiSASRec"], lines)


def _pair(row: Row) -> str:
    return f"{short(row['recall_10'])} / {short(row['ndcg_10'])}"


def _file(world: str, seed: int) -> str:
    return f"sequences/{world.replace(' ', '-')}-{seed}.parquet"


def _run(world: str, seed: int, model: str) -> str:
    return f"runs/{world.replace(' ', '-')}-{seed}-{model}"


if __name__ == "__main__":
    torch.set_num_threads(2)
    sys.exit(main())
