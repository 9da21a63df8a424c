"""Many trainings in one process: read from a file, grouped by what they can share, each ranked."""

import gc
import json
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from fpt_model.config import Config
from fpt_model.data.device_limit import placed
from fpt_model.data.sequences import Sequences, Split, load
from fpt_model.engines.carry import carried
from fpt_model.engines.choose import ENGINES, engine_of
from fpt_model.engines.precompile import Compiled, compile_ahead
from fpt_model.errors import LostRankError, ModelError
from fpt_model.evaluation.lists import LISTS
from fpt_model.files.finished import problem
from fpt_model.files.kernels import builds
from fpt_model.files.written import read_written
from fpt_model.grouping import side_by_side
from fpt_model.processes import end_server
from fpt_model.simple.settings import SimpleConfig
from fpt_model.training.fitting import fit
from fpt_model.training.ranking import SPLITS, list_loaded, rank_loaded, rank_trained
from fpt_model.training.run import SEARCH, Emit, search, train_loaded
from fpt_model.training.trainer import Trainer
from fpt_model.variants import AnyConfig, config_of
from fpt_model.version import code_version


@dataclass(frozen=True)
class Job:
    """One training of a jobs file.

    Attributes:
        name: its `output` as the file has it; events say it as `run`.
        sequences: the sequences file.
        output: run directory.
        config: settings.
        seed: of everything random.
        splits: whose held-out items are ranked at the end.
    """

    name: str
    sequences: Path
    output: Path
    config: AnyConfig
    seed: int
    splits: tuple[Split, ...] = SPLITS

    @property
    def training(self) -> tuple[Path, AnyConfig, int]:
        """What is trained, wherever it goes."""
        return self.sequences, self.config, self.seed

    @property
    def ranks(self) -> Path:
        """Where its ranks go. Those of one split can't be taken for those of both."""
        only = "" if self.splits == SPLITS else f"-{'-'.join(self.splits)}"
        return self.output / f"ranks{only}.parquet"

    @property
    def search(self) -> "Job":
        """The part of a training with `refit` that chooses its epoch; it alone is validated."""
        return replace(self, output=self.output / SEARCH, splits=("valid",))

    @property
    def is_trained(self) -> bool:
        """Whether nothing of it is left to train."""
        return not problem(self.output)


def read_jobs(path: Path) -> list[Job]:
    """The trainings that a file asks for.

        {"code_version": "…", "jobs": [
          {"sequences": "sequences/sequences-3f2a.parquet", "output": "runs/9c41",
           "config": {"model": "sas_fpt", "preset": "paper", "epochs": 20}, "seed": 0}]}

    Paths are relative to the file. `config` overrides the settings of its preset; `code_version`
    may be left out. `"rank": ["valid"]` beside it leaves the test split alone, which trials must
    not read; `"rank": false` ranks nobody. `"kernels": "kernels"` names a folder of compiled
    kernels to read and to fill, see `fpt_model/files/kernels.py`.

    Raises:
        ModelError: it is no such file, is for another version of this package, or asks for two
            trainings in one place.
    """
    try:
        asked = json.loads(path.read_text(encoding="utf-8"))
        _refuse_other_code(path, asked.get("code_version", code_version()))
        splits = _splits(asked.get("rank", SPLITS))
        Path(asked.get("kernels", ""))  # `fpt_model.engines.carry` has read it
        jobs = [_job(row, path.parent, splits) for row in asked["jobs"]]
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelError(f"{path} lists no jobs", got=f"{type(error).__name__}: {error}") from error
    for what in ("output", "training"):
        seen = Counter(getattr(job, what) for job in jobs)
        twice = [job.name for job in jobs if seen[getattr(job, what)] > 1]
        if twice:
            raise ModelError(f"Jobs with the same {what}", got=" and ".join(twice))
    return jobs


def _refuse_other_code(path: Path, version: str) -> None:
    if version != code_version():
        raise ModelError(
            f"{path.name} is for another version of fpt_model",
            got=f"version {code_version()} here",
            expected=version,
            to_do="Bring the fpt_model folder that belongs to the file",
        )


def _splits(asked: Any) -> tuple[Split, ...]:
    wanted = asked or ()
    if set(wanted) - set(SPLITS):
        raise ModelError("Unknown split to rank", got=asked, expected=f"some of {list(SPLITS)}")
    return tuple(split for split in SPLITS if split in wanted)


