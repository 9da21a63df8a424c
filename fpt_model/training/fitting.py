"""Simple models as run directories, which hold what those of any training hold.

There are no checkpoints: what was stopped begins anew, and takes seconds.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from fpt_model.data.sequences import Sequences
from fpt_model.files.checkpoints import State, write
from fpt_model.files.finished import BEST, problem
from fpt_model.interrupts import ended_at_once
from fpt_model.simple.models import Fitted, Tried, tries
from fpt_model.simple.settings import SimpleConfig, choices
from fpt_model.training.run import Emit, TrainingSpec, claim, forget_results, started, write_record

DEVICE = "cpu"
ENGINE = "simple"


def fit(
    sequences: Sequences, folders: Mapping[int, Path], config: SimpleConfig, emit: Emit
) -> None:
    """Fit what is not done yet; leaves `best.safetensors`, `epochs.jsonl`, `run.json`.

    Args:
        sequences: what to fit on.
        folders: run directory by seed, of which none changes anything.
        config: settings.
        emit: gets the events (`lost`, `start`, `epoch` for each choice of settings, `done`), each
            with its seed.

    Raises:
        ModelError: a directory is of another training; matrices do not fit the memory.
        InterruptedTrainingError: SIGTERM or SIGINT came.
    """
    for seed, folder in folders.items():
        spec = TrainingSpec(config, seed, sequences.values, sequences.snapshot_id)
        claim(folder, spec)
        lost = problem(folder)
        if not lost:
            emit({"event": "done", "already": True, "seed": seed})
            continue
        if forget_results(folder):
            emit({"event": "lost", "what": lost, "seed": seed})
        start = {"engine": ENGINE, "model": config.model, "device": DEVICE, "seed": seed}
        emit({"event": "start", **start})
        began = started(folder)
        with ended_at_once():  # there is nothing to be saved
            tried = _search(sequences.to(torch.device(DEVICE)), config, seed, emit)
        _finish(folder, sequences, spec, began, tried)
        best = tried[0].record
        figures = {"best_epoch": best["epoch"], "valid_ndcg_10": best["valid_ndcg_10"]}
        emit({"event": "done", "seed": seed, **figures, "chosen": best["settings"]})


def _search(sequences: Sequences, config: SimpleConfig, seed: int, emit: Emit) -> "_Outcome":
    """The best choice of settings, the first of equal ones, and the records of all."""
    began, total = time.monotonic(), sum(1 for _ in choices(config))
    best, records = None, []
    for one in tries(sequences, config):
        records.append(one.record)
        done = len(records)
        left = (time.monotonic() - began) / done * (total - done)
        outlook = {"epochs": total, "share": done / total, "eta_seconds": left}
        emit({"event": "epoch", "seed": seed, **outlook, **one.record})
        if best is None or one.among_all > best.among_all:
            best = one
    if best is None:
        raise AssertionError("a grid has at least one choice")
    return best, records


_Outcome = tuple[Tried, Sequence[dict[str, Any]]]


def _finish(
    folder: Path, sequences: Sequences, spec: TrainingSpec, began: str, outcome: _Outcome
) -> None:
    best, records = outcome
    kept = {"order": spec.to_dict(), "fitted": asdict(best.fitted.config)}
    facts = {
        "device": DEVICE,
        "started_at": began,
        "train_seconds": sum(record["seconds"] for record in records),
        "best_epoch": best.record["epoch"],
        "valid_ndcg_10": best.record["valid_ndcg_10"],
        "checkpoint_sha256": write(folder / BEST, State(best.fitted.tensors, kept)),
        "chosen": best.record["settings"],
    }
    lines = "".join(json.dumps(record) + "\n" for record in records)
    write_record(folder, sequences, spec, facts, lines)


def read_fitted(state: State) -> Fitted:
    """The fitted model that a checkpoint holds."""
    return Fitted(SimpleConfig(**state.facts["fitted"]), state.tensors)
