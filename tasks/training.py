"""Train and rank any number of configurations in a process of its own."""

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext

from fpt_model.files.finished import EPOCHS, problem, read_record
from fpt_model.files.kernels import copy_whole, sweep
from fpt_model.version import SOURCE, code_version
from tasks import folders
from tasks.progress import note, report, warn
from tasks.subprocesses import Event, follow
from tasks.telling import try_to
from tasks.trainings import Training
from warehouse.errors import RefusedError, StepError
from warehouse.faults import point
from warehouse.home import Home
from warehouse.kept import published_checkpoints
from warehouse.publishing import TrainedRun, check_file
from warehouse.records import Snapshot
from warehouse.staging import staging_folder
from warehouse.visible import counted

JOBS = "jobs.json"
KERNELS = "kernels"
SHOW_EVERY_SECONDS = 5.0


@task(task_run_name="look for trainings")
def missing(home: Home, asked: Sequence[Training]) -> list[Training]:
    """Those that are not published yet, or of which something is lost since; see `_is_done`."""
    known = published_checkpoints(home)
    return [one for one in asked if not _is_done(home, one, known)]


def _is_done(home: Home, training: Training, published: Mapping[str, str]) -> bool:
    """Whether a training is published and what it left is whole, or could be mended at once."""
    if training.run_id not in published:
        return False
    folder, checkpoint = home.run(training.run_id), published[training.run_id]
    if folders.lacking(folder, checkpoint):
        data = training.snapshot
        wrong = folders.mend_record(home, training.run_id, data.sequences, data.sequences_sha256)
        if wrong:
            note(f"{training.name}: {wrong}; written again from what was published")
    lost = folders.lacking(folder, checkpoint)
    if lost:
        note(f"{training.name} was published, but {lost}: it is made and published again")
    return not lost


@task(task_run_name="train models")
def train(
    home: Home,
    asked: Sequence[Training],
    device: str,
    gpus: int | None = None,
    *,
    together: bool = False,
    show_every: float = SHOW_EVERY_SECONDS,
) -> dict[str, str]:
    """Train and rank all, or go on where it was; each tells its own progress.

    `gpus` is how many GPUs train at once; all of this machine without it. `together` puts all of
    them on each training, one training after the other. `show_every` is how many seconds a
    training's artifact stays as it is.

    Returns:
        What each training that failed died of, by its run's id; the others are finished.

    Raises:
        RefusedError: a sequences file is not whole; the process ended before its work did.
    """
    for snapshot in dict.fromkeys(one.snapshot for one in asked):
        check_file(snapshot.sequences, snapshot.sequences_sha256)
    by_folder = {home.run(one.run_id): one for one in asked}
    jobs = [job(one, one.snapshot.sequences, folder) for folder, one in by_folder.items()]
    command = [sys.executable, "-m", "fpt_model", "train-all", "--device", device]
    command += ["--gpus", str(gpus)] if gpus else []
    command += ["--engine", "distributed"] if together else []
    named = {str(folder): one for folder, one in by_folder.items()}
    progress = _Progress(named, show_every)
    sweep_kernels(home)
    with staging_folder(home, "jobs") as staged:
        write_jobs(staged / JOBS, jobs, home.kernels)
        try:
            point("before a training's process starts")
            follow([*command, "--jobs", str(staged / JOBS)], progress, log=home.log("training"))
        except RefusedError:
            if not progress.finished:
                raise
    return {by_folder[Path(name)].run_id: cause for name, cause in progress.failures.items()}


def job(training: Training, sequences: Path, output: Path) -> dict[str, Any]:
    """What a jobs file says of a training; see `fpt_model/training/jobs.py`."""
    return {
        "sequences": str(sequences),
        "output": str(output),
        "config": training.config.to_dict(),
        "seed": training.seed,
    }


def write_jobs(path: Path, jobs: Sequence[dict[str, Any]], kernels: Path) -> None:
    """Write a jobs file for the models' code as it is now."""
    said = {"code_version": code_version(), "kernels": str(kernels), "jobs": jobs}
    text = json.dumps(said, indent=1)
    path.write_text(text, encoding="utf-8")


