"""A training as a run directory: started, resumed, finished, recorded."""

import json
import platform
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import numpy
import pyarrow
import torch

from fpt_model.config import Config
from fpt_model.data.device_limit import placed
from fpt_model.data.sequences import Sequences, load
from fpt_model.engines.choose import device_name, engine_of
from fpt_model.engines.precompile import compile_ahead
from fpt_model.engines.shared import Training
from fpt_model.errors import InterruptedTrainingError, ModelError
from fpt_model.files.checkpoints import (
    State,
    load_weights,
    read,
    read_latest,
    write,
    write_latest,
    write_whole,
)
from fpt_model.files.faults import point
from fpt_model.files.finished import BEST, EPOCHS, RECORD, problem, read_record, written_record
from fpt_model.interrupts import TOLD
from fpt_model.model.encoder import Encoder
from fpt_model.processes import end_server
from fpt_model.training.teaching import draws
from fpt_model.training.trainer import SelectedEpoch, Trainer, trainers_of
from fpt_model.variants import AnyConfig
from fpt_model.version import code_version

Event = dict[str, Any]
Emit = Callable[[Event], None]
SPEC = "order.json"
SEARCH = "search"  # where a training with `refit` keeps the one that chose its epoch
TEACHER = "teacher"  # and where a training with `teachers` keeps them
SAVE_EVERY_SECONDS = 10.0  # on a GPU, validations come faster than files can be written
PUT_ASIDE = signal.SIGUSR2  # by itself, to go on later: what has come to its end is done
SAVES = 0.1  # of the time at most: a table of millions of items takes long to be written


@dataclass(frozen=True)
class TrainingSpec:
    """What a run directory is for; another order is refused there."""

    config: AnyConfig
    seed: int
    sequences_values: str
    snapshot_id: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "config": self.config.to_dict(),
            "seed": self.seed,
            "sequences_values": self.sequences_values,
            "snapshot_id": self.snapshot_id,
            "code_version": code_version(),
        }


def train(
    path: Path,
    folders: Mapping[int, Path],
    config: Config,
    device: torch.device,
    emit: Emit,
    engine: str = "auto",
) -> None:
    """Train seeds to the end, or resume; leaves `best.safetensors`, `epochs.jsonl`, `run.json`.

    With `config.refit` these are of the second training, on all but the test item; the first, by
    which validation chose how long, leaves its own in the folder `search`.

    Args:
        path: sequences file.
        folders: run directory by seed.
        config: settings.
        device: to train on.
        emit: gets the events (`start`, `note`, `resumed`, `epoch`, `done`), each with its seed; a
            note is for people.
        engine: `reference`, the encoder itself, on a GPU by captured steps; `cpu`, parts of a
            batch side by side on a CPU; `multiseed`, all seeds side by side in multiseed kernels;
            `jagged`, one seed after the other in kernels without padding; `auto`, the fastest that
            fits.

    Raises:
        ModelError: see `load`, `Trainer` and `engine_of`; a directory is of another training;
            the loss is not finite.
        InterruptedTrainingError: SIGTERM or SIGINT came; checkpoints were written.
    """
    sequences = placed(load(path), device)
    if any(problem(folder) for folder in folders.values()):
        compile_ahead([config], sequences, engine)
    end_server()
    train_loaded(sequences, folders, config, emit, engine)


def train_loaded(
    sequences: Sequences, folders: Mapping[int, Path], config: Config, emit: Emit, engine: str
) -> dict[int, Trainer]:
    """`train` with sequences that are loaded already, on the device to train on.

    Returns:
        By seed the trainings that were not finished before, finished now.
    """
    teachers = Teachers(sequences, folders, config, emit, engine)
    stage = Stage.last(config)
    if not config.refit:
        return _trained(sequences, folders, config, emit, engine, stage, teachers)
    search(sequences, folders, config, emit, engine)
    selected = {seed: _selected(folder / SEARCH) for seed, folder in folders.items()}
    whole = sequences.with_validation()
    return _trained(whole, folders, config, emit, engine, stage, teachers, selected)


