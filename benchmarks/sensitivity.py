"""What each departure from the correct form does to the test metrics: docs/sensitivity.md.

    python benchmarks/sensitivity.py prepare --source ml-1m.zip --output sens --seeds 5
    python -m fpt_model train-all --jobs sens/jobs.json                    on a GPU machine
    python -m fpt_model train-all --jobs sens/jobs-plain-0.json            … -4.json, side by side
    python benchmarks/choose_on_test.py --jobs sens/jobs-on-test.json      there too
    python benchmarks/sensitivity.py table --folder sens

A switch changes one thing of the preparation (warehouse/transforms/options.py) or of the training.
Where timestamps of the source were restored, `--estimated` gives a Parquet file of those rows
(file_row from 0, timestamp_low, timestamp_high), and two switches more put them at either end of
what is known; the order stays, since it is known. Nothing of it is published.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
from choose_on_test import JOBS as JOBS_ON_TEST
from results import command

from fpt_model.files.written import read_written
from warehouse import landing
from warehouse.datasets import find
from warehouse.identity import identify, sha256_of
from warehouse.preparing import SEQUENCES_SCHEMA
from warehouse.staging import audited
from warehouse.transforms.core import candidates_of, core_tables
from warehouse.transforms.options import Options
from warehouse.transforms.sequences import sequences

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "sensitivity.json"
PAGE = Path(__file__).parents[1] / "docs" / "sensitivity.md"
BEGIN, END = "<!-- table: benchmarks/sensitivity.py -->", "<!-- end of the table -->"
MODELS = ("tisasrec", "sas_fpt")
RETENTION, PRESET = "5-core", "paper"
DRAWS = 2000  # of the bootstrap
METRICS = ("recall_10", "ndcg_10")
IDS = tuple(f"{name}.list.element" for name in ("item_ids", "valid_candidates", "test_candidates"))


@dataclass(frozen=True)
class Switch:
    """One departure from the correct form, and the models it can matter to.

    Attributes:
        name: of its files.
        text: what is done.
        options: of the preparation.
        settings: of the training.
        models: the others do not look at what it changes.
        bracket: restored timestamps moved to this end of what is known of them.
        on_test: the epoch is chosen on test.
    """

    name: str
    text: str
    options: Options = field(default_factory=Options)
    settings: Mapping[str, Any] = field(default_factory=dict)
    models: Sequence[str] = MODELS
    bracket: str | None = None
    on_test: bool = False


CORRECT = Switch("correct", "the correct form")
SWITCHES = (
    CORRECT,
    Switch("ties-item", "ties by item id, not by file row", Options(ties="item")),
    Switch("ties-random", "ties by lot", Options(ties="random")),
    Switch("scale-history", "time scale from the whole history", Options(time_scale="history")),
    Switch("seasons", "four seasons, not 52 weeks", Options(calendar="season"), models=MODELS[1:]),
    Switch(
        "local-time",
        "weeks of Chicago, not of UTC",
        Options(time_zone="America/Chicago"),
        models=MODELS[1:],
    ),
    Switch("mask-queries", "padded queries masked, not keys", settings={"mask": "queries"}),
    Switch("on-test", "epoch chosen on test", on_test=True),
)
BRACKETS = (
    Switch("restored-low", "restored timestamps at their earliest", bracket="low"),
    Switch("restored-high", "restored timestamps at their latest", bracket="high"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("prepare", help="write sequences and jobs files")
    making.add_argument("--dataset", default="ml-1m")
    making.add_argument("--source", type=Path, required=True)
    making.add_argument("--estimated", type=Path)
    making.add_argument("--output", type=Path, required=True)
    making.add_argument("--seeds", type=int, default=5)
    reading = commands.add_parser("table", help="read the ranks back; record and print")
    reading.add_argument("--folder", type=Path, required=True)
    asked = parser.parse_args()
    if asked.command == "table":
        write_table(asked.folder)
    else:
        prepare(asked)


def prepare(asked: argparse.Namespace) -> None:
    """Write the sequences of every switch, and the jobs: each engine its own file."""
    switches = SWITCHES + (BRACKETS if asked.estimated else ())
    folder = asked.output
    (folder / "sequences").mkdir(parents=True, exist_ok=True)
    ratings, items = raw_tables(asked.dataset, asked.source)
    written: dict[tuple[Options, str | None], Path] = {}
    for switch in switches:
        form = switch.options, switch.bracket
        if form not in written:
            frame = ratings
            if switch.bracket:
                frame = at_brackets(ratings, pl.read_parquet(asked.estimated), switch.bracket)
            path = folder / "sequences" / f"{switch.name}.parquet"
            written[form] = write_sequences(path, frame, items, switch.options)
            print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB", file=sys.stderr)
    jobs = [
        (switch, job)
        for switch in switches
        for job in jobs_of(switch, written[switch.options, switch.bracket], asked.seeds)
    ]
    write_jobs(folder, jobs, asked.seeds)
    facts = {"dataset": asked.dataset, "source_sha256": sha256_of(asked.source)}
    facts |= {"seeds": asked.seeds, "switches": [switch.name for switch in switches]}
    (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def raw_tables(dataset: str, source: Path) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Ratings and items of an archive, by the pipeline's own parser."""
    with tempfile.TemporaryDirectory() as folder:
        landing.land(find(dataset), source, Path(folder))
        with duckdb.connect(str(audited(Path(folder))), read_only=True) as connection:
            ratings = connection.sql("SELECT * FROM raw.ratings").pl().drop("load_id")
            items = connection.sql("SELECT * FROM raw.items").pl().drop("load_id")
    return ratings.lazy(), items.lazy()


