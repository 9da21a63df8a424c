"""Trials: settings compared by their validation figures. A table of them is a TOML file.

    python benchmarks/trials.py write benchmarks/trials/width.toml --sequences S --folder F
    python -m fpt_model train-all --jobs F/jobs.json
    python benchmarks/trials.py read benchmarks/trials/width.toml --folder F

The second command may run on a GPU machine; of what it leaves `read` needs run.json, epochs.jsonl
and ranks-valid.parquet of each folder in F/runs. The test split is not computed at any step.
With `shortened = true` a table is tried without the test items, on histories that end where
validation did: what is read is still validation, also where the settings train on all that comes
before it (`refit`). `read` then needs ranks-test.parquet.
`read` puts a row a training into docs/results/trials.json, in place of the row of the same trial
and seed, and makes the tables of docs/experiments.md from them; `show` makes these alone.

A table names its question, what the trials share, and each trial's own settings (a line each):

    question = "How wide should the item's part be?"
    data = "ML-1M 5-core"
    model = "sas_fpt"
    preset = "paper"
    seeds = [0, 1, 2]
    set = { epochs = 100 }

    [trials]
    "item 50" = {}
    "item 60, one seed" = { item_width = 60, seeds = [0] }
    "without the user" = { model = "tisasrec_plus_plus" }
"""

import argparse
import hashlib
import json
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from harness import (
    RESULTS,
    ROOT,
    Row,
    gains,
    job,
    over_seeds,
    put,
    read_json,
    records,
    table,
    write_jobs,
    write_json,
)
from shortened import write_shortened

from fpt_model.config import Config, renamed, resolve
from fpt_model.version import code_version

TABLES = ROOT / "benchmarks" / "trials"
KEPT = RESULTS / "trials.json"
PAGE = ROOT / "docs" / "experiments.md"
FIGURES = ("valid_recall_10", "valid_ndcg_10", "full_valid_recall_10", "full_valid_ndcg_10")


@dataclass(frozen=True)
class Trial:
    """One setting of a table: what differs from its model under its preset, and its seeds."""

    name: str
    model: str
    preset: str
    settings: dict[str, Any]
    seeds: tuple[int, ...]

    @property
    def config(self) -> Config:
        """All its settings."""
        return resolve(self.model, self.preset, self.settings)


@dataclass(frozen=True)
class Trials:
    """A table of them."""

    name: str
    question: str
    data: str
    trials: tuple[Trial, ...]
    shortened: bool = False

    @property
    def split(self) -> str:
        """Whose ranks hold the figures: of shortened histories, test is what was validation."""
        return "test" if self.shortened else "valid"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="write the jobs file")
    read = commands.add_parser("read", help="take the figures in")
    commands.add_parser("show", help="make the tables of docs/experiments.md")
    for command in (write, read):
        command.add_argument("table", type=Path, nargs="+", help="TOML files")
        command.add_argument("--folder", type=Path, required=True)
    write.add_argument("--sequences", type=Path, required=True, help="as `fpt prepare` wrote it")
    asked = parser.parse_args()
    if asked.command == "write":
        write_folder([read_table(path) for path in asked.table], asked.sequences, asked.folder)
    elif asked.command == "read":
        for path in asked.table:
            merge(KEPT, rows_of(read_table(path), asked.folder))
    if asked.command != "write":
        put(PAGE, "trials", shown(KEPT))


def read_table(path: Path) -> Trials:
    """The trials of a TOML file.

    Raises:
        ModelError: a trial has a model, preset or setting that there is not.
    """
    shared = tomllib.loads(path.read_text(encoding="utf-8"))
    trials = tuple(_trial(name, own, shared) for name, own in shared["trials"].items())
    for trial in trials:
        _ = trial.config  # refuses what can't be
    words = shared["question"], shared["data"]
    return Trials(path.stem, *words, trials, shared.get("shortened", False))


def _trial(name: str, own: Mapping[str, Any], shared: Mapping[str, Any]) -> Trial:
    words = {key: own.get(key, shared[key]) for key in ("model", "preset", "seeds")}
    settings = shared.get("set", {}) | {k: v for k, v in own.items() if k not in words}
    return Trial(name, words["model"], words["preset"], settings, tuple(words["seeds"]))


def write_folder(tables: Sequence[Trials], sequences: Path, folder: Path) -> None:
    """A folder with sequences and jobs.json; a training that several tables ask for is one job.

    Raises:
        ValueError: some tables are of shortened histories and some are not.
    """
    splits = {one.split for one in tables}
    if len(splits) > 1:
        raise ValueError("Write tables of shortened histories into a folder of their own")
    (folder / "sequences").mkdir(parents=True, exist_ok=True)
    if "test" in splits:
        write_shortened(sequences, folder / "sequences" / sequences.name)
    else:
        for path in sequences.parent.glob(f"{sequences.name}*"):  # an older one's checksum, too
            shutil.copy2(path, folder / "sequences")
    jobs = {}
    for trial in (trial for one in tables for trial in one.trials):
        for seed in trial.seeds:
            output = f"runs/{_short_hash(trial.config)}-{seed}"
            config = trial.config.to_dict()
            jobs[output] = job(f"sequences/{sequences.name}", output, config, seed)
    facts = {"code_version": code_version(), "rank": list(splits)}
    write_jobs(folder / "jobs.json", list(jobs.values()), **facts)
    print(f"{len(jobs)} trainings in {folder / 'jobs.json'}")