def search(
    sequences: Sequences, folders: Mapping[int, Path], config: Config, emit: Emit, engine: str
) -> dict[int, Trainer]:
    """The part of `train_loaded` with `config.refit` that chooses the epoch; returns likewise."""

    teachers = Teachers(sequences, folders, config, emit, engine)
    parts = {seed: folder / SEARCH for seed, folder in folders.items()}
    stage, emit = Stage.last(config).before(), _all_but_the_end(emit)
    return _trained(sequences, parts, config, emit, engine, stage, teachers)


def _all_but_the_end(emit: Emit) -> Emit:
    def emit_others(event: Event) -> None:
        if event["event"] != "done":
            emit(event)

    return emit_others


@dataclass(frozen=True)
class Stage:
    """Which of the trainings it is that one after the other make one.

    Attributes:
        number: from 0.
        of: how many.
    """

    number: int
    of: int

    @classmethod
    def last(cls, config: Config) -> "Stage":
        """The one whose weights answer, after its teachers and the search for how long."""
        before = config.teachers + config.refit
        return cls(before, before + 1)

    def before(self, steps: int = 1) -> "Stage":
        """An earlier one."""
        return replace(self, number=self.number - steps)


class Teachers:
    """The trainings that come first with `Config.teachers`, each in a folder of its student's.

    Args:
        sequences: as loaded.
        folders: students' run directories by seed.
        config: a student's settings.
        emit: gets their events under the student's seed.
        engine: see `train`.
    """

    def __init__(
        self,
        sequences: Sequences,
        folders: Mapping[int, Path],
        config: Config,
        emit: Emit,
        engine: str,
    ) -> None:
        self.sequences, self.folders, self.config = sequences, folders, config
        self.emit, self.engine = _all_but_the_end(emit), engine

    def teach(self, trainer: Trainer) -> None:
        """Train what is missing of a student's teachers, and give it what they draw."""
        config, seed = self.config, trainer.seed
        if not config.teachers:
            return
        models = [self._model(seed, number) for number in range(config.teachers)]
        folders = [self._folder(seed, number) for number in range(config.teachers)]
        trainer.seconds_before = sum(read_record(one)["train_seconds"] for one in folders)
        trainer.training.taught = draws(models, trainer.sequences, seed)

    def _model(self, student: int, number: int) -> Encoder:
        """A finished teacher, trained where it is not."""
        config = replace(self.config, teachers=0, teacher_share=0.0, refit=False)
        seed, folder = seed_of_teacher(student, number), self._folder(student, number)
        stage = Stage(number, Stage.last(self.config).of)

        def emit(event: Event) -> None:
            self.emit(event | {"seed": student})

        _trained(self.sequences, {seed: folder}, config, emit, self.engine, stage)
        model = Training(config, seed, self.sequences).model
        load_weights(model, read(folder / BEST).tensors, BEST)
        return model

    def _folder(self, student: int, number: int) -> Path:
        return self.folders[student] / f"{TEACHER}-{number}"


def seed_of_teacher(student: int, number: int) -> int:
    """Far from those that people give; no two students share one.

    >>> seed_of_teacher(0, 3), seed_of_teacher(1, 0)
    (1000003, 1000100)
    """
    return 1_000_000 + 100 * student + number


def _selected(folder: Path) -> SelectedEpoch:
    record = read_record(folder)
    epochs = (folder / EPOCHS).read_text(encoding="utf-8")
    return SelectedEpoch(
        record["best_epoch"], record["valid_ndcg_10"], record["train_seconds"], epochs
    )


def _trained(
    sequences: Sequences,
    folders: Mapping[int, Path],
    config: Config,
    emit: Emit,
    engine: str,
    stage: Stage,
    teachers: Teachers | None = None,
    selected_by_seed: Mapping[int, SelectedEpoch] | None = None,
) -> dict[int, Trainer]:
    """`train_loaded` of one training a seed, which validates where nothing is chosen for it."""
    device = sequences.device
    engine_name = engine_of(engine, config, device)
    specs = {
        seed: TrainingSpec(config, seed, sequences.values, sequences.snapshot_id)
        for seed in folders
    }
    missing = []
    for seed, folder in folders.items():
        claim(folder, specs[seed])
        lost = problem(folder)
        if lost:
            missing.append(seed)
            if forget_results(folder):
                emit({"event": "lost", "what": lost, "seed": seed})
        else:
            forget_checkpoints(folder)  # it died after its results, before this
            emit({"event": "done", "already": True, "seed": seed})
    if not missing:
        return {}
    trainers = trainers_of(config, missing, sequences, engine_name)
    for trainer in trainers:
        trainer.selected = (selected_by_seed or {}).get(trainer.seed)
        if teachers is not None:
            teachers.teach(trainer)
    runs = [Run(folders[one.seed], one, specs[one.seed], emit, stage) for one in trainers]
    for run in runs:
        run.resume()
        start = {"model": config.model, "seed": run.trainer.seed, "device": device_name(device)}
        emit({"event": "start", "engine": engine_name, **start})
    with Signals() as signals:
        _loop(runs, signals)
    if signals.received in TOLD:  # at its very end: what would come next does not begin
        raise InterruptedTrainingError(signals.received)
    return {trainer.seed: trainer for trainer in trainers}


