"""Tables and figures of the results, from the records alone: no warehouse, no data, no training.

    fpt records docs/results --dataset ml-1m --preset paper    # after `fpt benchmark`
    python benchmarks/show_results.py

README.md gets the headline, docs/results.md every table, between two comments each; docs/images
gets the figures.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import duckdb
from figures import curves, forest
from harness import RESULTS, ROOT, Row, over_seeds, put, read_json, short, signed, table

from warehouse.catalogue_tables import create_schema

PRESETS = ("paper", "matched", "anywhere", "compact", "best", "best_taught", "best_request")
DATASETS = {"ml-1m": "MovieLens-1M", "ml-100k": "MovieLens-100K", "synthetic": "synthetic"}
SAMPLED, EVERY = ("recall_10", "ndcg_10"), ("full_recall_10", "full_ndcg_10")
COLUMNS = {
    "ours, `paper`": ("paper", SAMPLED),
    "ours, `matched`": ("matched", SAMPLED),
    "ours, `anywhere`": ("anywhere", SAMPLED),
    "ours, `compact`": ("compact", SAMPLED),
    "ours, `best`": ("best", SAMPLED),
    "`best`, all items": ("best", EVERY),
    "ours, `best_taught`": ("best_taught", SAMPLED),
    "`best_taught`, all items": ("best_taught", EVERY),
    "ours, `best_request`": ("best_request", SAMPLED),
    "`best_request`, all items": ("best_request", EVERY),
}
HEADLINE = (("tisasrec", "5-core"), ("sas_fpt", "5-core"), ("sas_fpt", "cold-start"))
HEADLINE_PRESETS = {
    "ours, the paper's settings": ("paper", SAMPLED),
    "ours, `best`": ("best", SAMPLED),
    "`best`, all items": ("best", EVERY),
    "`best_taught`": ("best_taught", SAMPLED),
    "`best_taught`, all items": ("best_taught", EVERY),
    "`best_request`": ("best_request", SAMPLED),
    "`best_request`, all items": ("best_request", EVERY),
}
NOTHING = "Nothing is recorded yet."
FIGURES = """
![What each rung of the ladder gains, with intervals](images/ladder.svg)

![How the models learn](images/curves.svg)
"""


@dataclass(frozen=True)
class Known:
    """What the warehouse's views state without any data: names, rungs, the paper's figures."""

    names: dict[str, str]
    rungs: list[tuple[str, str]]
    paper: dict[tuple[str, str], tuple[float, float]]


def main() -> None:
    runs, comparisons, learnt = (stored(n) for n in ("runs", "comparisons", "curves"))
    known = facts()
    put(ROOT / "README.md", "results", headline(runs, known))
    put(ROOT / "docs" / "results.md", "results", whole(runs, comparisons, known))
    draw(ROOT / "docs" / "images", comparisons, learnt, known)


def stored(name: str) -> list[Row]:
    """The rows of one of the records; none where nothing was recorded."""
    path = RESULTS / f"{name}.json"
    rows: list[Row] = read_json(path) if path.exists() else []
    return [row for row in rows if row["preset"] in PRESETS]


def facts() -> Known:
    with duckdb.connect() as connection:
        create_schema(connection)

        def ask(question: str) -> list[tuple[Any, ...]]:
            return connection.execute(question).fetchall()

        names = ask("SELECT model, display_name FROM mart.models ORDER BY rung")
        rungs = ask("SELECT model, baseline FROM mart.rungs")
        paper = ask("SELECT model, retention, recall_10, ndcg_10 FROM mart.paper_results")
    return Known(
        dict(names),
        [(model, baseline) for model, baseline in rungs],
        {(model, retention): (recall, ndcg) for model, retention, recall, ndcg in paper},
    )


def headline(runs: Sequence[Row], known: Known) -> str:
    """The README's table: the paper's figures of MovieLens-1M beside ours."""
    lines = []
    for variant, retention in HEADLINE:
        about = ("ml-1m", retention, variant)
        ours = [row for row in runs if (row["dataset"], row["retention"], row["variant"]) == about]
        cells = [
            both([row for row in ours if row["preset"] == preset], figures)
            for preset, figures in HEADLINE_PRESETS.values()
        ]
        paper = " / ".join(map(short, known.paper[variant, retention]))
        lines += [[known.names[variant], retention, paper, *cells]] if ours else []
    header = ["model", "data", "paper", *HEADLINE_PRESETS]
    return table(header, lines) if lines else NOTHING


def whole(runs: Sequence[Row], comparisons: Sequence[Row], known: Known) -> str:
    """All tables and figures, the paper's figures beside ours first."""
    return "\n\n".join([overview(runs, known), details(runs, comparisons, known)])


def overview(runs: Sequence[Row], known: Known) -> str:
    """A table for each data set and retention, the presets side by side, and the figures."""
    parts = []
    for dataset, retention in tables_of(runs):
        rows = [row for row in runs if (row["dataset"], row["retention"]) == (dataset, retention)]
        paper = {
            variant: " / ".join(map(short, figures))
            for (variant, kept), figures in known.paper.items()
            if (dataset, kept) == ("ml-1m", retention)
        }
        parts += [f"**{title(rows)}**", beside_paper(rows, paper, known)]
    return "\n\n".join([*parts, FIGURES.strip()]) if parts else NOTHING


