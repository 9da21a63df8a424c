"""A training as a run directory: started, resumed, finished, recorded."""

import json
import platform
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import numpy
import pyarrow
import torch

from fpt_model.checkpoint import State, read_latest, write, write_latest, write_whole
from fpt_model.config import Config
from fpt_model.data import load
from fpt_model.errors import ModelError
from fpt_model.trainer import Trainer
from fpt_model.version import code_version

Event = dict[str, Any]
Tell = Callable[[Event], None]
BEST = "best.safetensors"
RECORD = "run.json"
EPOCHS = "epochs.jsonl"
ORDER = "order.json"


class InterruptedTrainingError(Exception):
    """A signal ended the training; its checkpoint is kept."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"interrupted by {signal.Signals(number).name}")


@dataclass(frozen=True)
class Order:
    """What a run directory is for; another order is refused there."""

    config: Config
    seed: int
    sequences_sha256: str
    snapshot_id: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "config": self.config.to_dict(),
            "seed": self.seed,
            "sequences_sha256": self.sequences_sha256,
            "snapshot_id": self.snapshot_id,
            "code_version": code_version(),
        }


def train(
    path: Path, folder: Path, config: Config, seed: int, device: torch.device, tell: Tell
) -> None:
    """Train to the end, or resume; leaves `best.safetensors`, `epochs.jsonl` and `run.json`.

    Args:
        path: sequences file.
        folder: run directory.
        config: settings.
        seed: of everything random.
        device: to train on.
        tell: gets the events (`start`, `resumed`, `epoch`, `done`).

    Raises:
        ModelError: see `load` and `Trainer`; the directory is of another training; the loss is
            not finite.
        InterruptedTrainingError: SIGTERM or SIGINT came; a checkpoint was written.
    """
    sequences = load(path).to(device)
    order = Order(config, seed, sequences.sha256, sequences.snapshot_id)
    _claim(folder, order)
    if (folder / RECORD).exists() and (folder / BEST).exists():
        tell({"event": "done", "already": True})
        return
    trainer = Trainer(config, seed, sequences)
    started = _resume(folder, trainer, order, tell)
    tell({"event": "start", "model": config.model, "seed": seed, "device": device_name(device)})
    with _Signals() as signals:
        _loop(folder, trainer, order, signals, tell)
    _finish(folder, trainer, order, started)
    best = trainer.progress
    tell({"event": "done", "best_epoch": best.best_epoch, "valid_ndcg_10": best.best_ndcg})


def device_of(name: str) -> torch.device:
    """The device asked for; a GPU that is not there is an error, never a silent CPU run.

    Raises:
        ModelError: `cuda` was asked for and there is none.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ModelError(
            "No GPU here", expected="one, for --device cuda", to_do="Use --device auto"
        )
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def device_name(device: torch.device) -> str:
    """What the device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


class _Signals:
    """Notes SIGTERM and SIGINT, so that a step is finished before the training ends."""

    received: int | None = None

    def __enter__(self) -> "_Signals":
        numbers = (signal.SIGTERM, signal.SIGINT)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number


def _loop(folder: Path, trainer: Trainer, order: Order, signals: _Signals, tell: Tell) -> None:
    progress, config = trainer.progress, trainer.config
    while not trainer.finished:
        before, began = progress.seconds, time.monotonic()
        while progress.step < trainer.steps:
            trainer.step()
            if signals.received is not None:
                progress.seconds = before + time.monotonic() - began
                _save(folder, trainer, order)
                raise InterruptedTrainingError(signals.received)
        record = trainer.end_epoch()
        record["seconds"] = time.monotonic() - began
        progress.seconds = before + record["seconds"]
        left = (config.epochs - progress.epoch) * progress.seconds / progress.epoch
        tell({"event": "epoch", "epochs": config.epochs, "eta_seconds": left, **record})
        if record["valid_ndcg_10"] is not None:
            _save(folder, trainer, order)


def _save(folder: Path, trainer: Trainer, order: Order) -> None:
    step = trainer.progress.epoch * trainer.steps + trainer.progress.step
    state = trainer.state()
    state.facts["order"] = order.to_dict()
    write_latest(folder, state, step)


def _resume(folder: Path, trainer: Trainer, order: Order, tell: Tell) -> str:
    """Go on from the newest whole checkpoint. Returns when the first attempt started."""
    note = folder / "started"
    if not note.exists():
        write_whole(note, datetime.now(UTC).isoformat().encode())
    state, problems = read_latest(folder)
    if state is not None:
        _refuse_other(folder, state.facts.get("order", {}), order)
        trainer.restore(state)
    if state is not None or problems:
        epoch = trainer.progress.epoch
        tell({"event": "resumed", "epoch": epoch, "passed_over": problems})
    return note.read_text(encoding="utf-8")


def _claim(folder: Path, order: Order) -> None:
    """Make the directory this training's own.

    Raises:
        ModelError: it belongs to another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ORDER
    if not path.exists():
        write_whole(path, json.dumps(order.to_dict(), indent=1).encode())
    _refuse_other(folder, json.loads(path.read_text(encoding="utf-8")), order)


def _refuse_other(folder: Path, there: dict[str, Any], order: Order) -> None:
    ours = order.to_dict()
    if there != ours:
        names = [name for name in ours if there.get(name) != ours[name]]
        raise ModelError(
            f"{folder} belongs to another training",
            got=f"another {', '.join(names)}",
            to_do="Give another --output",
        )


def _finish(folder: Path, trainer: Trainer, order: Order, started: str) -> None:
    progress = trainer.progress
    facts = {"order": order.to_dict(), "epoch": progress.best_epoch}
    sha256 = write(folder / BEST, State(trainer.best, facts))
    lines = "".join(json.dumps(record) + "\n" for record in progress.epochs)
    write_whole(folder / EPOCHS, lines.encode())
    record = order.to_dict() | {
        "device": device_name(trainer.rows.device),
        "versions": versions(),
        "started_at": started,
        "finished_at": datetime.now(UTC).isoformat(),
        "train_seconds": progress.seconds,
        "best_epoch": progress.best_epoch,
        "valid_ndcg_10": progress.best_ndcg,
        "checkpoint_sha256": sha256,
    }
    write_whole(folder / RECORD, json.dumps(record, indent=1).encode())
    for path in folder.glob("checkpoint-*"):
        path.unlink()


def versions() -> dict[str, str]:
    """Versions of what decides about bits."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "pyarrow": pyarrow.__version__,
        "cuda": torch.version.cuda or "",
    }