class Signals:
    """Notes `TOLD` and `PUT_ASIDE`, so that a step is finished before the training ends."""

    received: int | None = None

    def __enter__(self) -> "Signals":
        self._before = {one: signal.signal(one, self._note) for one in (*TOLD, PUT_ASIDE)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received not in TOLD:
            self.received = number


class Run:
    """A trainer and its run directory."""

    def __init__(
        self, folder: Path, trainer: Trainer, spec: TrainingSpec, emit: Emit, stage: Stage
    ) -> None:
        self.folder, self.trainer, self.spec, self.stage = folder, trainer, spec, stage
        self.emit: Emit = lambda event: emit(event | {"seed": trainer.seed})
        trainer.training.say = lambda text: self.emit({"event": "note", "text": text})
        self.started = ""
        self.saved = time.monotonic()
        self.saving = 0.0  # seconds that the latest checkpoint took

    def resume(self) -> None:
        """Go on from the newest whole checkpoint, if there is one."""
        self.started = started(self.folder)
        state, problems = read_latest(self.folder)
        if state is not None:
            _refuse_other(self.folder, state.facts.get("order", {}), self.spec)
            self.trainer.restore(state)
        epoch = self.trainer.progress.epoch
        for one in problems:
            went_on = f"training goes on after epoch {epoch}" if epoch else "training begins anew"
            self.emit({"event": "note", "text": f"{one} Passed over: {went_on}."})
        if state is not None or problems:
            self.emit({"event": "resumed", "epoch": epoch, "passed_over": problems})

    def save(self) -> None:
        """Write a checkpoint."""
        progress, began = self.trainer.progress, time.monotonic()
        state = self.trainer.state()
        state.facts["order"] = self.spec.to_dict()
        write_latest(self.folder, state, progress.epoch * self.trainer.steps + progress.step)
        self.saved = time.monotonic()
        self.saving = self.saved - began

    def end_epoch(self, seconds: float) -> None:
        """Close the epoch whose steps took so long; write the results after the last."""
        progress, config = self.trainer.progress, self.trainer.config
        began = time.monotonic()
        record = self.trainer.end_epoch()
        seconds += time.monotonic() - began
        record["seconds"] = seconds
        progress.seconds += seconds
        self.emit({"event": "epoch", **self._outlook(), **record})
        late = time.monotonic() - self.saved >= max(SAVE_EVERY_SECONDS, self.saving / SAVES)
        if progress.epoch % config.validate_every == 0 and late:
            self.save()
        if self.trainer.finished:
            self.finish()

    def _outlook(self) -> Event:
        """How many epochs there are at most, the share that is done, the seconds that are left.

        Each of the trainings that make one, such as the search of one with `refit`, counts equally.
        """
        progress, config = self.trainer.progress, self.trainer.config
        selected = self.trainer.selected
        epochs = selected.epoch if selected else config.epochs
        stage = self.stage
        remaining = epochs - progress.epoch + (stage.of - stage.number - 1) * epochs
        share = (stage.number + progress.epoch / epochs) / stage.of
        seconds = remaining * progress.seconds / progress.epoch
        return {"epochs": epochs, "share": share, "eta_seconds": seconds}

    def finish(self) -> None:
        """Write the results."""
        _finish(self.folder, self.trainer, self.spec, self.started)
        best = self.trainer.progress
        self.emit({"event": "done", "best_epoch": best.best_epoch, "valid_ndcg_10": best.best_ndcg})


def _loop(runs: Sequence[Run], signals: Signals) -> None:
    """Epochs of all, until each is finished; side by side they share the time."""
    for run in runs:
        if run.trainer.finished:  # it died between its last checkpoint and its results
            run.finish()
    while active := [run for run in runs if not run.trainer.finished]:
        began = time.monotonic()
        for run in active:
            while run.trainer.progress.step < run.trainer.steps:
                run.trainer.step()
                if signals.received is not None:
                    _save_all(active, (time.monotonic() - began) / len(active))
                    raise InterruptedTrainingError(signals.received)
        for run in active:
            run.trainer.wait()
        seconds = (time.monotonic() - began) / len(active)
        for run in active:
            run.end_epoch(seconds)


def _save_all(runs: Sequence[Run], seconds: float) -> None:
    for run in runs:
        run.trainer.progress.seconds += seconds
        run.save()


def claim(folder: Path, spec: TrainingSpec) -> None:
    """Make the directory this training's own.

    Raises:
        ModelError: it belongs to another one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SPEC
    try:
        there = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # damaged: checkpoints say themselves whose they are
        there = spec.to_dict()
        write_whole(path, json.dumps(there, indent=1).encode())
    _refuse_other(folder, there, spec)


def forget_results(folder: Path) -> bool:
    """Remove what is of no use without the weights. Whether there was any."""
    finished = (folder / RECORD).exists()
    for pattern in (RECORD, "ranks*.parquet*", "lists.parquet*", "ahead.parquet*"):
        for path in folder.glob(pattern):
            point("before a result of lost weights goes")
            path.unlink()
    return finished


def started(folder: Path) -> str:
    """When the training in a folder began; now, if it did not yet."""
    path = folder / "started"
    try:
        return datetime.fromisoformat(path.read_text(encoding="utf-8")).isoformat()
    except (FileNotFoundError, ValueError):
        now = datetime.now(UTC).isoformat()
        write_whole(path, now.encode())
        return now


def _refuse_other(folder: Path, there: dict[str, Any], spec: TrainingSpec) -> None:
    ours = spec.to_dict()
    if there != ours:
        names = [name for name in ours if there.get(name) != ours[name]]
        raise ModelError(
            f"{folder} belongs to another training",
            got=f"another {', '.join(names)}",
            to_do="Give another --output",
        )


def _finish(folder: Path, trainer: Trainer, spec: TrainingSpec, started: str) -> None:
    """Write what is left of a training, the record last: it says that the rest is whole."""
    progress, selected = trainer.progress, trainer.selected
    kept = {"order": spec.to_dict(), "epoch": progress.best_epoch}
    sha256 = write(folder / BEST, State(trainer.best, kept))
    lines = "".join(json.dumps(record) + "\n" for record in progress.epochs)
    facts = {
        "device": device_name(trainer.sequences.device),
        "started_at": started,
        "train_seconds": progress.seconds + _seconds_before(trainer),
        "best_epoch": progress.best_epoch,
        "valid_ndcg_10": progress.best_ndcg,
        "checkpoint_sha256": sha256,
    }
    write_record(folder, trainer.sequences, spec, facts, selected.epochs if selected else lines)
    forget_checkpoints(folder)


def _seconds_before(trainer: Trainer) -> float:
    """Of what came first: the search, which counts its teachers, or the teachers alone."""
    return trainer.selected.seconds if trainer.selected else trainer.seconds_before


def write_record(
    folder: Path, sequences: Sequences, spec: TrainingSpec, facts: Mapping[str, Any], epochs: str
) -> None:
    """Write the epochs and, last, the record of a training whose weights are written.

    Args:
        folder: its own.
        sequences: what it was trained on.
        spec: what it was asked for.
        facts: what else the record says.
        epochs: lines of JSON.
    """
    write_whole(folder / EPOCHS, epochs.encode())
    record = spec.to_dict() | {
        "sequences_sha256": sequences.sha256,
        "interactions": len(sequences.items),
        "versions": versions(),
        "finished_at": datetime.now(UTC).isoformat(),
    }
    write_whole(folder / RECORD, written_record({**record, **facts}, epochs.encode()))


def forget_checkpoints(folder: Path) -> None:
    """Remove what a finished training has no use for."""
    for path in folder.glob("checkpoint-*"):
        point("before a checkpoint of a finished training goes")
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