@task(task_run_name="export to {folder}")
def export(home: Home, folder: Path, asked: Sequence[Training]) -> None:
    """Write all that another machine needs to train: jobs.json, sequences, the models' code.

    Kernels that the home has come along.

    Raises:
        RefusedError: the folder is somebody else's; a sequences file is not whole.
    """
    code = folder / "fpt_model"
    strange = folder.exists() and any(folder.iterdir()) and not (folder / JOBS).exists()
    if strange or code.resolve() == SOURCE.resolve():
        raise RefusedError(
            f"{folder} is in use", expected=f"a new folder, or one with {JOBS} in it"
        )
    (folder / "sequences").mkdir(parents=True, exist_ok=True)
    for snapshot in dict.fromkeys(one.snapshot for one in asked):
        check_file(snapshot.sequences, snapshot.sequences_sha256)
        for path in snapshot.sequences.parent.glob(f"{snapshot.sequences.name}*"):
            shutil.copy2(path, folder / "sequences")  # an older one's checksum goes along
    write_jobs(
        folder / JOBS,
        [
            job(one, Path("sequences", one.snapshot.sequences.name), Path("runs", one.run_id))
            for one in asked
        ],
        Path(KERNELS),
    )
    (folder / KERNELS).mkdir(exist_ok=True)
    sweep_kernels(home)
    copy_whole(home.kernels, folder / KERNELS)
    shutil.rmtree(code, ignore_errors=True)
    shutil.copytree(SOURCE, code, ignore=shutil.ignore_patterns("__pycache__"))


@task(task_run_name="compile for {gpus}")
def compile_for(home: Home, folder: Path, gpus: Sequence[str]) -> None:
    """Compile what an exported folder's trainings will launch on such GPUs; see the command
    `compile` of `python -m fpt_model`.

    It is compiled into the home, and goes from there: the folder may have been elsewhere before.

    Raises:
        StepError: Triton is not here; there is no such GPU; something can't be compiled.
    """
    command = [sys.executable, "-m", "fpt_model", "compile", "--jobs", str(folder / JOBS)]

    def tell(event: Event) -> None:
        if event["event"] == "kernels":
            note(event["text"])

    command += ["--kernels", str(home.kernels), "--for", *gpus]
    follow(command, tell, log=home.log("training"))
    copy_whole(home.kernels, folder / KERNELS)


def sweep_kernels(home: Home) -> None:
    """Take of the compiled kernels that lie in a home those that are whole, and say so of others.

    They may have been copied there from another machine.
    """
    gone = sweep(home.kernels)
    if gone.damaged:
        many = counted(gone.damaged, "compiled kernel")
        note(f"{many} in {home.kernels} not whole: removed, and compiled again where needed")


@task(task_run_name="collect {training.name}")
def collect_run(home: Home, training: Training, failure: str | None) -> TrainedRun:
    """Read what a finished training left in its folder, wherever it was made.

    Raises:
        RefusedError: it failed, or the folder is another training's.
    """
    if failure:
        raise StepError(f"{training.name} failed", got=failure)
    folder = home.run(training.run_id)
    if wrong := problem(folder) or folders.lost_ranks(folder):
        to_do = "Run the command again: it makes anew what is lost"
        raise RefusedError(
            f"{training.name} is not whole", got=f"{wrong}, in {folder}", to_do=to_do
        )
    record = read_record(folder)
    _refuse_other(folder, training, record)
    epochs = (folder / EPOCHS).read_text(encoding="utf-8").splitlines()
    return TrainedRun(
        run_id=training.run_id,
        snapshot_id=training.snapshot.snapshot_id,
        model=training.config.model,
        preset=training.preset,
        seed=training.seed,
        config=record["config"] | _chosen(record),
        device=record["device"],
        code_version=record["code_version"],
        versions=record["versions"],
        started_at=_utc(record["started_at"]),
        finished_at=_utc(record["finished_at"]),
        train_seconds=record["train_seconds"],
        best_epoch=record["best_epoch"],
        checkpoint_sha256=record["checkpoint_sha256"],
        epochs=tuple(json.loads(line) for line in epochs),
        ranks=folder / folders.RANKS,
        lists=folder / folders.LISTS,
    )


def _chosen(record: Mapping[str, Any]) -> dict[str, Any]:
    """Which settings a simple model's search chose."""
    return {"chosen": record["chosen"]} if "chosen" in record else {}