def at_brackets(ratings: pl.LazyFrame, estimated: pl.DataFrame, end: str) -> pl.LazyFrame:
    """Ratings with the estimated ones at an end of what is known of them, in the same order.

    Rows of a bracket get equal timestamps. Source rows are numbered anew, in each user's true
    order, so that they still break ties as they were.
    """
    known = estimated.lazy().select(
        (pl.col("file_row") + 1).cast(pl.Int64).alias("source_row"),
        pl.col(f"timestamp_{end}").cast(pl.Int64).alias("end"),
    )
    return (
        ratings.join(known, on="source_row", how="left", validate="1:1")
        .sort("raw_user_id", "timestamp", "source_row")
        .with_columns(
            source_row=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
            timestamp=pl.coalesce("end", "timestamp"),
        )
        .drop("end")
    )


def write_sequences(
    path: Path, ratings: pl.LazyFrame, items: pl.LazyFrame, options: Options
) -> Path:
    """A sequences file as the pipeline writes it, but packed as small as can be."""
    tables = core_tables(ratings, items, RETENTION, options)
    rows = sequences(tables, candidates_of(tables).lazy()).collect()
    identity = identify("sensitivity", path.stem, options.changes())
    schema = SEQUENCES_SCHEMA.with_metadata(
        {"snapshot_id": identity, "n_items": str(tables.items.height)}
    )
    table = rows.select(schema.names).to_arrow().cast(schema)
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=list(IDS),
        dictionary_pagesize_limit=1 << 22,
        column_encoding={"timestamps.list.element": "DELTA_BINARY_PACKED"},
    )
    Path(f"{path}.sha256").write_text(f"{sha256_of(path)}  {path.name}\n", encoding="utf-8")
    return path


def jobs_of(switch: Switch, path: Path, seeds: int) -> Sequence[dict[str, Any]]:
    """As `fpt_model/training/jobs.py` reads them, paths relative to the folder."""
    return [
        {
            "sequences": f"sequences/{path.name}",
            "output": f"runs/{switch.name}-{model}-{seed}",
            "config": {"model": model, "preset": PRESET, **switch.settings},
            "seed": seed,
        }
        for model in switch.models
        for seed in range(seeds)
    ]


def write_jobs(folder: Path, jobs: Sequence[tuple[Switch, dict[str, Any]]], seeds: int) -> None:
    """Fast engines train in turn; the plain trainer's jobs are a file a seed, to go side by side.

    The code's version is left out: the checkout trains that the folder is carried to.
    """
    files: dict[str, list[dict[str, Any]]] = {"jobs.json": [], JOBS_ON_TEST: []}
    files |= {f"jobs-plain-{seed}.json": [] for seed in range(seeds)}
    for switch, job in jobs:
        own = f"jobs-plain-{job['seed']}.json" if switch.settings else "jobs.json"
        files[JOBS_ON_TEST if switch.on_test else own].append(job)
    for name, some in files.items():
        (folder / name).write_text(json.dumps({"jobs": some}, indent=1), encoding="utf-8")