def beside_paper(rows: Sequence[Row], paper: Mapping[str, str], known: Known) -> str:
    there = {row["preset"] for row in rows}
    columns = {head: column for head, column in COLUMNS.items() if column[0] in there}
    lines = []
    for variant, name in variants_of(rows, known):
        ours = [row for row in rows if row["variant"] == variant]
        cells = [
            both([row for row in ours if row["preset"] == preset], figures)
            for preset, figures in columns.values()
        ]
        lines.append([name, *([paper.get(variant, "")] if paper else []), *cells])
    return table(["model", *(["paper"] if paper else []), *columns], lines)


def details(runs: Sequence[Row], comparisons: Sequence[Row], known: Known) -> str:
    """Every table: both protocols, what it took, and each rung against the one below."""
    parts = []
    for dataset, retention in tables_of(runs):
        for preset in PRESETS:
            key = (dataset, retention, preset)
            rows = [row for row in runs if key_of(row) == key]
            if rows:
                rungs = [row for row in comparisons if key_of(row) == key]
                parts += [f"## {title(rows)}, preset `{preset}`", metrics(rows, known)]
                parts += [ladder(rungs, known)] if rungs else []
    return "\n\n".join(parts) or NOTHING


def metrics(rows: Sequence[Row], known: Known) -> str:
    header = ("model", "100 sampled items", "all items", "seeds", "best epoch", "s", "device")
    lines = []
    for variant, name in variants_of(rows, known):
        seeds = [row for row in rows if row["variant"] == variant]
        epochs = sorted(row["best_epoch"] for row in seeds)
        took = mean(row["train_seconds"] for row in seeds)
        devices = ", ".join(sorted({row["device"] for row in seeds}))
        facts = [str(len(seeds)), f"{epochs[0]} to {epochs[-1]}", f"{took:.0f}", devices]
        lines.append([name, both(seeds, SAMPLED), both(seeds, EVERY), *facts])
    return table(header, lines)


def ladder(rows: Sequence[Row], known: Known) -> str:
    header = ("claim", "candidates", "metric", "gained", "95 % interval", "", "paper")
    order = {rung: place for place, rung in enumerate(known.rungs)}
    ordered = sorted(rows, key=lambda row: order[row["variant"], row["baseline"]])
    return table(header, [list(_claim(row, known)) for row in ordered])


def _claim(row: Row, known: Known) -> Iterator[str]:
    yield f"{known.names[row['variant']]} over {known.names[row['baseline']]}"
    yield "all" if row["protocol"] == "full" else "100"
    yield {"recall_10": "Recall@10", "ndcg_10": "NDCG@10", "mrr_10": "MRR@10"}[row["metric"]]
    yield signed(row["difference"])
    yield "" if row["low"] is None else f"{signed(row['low'])} to {signed(row['high'])}"
    yield row["verdict"]
    yield "" if row["paper_difference"] is None else signed(row["paper_difference"])


def draw(folder: Path, comparisons: Sequence[Row], learnt: Sequence[Row], known: Known) -> None:
    """The figures of what there is."""
    chosen = [
        row for row in comparisons if (row["protocol"], row["metric"]) == ("uniform_100", "ndcg_10")
    ]
    if chosen:
        there = {(row["variant"], row["baseline"]) for row in chosen}
        rungs = [rung for rung in known.rungs if rung in there]
        presets = [preset for preset in PRESETS if any(r["preset"] == preset for r in chosen)]
        forest(folder / "ladder.svg", in_order(chosen), rungs, presets, known.names)
    if learnt:
        variants = [variant for variant, _ in variants_of(learnt, known)]
        curves(folder / "curves.svg", in_order(learnt), variants, known.names)


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Data sets and presets as they are listed above."""
    datasets, presets = list(DATASETS), PRESETS
    return sorted(
        rows,
        key=lambda r: (datasets.index(r["dataset"]), r["retention"], presets.index(r["preset"])),
    )


def tables_of(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row["dataset"], row["retention"]) for row in in_order(rows)))


def variants_of(rows: Sequence[Row], known: Known) -> list[tuple[str, str]]:
    there = {row["variant"] for row in rows}
    return [(variant, name) for variant, name in known.names.items() if variant in there]


def key_of(row: Row) -> tuple[str, str, str]:
    return row["dataset"], row["retention"], row["preset"]


def title(rows: Sequence[Row]) -> str:
    first = rows[0]
    doubt = "" if all(row["verified"] for row in rows) else " (unverified archive)"
    return f"{DATASETS[first['dataset']]}, {first['retention']}{doubt}"


def both(seeds: Sequence[Row], names: Sequence[str]) -> str:
    """Recall@10 / NDCG@10 over seeds."""
    return " / ".join(over_seeds([row[name] for row in seeds]) for name in names if seeds)


if __name__ == "__main__":
    main()