def _refuse_other(folder: Path, training: Training, record: Mapping[str, Any]) -> None:
    """A folder may have been carried here under a wrong name, or made by other code."""
    expected = {
        "config": training.config.to_dict(),
        "seed": training.seed,
        **_sequences(training.snapshot, record),
        "snapshot_id": training.snapshot.snapshot_id,
        "code_version": code_version(),
    }
    wrong = [name for name, value in expected.items() if record.get(name) != value]
    if wrong:
        raise RefusedError(
            f"{folder} holds another training than {training.name}",
            got=f"another {', '.join(wrong)}",
            to_do="Delete it and run the command again",
        )


def _sequences(snapshot: Snapshot, record: Mapping[str, Any]) -> dict[str, str]:
    """What it must have been trained on: by values, of which a record of an older version says
    nothing; that knew the file by its bytes."""
    if "sequences_values" in record:
        return {"sequences_values": folders.values_of(snapshot.sequences)}
    return {"sequences_sha256": snapshot.sequences_sha256}


def _utc(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=None)


class _Progress:
    """Turns the events of trainings into reports, one bar a model, and an artifact a training.

    Args:
        asked: the trainings by the name that events call them by.
        show_every: seconds that a training's artifact stays as it is.
    """

    def __init__(
        self, asked: Mapping[str, Training], show_every: float = SHOW_EVERY_SECONDS
    ) -> None:
        self._asked, self._show_every = asked, show_every
        self.finished = False
        self.failures: dict[str, str] = {}
        self._shares = dict.fromkeys(asked, 0.0)
        self._artifacts: dict[str, Any] = {}
        self._shown: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        kind = event["event"]
        if kind == "finished":
            self.finished = True
            many = counted(event["trainings"], "training")
            note(f"{many} took {event['seconds']:.1f} s, {event['device']}")
        elif kind == "kernels":
            note(event["text"])
        elif kind == "place":
            warn(event["text"])
        elif kind == "note":
            warn(f"{self._asked[event['run']].name}: {event['text']}")
        elif kind == "lost":
            note(f"{self._asked[event['run']].name}: {event['what']}; it is trained again")
        elif kind == "epoch":
            self._tell(event["run"], event["share"], _note(event))
        elif kind == "done":
            self._tell(event["run"], 1.0, _best(event))
        elif kind == "failed":
            self.failures[event["run"]] = event["message"]
            self._tell(event["run"], 1.0, f"failed: {event['message']}")

    def _tell(self, run: str, share: float, text: str) -> None:
        training = self._asked[run]
        self._shares[run] = share
        shares = [self._shares[one] for one in self._shares if self._group(one) == training.group]
        seed = f"seed {training.seed}: {text}"
        report(f"train {training.group}", sum(shares), len(shares), seed)
        self._show(run, share, f"{training.name}: {text}")

    def _group(self, run: str) -> str:
        return self._asked[run].group

    def _show(self, run: str, share: float, text: str) -> None:
        """Bring the training's artifact up to date, not with each of many short epochs."""
        now = time.monotonic()
        early = now - self._shown.get(run, -self._show_every) < self._show_every
        if TaskRunContext.get() is None or (early and share < 1):
            return
        self._shown[run] = now
        known = self._artifacts.get(run)

        def tell() -> Any:
            if known is None:
                return create_progress_artifact(100.0 * share, description=text)
            update_progress_artifact(known, 100.0 * share, description=text)
            return known

        self._artifacts[run] = try_to(tell, lost=known)


def _note(event: Event) -> str:
    if "settings" in event:
        return f"{_in_words(event['settings'])}, validation NDCG@10 {event['valid_ndcg_10']:.4f}"
    note = f"loss {event['train_loss']:.4f}"
    if event.get("valid_ndcg_10") is not None:
        note += f", validation NDCG@10 {event['valid_ndcg_10']:.4f}"
    return note


def _best(event: Event) -> str:
    if event.get("already"):
        return "trained before"
    chosen = event.get("chosen")
    best = _in_words(chosen) if chosen else f"best epoch {event['best_epoch']}"
    return f"{best}, validation NDCG@10 {event['valid_ndcg_10']:.4f}"


def _in_words(settings: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items())