def write_table(folder: Path) -> None:
    """Record and print the rows of every switch whose runs are in the folder; name the others."""
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    asked = [
        (switch, model)
        for switch in SWITCHES + BRACKETS
        if switch.name in facts["switches"]
        for model in switch.models
    ]
    there = [one for one in asked if is_trained(folder, *one, facts["seeds"])]
    rows = [row_of(folder, switch, model, facts["seeds"]) for switch, model in there]
    left = [f"{switch.text} ({model})" for switch, model in asked if (switch, model) not in there]
    about = facts | {"retention": RETENTION, "preset": PRESET, "command": command()}
    about |= {"date": datetime.now(UTC).date().isoformat(), "draws": DRAWS, **made_by(folder)}
    del about["switches"]
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n", encoding="utf-8")
    text = markdown(rows)
    if left:
        text += f"\n\nNot trained yet: {'; '.join(left)}."
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    print(text)


def is_trained(folder: Path, switch: Switch, model: str, seeds: int) -> bool:
    """Whether the ranks of every seed are there."""
    runs = [folder / "runs" / f"{switch.name}-{model}-{seed}" for seed in range(seeds)]
    return all((run / "ranks.parquet").exists() for run in runs)


def row_of(folder: Path, switch: Switch, model: str, seeds: int) -> dict[str, Any]:
    """Means of a switch, and what it differs from the correct form by."""
    row: dict[str, Any] = {"switch": switch.name, "text": switch.text, "model": model}
    gains = scores(folder, switch, model, seeds)
    correct = scores(folder, CORRECT, model, seeds)
    for name in METRICS:
        row[name] = round(float(gains[name].mean()), 5)
        if switch is not CORRECT:
            low, high = interval(gains[name] - correct[name])
            difference = float((gains[name] - correct[name]).mean())
            row[f"{name}_difference"] = [round(value, 5) for value in (difference, low, high)]
    return row


def scores(folder: Path, switch: Switch, model: str, seeds: int) -> dict[str, np.ndarray]:
    """Metrics of every seed and user, (S, U) each: test split, uniform_100."""
    ranks = np.stack(
        [read_ranks(folder / "runs" / f"{switch.name}-{model}-{seed}") for seed in range(seeds)]
    )
    found = ranks <= 10
    return {"recall_10": found * 1.0, "ndcg_10": np.where(found, 1 / np.log2(ranks + 1), 0.0)}


def read_ranks(run: Path) -> np.ndarray:
    """Test ranks among 100 sampled items by user."""
    path = run / "ranks.parquet"
    ranks = pl.DataFrame(read_written(path)[0])
    test = (pl.col("split") == "test") & (pl.col("protocol") == "uniform_100")
    return ranks.filter(test).sort("user_id")["rank"].to_numpy().astype(float)


def interval(differences: np.ndarray, draws: int = DRAWS) -> tuple[float, float]:
    """95 % interval of the mean of (S, U) differences: seeds and users drawn anew, each with each.

    Owen, The pigeonhole bootstrap, 2007: if anything, it is too wide.
    """
    rng = np.random.default_rng(0)
    n_seeds, n_users = differences.shape
    means = np.empty(draws)
    for draw in range(draws):
        of_users = np.bincount(rng.integers(n_users, size=n_users), minlength=n_users)
        of_seeds = np.bincount(rng.integers(n_seeds, size=n_seeds), minlength=n_seeds)
        means[draw] = of_seeds @ (differences @ of_users) / (n_seeds * n_users)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def made_by(folder: Path) -> dict[str, Any]:
    """Where the trainings ran."""
    record = next(iter(sorted(folder.glob("runs/*/run.json"))))
    facts = json.loads(record.read_text(encoding="utf-8"))
    return {name: facts[name] for name in ("device", "versions")}


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a table."""
    lines = [
        "| | model | Recall@10 | difference | NDCG@10 | difference |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["text"], row["model"]]
        for name in METRICS:
            cells.append(f"{row[name]:.4f}".lstrip("0"))
            change = row.get(f"{name}_difference")
            cells.append("{:+.4f} ({:+.4f} to {:+.4f})".format(*change) if change else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