def _short_hash(config: Config) -> str:
    text = json.dumps([config.to_dict(), code_version()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def rows_of(trials: Trials, folder: Path) -> list[Row]:
    """The figures of every training of the table that is finished in the folder."""
    finished = records(folder)
    rows = []
    for trial in trials.trials:
        for seed in trial.seeds:
            runs = [run for run, record in finished.items() if _is_of(record, trial, seed)]
            if len(runs) == 1:
                rows.append(_row(trials, trial, runs[0], finished[runs[0]]))
            else:
                print(f"{len(runs)} runs of {trial.name}, seed {seed}, not one", file=sys.stderr)
    return rows


def _is_of(record: Row, trial: Trial, seed: int) -> bool:
    """Whether a run is of that trial; a setting that its code did not know yet was the default."""
    defaults = Config(trial.model, trial.preset).to_dict()
    settings = defaults | renamed(record["config"])
    return record["seed"] == seed and settings == trial.config.to_dict()


def _row(trials: Trials, trial: Trial, run: Path, record: Row) -> Row:
    lines = (run / "epochs.jsonl").read_text(encoding="utf-8").splitlines()
    ranks = run / f"ranks-{trials.split}.parquet"
    users = [gains(ranks, trials.split, protocol) for protocol in ("uniform_100", "full")]
    figures = [float(one[metric].mean()) for one in users for metric in ("recall_10", "ndcg_10")]
    return {
        "table": trials.name,
        "trial": trial.name,
        "model": trial.model,
        "preset": trial.preset,
        "settings": trial.settings,
        "data": trials.data,
        "sequences_sha256": record["sequences_sha256"],
        "seed": record["seed"],
        **{name: round(value, 6) for name, value in zip(FIGURES, figures, strict=True)},
        "best_epoch": record["best_epoch"],
        "epochs": len(lines),
        "train_seconds": round(record["train_seconds"], 1),
        "device": record["device"],
        "code_version": record["code_version"],
    }


def merge(path: Path, rows: Sequence[Row]) -> None:
    """Add rows to the file; a trial's older rows go if its settings or data were others."""
    stored = read_json(path) if path.exists() else []
    new = {(row["table"], row["trial"]): _made_by(row) for row in rows}
    kept = [row for row in stored if new.get((row["table"], row["trial"])) in (None, _made_by(row))]
    by_key = {(row["table"], row["trial"], row["seed"]): row for row in [*kept, *rows]}
    write_json(path, list(by_key.values()))


def _made_by(row: Row) -> list[Any]:
    settings = renamed(row["settings"])
    return [row["model"], row["preset"], settings, row["sequences_sha256"]]


def shown(results: Path) -> str:
    """A section for each table with results, a line for each trial."""
    stored = read_json(results) if results.exists() else []
    sections = []
    for name in dict.fromkeys(row["table"] for row in stored):
        trials = read_table(TABLES / f"{name}.toml")
        rows = [row for row in stored if row["table"] == name]
        lines = [
            _line([row for row in rows if row["trial"] == trial])
            for trial in dict.fromkeys(row["trial"] for row in rows)
        ]
        sections.append(f"## {trials.question}\n\n{_made_with(rows)}\n\n{table(HEADER, lines)}")
    return "\n\n".join(sections) or "No trial is kept yet."


HEADER = (
    "trial", "settings", "seeds", "Recall@10", "NDCG@10", "Recall@10, all items",
    "NDCG@10, all items", "best epoch", "s",
)  # fmt: skip


def _made_with(rows: Sequence[Row]) -> str:
    data, devices = ({row[name] for row in rows} for name in ("data", "device"))
    where = f"{' and '.join(sorted(data))}; {' and '.join(sorted(devices))}"
    return f"`benchmarks/trials/{rows[0]['table']}.toml` on {where}:"


def _line(seeds: Sequence[Row]) -> list[str]:
    first = seeds[0]
    settings = {"model": first["model"], "preset": first["preset"]} | renamed(first["settings"])
    epochs = [row["best_epoch"] for row in seeds]
    return [
        first["trial"],
        ", ".join(f"{name} {value}" for name, value in settings.items()),
        str(len(seeds)),
        *(over_seeds([row[name] for row in seeds]) for name in FIGURES),
        f"{min(epochs)} to {max(epochs)}" if len(seeds) > 1 else str(epochs[0]),
        f"{mean(row['train_seconds'] for row in seeds):.0f}",
    ]


if __name__ == "__main__":
    main()