def _job(row: dict[str, Any], folder: Path, splits: tuple[Split, ...]) -> Job:
    config = config_of(row["config"])
    sequences, output = (folder / row[name] for name in ("sequences", "output"))
    return Job(row["output"], sequences, output, config, int(row["seed"]), splits)


def run_jobs(
    jobs: Sequence[Job], device: torch.device, emit: Emit, engine: str = "auto"
) -> dict[str, str]:
    """Train and rank all; what is done is not done again, what was begun goes on.

    Args:
        jobs: the trainings.
        device: to compute on.
        emit: gets the events of `train`, `ranked` and `failed`, each with its `run`.
        engine: as in `train`.

    Returns:
        What each failed job died of, by its name; the others are not disturbed.

    Raises:
        ModelError: the engine that was asked for can't train one of them.
        InterruptedTrainingError: see `train`.
    """
    failures: dict[str, str] = {}
    bench = Bench(device, emit, engine)
    groups = groups_of(jobs, device, engine)
    paths = list(dict.fromkeys(job.sequences for job in jobs))
    for path in paths:
        ours = [group for group in groups if group[0].sequences == path]
        bench.compile(path, [job for group in ours for job in group])
        if path == paths[-1]:
            end_server()
        for group in ours:
            failures |= bench.train(group)
    return failures


def compile_jobs_for(
    jobs: Sequence[Job], gpus: Sequence[str], emit: Emit, engine: str = "auto"
) -> None:
    """Compile what trainings will launch on GPUs that are elsewhere.

    Args:
        jobs: the trainings.
        gpus: NVIDIA's names of them, such as `sm_90`.
        emit: gets an event `kernels` for each file of sequences and each kind of GPU.
        engine: as in `train`.

    Raises:
        ModelError: see `compile_for` and `load`.
    """
    from fpt_model.engines.compile_for import compile_for, kind_of

    kinds = [kind_of(name) for name in gpus]
    for path in dict.fromkeys(job.sequences for job in jobs):
        sequences = load(path)
        ours = [job for job in jobs if job.sequences == path]
        configs = list(dict.fromkeys(one for job in ours for one in _to_compile(job)))
        for name, kind in zip(gpus, kinds, strict=True):
            done = compile_for(kind, configs, sequences, engine)
            emit({"event": "kernels", **done._asdict(), "text": f"{name}: {done}"})


class Bench:
    """Trains groups of jobs on one device, one after the other.

    Args:
        device: to compute on.
        emit: see `run_jobs`.
        engine: as in `train`.
    """

    def __init__(self, device: torch.device, emit: Emit, engine: str) -> None:
        self.device, self.emit, self.engine = device, emit, engine
        self._compiled: set[Config] = set()  # other sequences are trained on by the same kernels
        self._loaded: dict[Path, Sequences] = {}

    def compile(self, path: Path, jobs: Iterable[Job]) -> None:
        """Compile what jobs on a file may need and earlier ones did not."""
        with suppress(ModelError):  # each training says that it can't be read
            new = {one for job in jobs for one in _to_compile(job)} - self._compiled
            self._tell(compile_ahead(new, self._sequences(path), self.engine))
            self._compiled |= new

    def _tell(self, done: Compiled) -> None:
        """Say what of a folder that travels was of use."""
        there = carried()
        if there is not None and done.kernels:
            text = _of_use(done, there)
            self.emit({"event": "kernels", **done._asdict(), "text": text})

    def train(self, group: Sequence[Job]) -> dict[str, str]:
        """Train jobs side by side and rank them; see `run_jobs`."""
        try:
            sequences = self._sequences(group[0].sequences)
        except ModelError as error:
            return _failed(group, str(error), self.emit)
        return _train_and_rank(sequences, group, self.emit, self.engine)

    def _sequences(self, path: Path) -> Sequences:
        """Two files at most are held: groups on either may come in turn."""
        if path not in self._loaded:
            for other in list(self._loaded)[:-1]:
                del self._loaded[other]
            self._loaded[path] = placed(load(path), self.device)
        return self._loaded[path]


def _of_use(done: Compiled, there: Path) -> str:
    from fpt_model.engines.gpu.carried import build

    text = str(done)
    others = [name for name in builds(there) if name != build()]
    if done.compiled == done.kernels and others:
        text += f": for {build()}, while {there.name}/ came with those of {', '.join(others)}"
    return text


def _to_compile(job: Job) -> Iterator[Config]:
    """The settings that kernels may have to be compiled for."""
    if isinstance(job.config, Config) and not job.is_trained:
        yield job.config


