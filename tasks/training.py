"""Train and evaluate one configuration in a process of its own."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext

from fpt_model.config import Config, resolve
from fpt_model.version import code_version
from tasks.progress import report
from tasks.subprocesses import Event, follow
from warehouse.home import Home
from warehouse.identity import identify
from warehouse.publishing import TrainedRun, check_file, published_runs, stored_checksum
from warehouse.records import Snapshot


@dataclass(frozen=True)
class Training:
    """One training to be done: a configuration, a seed and the snapshot to train on."""

    snapshot: Snapshot
    config: Config
    seed: int

    @property
    def run_id(self) -> str:
        """Hash of all that determines the outcome."""
        return run_id(self.snapshot.snapshot_id, self.config, self.seed)

    @property
    def name(self) -> str:
        """What it is called in logs and the UI."""
        return f"{self.config.model} {self.snapshot.retention} seed {self.seed}"


def run_id(snapshot_id: str, config: Config, seed: int) -> str:
    """Id of the training of that configuration and seed, by the code as it is now."""
    return identify("run", snapshot_id, config.to_dict(), seed, code_version())


def trainings(snapshot: Snapshot, models: Sequence[str], preset: str, seeds: int) -> list[Training]:
    """Every model with every seed, on one snapshot."""
    configs = [resolve(model, preset) for model in dict.fromkeys(models)]
    return [Training(snapshot, config, seed) for config in configs for seed in range(seeds)]


def train_command(home: Home, sequences: Path, run: str, config: Config, seed: int) -> list[str]:
    """Arguments to Python that train it; they work on any machine that has the sequences file."""
    return [
        *("-m", "fpt_model", "train", "--sequences", str(sequences)),
        *("--output", str(home.run(run)), "--model", config.model),
        *("--preset", config.preset, "--seed", str(seed)),
    ]


@task(task_run_name="look for trainings")
def missing(home: Home, asked: Sequence[Training]) -> list[Training]:
    """Those that are not published yet."""
    known = published_runs(home)
    return [one for one in asked if one.run_id not in known]


@task(task_run_name="train {training.name}")
def train(home: Home, training: Training, device: str) -> str:
    """Train, or resume; choose the epoch on validation. Returns the run's id."""
    check_file(training.snapshot.sequences, training.snapshot.sequences_sha256)
    folder = home.run(training.run_id)
    folder.mkdir(parents=True, exist_ok=True)
    arguments = train_command(
        home, training.snapshot.sequences, training.run_id, training.config, training.seed
    )
    command = [sys.executable, *arguments, "--device", device]
    follow(command, _Progress(training.name), log=folder / "stderr.log")
    return training.run_id


@task(task_run_name="rank {training.name}")
def rank(home: Home, training: Training, device: str) -> TrainedRun:
    """Rank every user's held-out items with the chosen epoch."""
    folder = home.run(training.run_id)
    ranks = folder / "ranks.parquet"
    command = [
        *(sys.executable, "-m", "fpt_model", "evaluate", "--run", str(folder)),
        *("--sequences", str(training.snapshot.sequences), "--output", str(ranks)),
        *("--device", device),
    ]
    follow(command, lambda _: None, log=folder / "stderr.log")
    return trained_run(home, training)


def trained_run(home: Home, training: Training) -> TrainedRun:
    """Read what a finished training left in its folder."""
    folder = home.run(training.run_id)
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    epochs = (folder / "epochs.jsonl").read_text(encoding="utf-8").splitlines()
    return TrainedRun(
        run_id=training.run_id,
        snapshot_id=training.snapshot.snapshot_id,
        model=training.config.model,
        preset=training.config.preset,
        seed=training.seed,
        config=record["config"],
        device=record["device"],
        code_version=record["code_version"],
        versions=record["versions"],
        started_at=_utc(record["started_at"]),
        finished_at=_utc(record["finished_at"]),
        train_seconds=record["train_seconds"],
        best_epoch=record["best_epoch"],
        checkpoint_sha256=record["checkpoint_sha256"],
        epochs=tuple(json.loads(line) for line in epochs),
        ranks=folder / "ranks.parquet",
    )


def is_ranked(home: Home, training: Training) -> bool:
    """Whether the training's folder holds whole ranks, made here or on another machine."""
    ranks = home.run(training.run_id) / "ranks.parquet"
    if not ranks.exists() or not (ranks.parent / "run.json").exists():
        return False
    check_file(ranks, stored_checksum(ranks))
    return True


def _utc(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=None)


class _Progress:
    """Turns a training's events into a progress artifact and reports."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._artifact: Any = None

    def __call__(self, event: Event) -> None:
        if event["event"] == "done":
            report(f"train {self._name}", 1, 1, _best(event))
        if event["event"] != "epoch":
            return
        done, total = event["epoch"], event["epochs"]
        report(f"train {self._name}", done, total, _note(event))
        if TaskRunContext.get() is None:
            return
        if self._artifact is None:
            self._artifact = create_progress_artifact(0.0, description=self._name)
        update_progress_artifact(self._artifact, 100.0 * done / total)


def _note(event: Event) -> str:
    note = f"loss {event['train_loss']:.4f}"
    if event.get("valid_ndcg_10") is not None:
        note += f", validation NDCG@10 {event['valid_ndcg_10']:.4f}"
    return note


def _best(event: Event) -> str:
    if event.get("already"):
        return "trained before"
    return f"best epoch {event['best_epoch']}, validation NDCG@10 {event['valid_ndcg_10']:.4f}"
