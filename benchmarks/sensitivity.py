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
from harness import (
    RESULTS,
    ROOT,
    Floats,
    Row,
    drawn_interval,
    gains,
    job,
    put,
    read_json,
    records,
    short,
    table,
    write_jobs,
    write_json,
)
from results import command

from warehouse import landing
from warehouse.datasets import find
from warehouse.identity import identify, sha256_of
from warehouse.sequences_file import SEQUENCES_SCHEMA
from warehouse.staging import audited
from warehouse.transforms.core import candidates_of, core_tables
from warehouse.transforms.options import Options
from warehouse.transforms.sequences import sequences

PAGE = ROOT / "docs" / "sensitivity.md"
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
    write_files(folder, jobs, asked.seeds)
    facts = {"dataset": asked.dataset, "source_sha256": sha256_of(asked.source)}
    facts |= {"seeds": asked.seeds, "switches": [switch.name for switch in switches]}
    write_json(folder / "facts.json", facts)


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


def jobs_of(switch: Switch, path: Path, seeds: int) -> list[Row]:
    """Its trainings, paths relative to the folder."""
    config = {"preset": PRESET, **switch.settings}
    return [
        job(f"sequences/{path.name}", run_of(switch, model, seed), {"model": model} | config, seed)
        for model in switch.models
        for seed in range(seeds)
    ]


def run_of(switch: Switch, model: str, seed: int) -> str:
    return f"runs/{switch.name}-{model}-{seed}"


def write_files(folder: Path, jobs: Sequence[tuple[Switch, Row]], seeds: int) -> None:
    """Fast engines train in turn; the reference engine's jobs are a file a seed, to go side by
    side.

    The code's version is left out: the checkout trains that the folder is carried to.
    """
    files: dict[str, list[Row]] = {"jobs.json": [], JOBS_ON_TEST: []}
    files |= {f"jobs-plain-{seed}.json": [] for seed in range(seeds)}
    for switch, one in jobs:
        own = f"jobs-plain-{one['seed']}.json" if switch.settings else "jobs.json"
        files[JOBS_ON_TEST if switch.on_test else own].append(one)
    for name, some in files.items():
        write_jobs(folder / name, some)


def write_table(folder: Path) -> None:
    """Record and print the rows of every switch whose runs are in the folder; name the others."""
    facts = read_json(folder / "facts.json")
    asked = [
        (switch, model)
        for switch in SWITCHES + BRACKETS
        if switch.name in facts["switches"]
        for model in switch.models
    ]
    there = [one for one in asked if is_trained(folder, *one, facts["seeds"])]
    rows = [row_of(folder, switch, model, facts["seeds"]) for switch, model in there]
    left = [f"{switch.text} ({model})" for switch, model in asked if (switch, model) not in there]
    made = next(iter(records(folder).values()))
    about = facts | {"retention": RETENTION, "preset": PRESET, "command": command()}
    about |= {"date": datetime.now(UTC).date().isoformat(), "draws": DRAWS}
    about |= {"device": made["device"], "versions": made["versions"]}
    del about["switches"]
    write_json(RESULTS / "sensitivity.json", about | {"rows": rows})
    text = markdown(rows) + (f"\n\nNot trained yet: {'; '.join(left)}." if left else "")
    put(PAGE, "sensitivity", text)
    print(text)


def is_trained(folder: Path, switch: Switch, model: str, seeds: int) -> bool:
    """Whether the ranks of every seed are there."""
    runs = [folder / run_of(switch, model, seed) for seed in range(seeds)]
    return all((run / "ranks.parquet").exists() for run in runs)


def row_of(folder: Path, switch: Switch, model: str, seeds: int) -> Row:
    """Means of a switch, and what it differs from the correct form by."""
    row: Row = {"switch": switch.name, "text": switch.text, "model": model}
    for name in METRICS:
        found, correct = (scores(folder, one, model, seeds, name) for one in (switch, CORRECT))
        row[name] = round(float(found.mean()), 5)
        if switch is not CORRECT:
            low, high = drawn_interval(found - correct, DRAWS)
            difference = float((found - correct).mean())
            row[f"{name}_difference"] = [round(value, 5) for value in (difference, low, high)]
    return row


def scores(folder: Path, switch: Switch, model: str, seeds: int, metric: str) -> Floats:
    """Of every seed and user, (S, U), on test among 100 sampled items."""
    runs = [folder / run_of(switch, model, seed) for seed in range(seeds)]
    return np.stack([gains(run / "ranks.parquet")[metric] for run in runs])


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table."""
    lines = []
    for row in rows:
        cells = [row["text"], row["model"]]
        for name in METRICS:
            change = row.get(f"{name}_difference")
            told = "{:+.4f} ({:+.4f} to {:+.4f})".format(*change) if change else ""
            cells += [short(row[name]), told]
        lines.append(cells)
    return table(["", "model", "Recall@10", "difference", "NDCG@10", "difference"], lines)


if __name__ == "__main__":
    main()