def shares_threads(job: Job, device: torch.device, engine: str) -> bool:
    """Whether a training on a CPU ends with the same bits, however many threads it has."""
    return isinstance(job.config, Config) and engine_of(engine, job.config, device) == "cpu"


def groups_of(jobs: Sequence[Job], device: torch.device, engine: str) -> list[list[Job]]:
    """Jobs that train side by side: seeds of the same settings, where the engine can."""

    def at_most(job: Job) -> int:
        if not isinstance(job.config, Config):
            return 1
        return ENGINES[engine_of(engine, job.config, device)].together

    return side_by_side(jobs, lambda job: (job.sequences, job.config), at_most)


def _train_and_rank(
    sequences: Sequences, jobs: Sequence[Job], emit: Emit, engine: str
) -> dict[str, str]:
    """Train jobs side by side; if that fails, halves of them, until whoever fails is alone."""
    try:
        _attempt(sequences, jobs, emit, engine)
        return {}
    except LostRankError:
        raise
    except Exception as error:
        cause = _in_words(error)
        traceback.print_exc()
    finally:
        _free_memory()
    if len(jobs) == 1:
        return _failed(jobs, cause, emit)
    half = len(jobs) // 2
    return _train_and_rank(sequences, jobs[:half], emit, engine) | _train_and_rank(
        sequences, jobs[half:], emit, engine
    )


def _attempt(sequences: Sequences, jobs: Sequence[Job], emit: Emit, engine: str) -> None:
    """Train side by side and rank; nothing of it is held in memory afterwards."""
    names = {job.seed: job.name for job in jobs}
    folders = {job.seed: job.output for job in jobs}

    def emit_run(event: dict[str, Any]) -> None:
        emit(event | {"run": names[event["seed"]]})

    config = jobs[0].config
    trained: dict[int, Trainer] = {}
    if isinstance(config, SimpleConfig):
        fit(sequences, folders, config, emit_run)
    else:
        trained = _trained(sequences, jobs, config, emit_run, engine)
    ranked = list(_rank(sequences, jobs, trained))
    trained.clear()  # what lacks lists is ranked by the weights in its folder
    for job in jobs:
        _list(sequences, job)
    for name, rows in ranked:
        emit({"event": "ranked", "run": name, "rows": rows})


def _trained(
    sequences: Sequences, jobs: Sequence[Job], config: Config, emit: Emit, engine: str
) -> dict[int, Trainer]:
    """By seed those that were trained just now; see `train_loaded`."""
    folders = {job.seed: job.output for job in jobs}
    if config.refit:
        found = search(sequences, folders, config, emit, engine)
        list(_rank(sequences, [job.search for job in jobs], found))
        found.clear()  # the second training may need the memory
    return train_loaded(sequences, folders, config, emit, engine)


def _rank(
    sequences: Sequences, jobs: Sequence[Job], trained: Mapping[int, Trainer]
) -> Iterator[tuple[str, int | None]]:
    """Rank those trained just now, and who has no whole ranks: name and number of rows, if new."""
    jobs = [job for job in jobs if job.splits]
    if not jobs:
        return
    here = [job for job in jobs if job.seed in trained]
    rows = rank_trained({job.ranks: trained[job.seed] for job in here}, jobs[0].splits)
    yield from zip((job.name for job in here), rows, strict=True)
    for job in jobs:
        if job not in here:
            yield job.name, _rank_again(sequences, job)


def _rank_again(sequences: Sequences, job: Job) -> int | None:
    """Rank a training that was finished before, unless whole ranks are there."""
    try:
        read_written(job.ranks)
        return None
    except ModelError:
        return rank_loaded(sequences, job.output, job.ranks, splits=job.splits)


def _list(sequences: Sequences, job: Job) -> None:
    """Write what a training puts first for each test user, unless that is there and whole.

    The multiseed kernels rank without keeping a list: after them one more pass is made.
    """
    if "test" not in job.splits:
        return
    try:
        read_written(job.output / LISTS)
    except ModelError:
        list_loaded(sequences, job.output)


def _failed(jobs: Sequence[Job], cause: str, emit: Emit) -> dict[str, str]:
    for job in jobs:
        emit({"event": "failed", "run": job.name, "message": cause})
    return {job.name: cause for job in jobs}


def _in_words(error: Exception) -> str:
    if isinstance(error, ModelError):
        return str(error)
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def _free_memory() -> None:
    """Give back what the last trainings held: their trainers and engine know each other."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
