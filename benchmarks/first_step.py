"""How long a training waits for its kernels to be compiled: after an installation, and again.

    python benchmarks/first_step.py --sequences S --other ../before --record

Each training starts in a process of its own, `python -m fpt_model train-all` on one GPU: first with
Triton's cache empty, as after an installation, then with what the first left there. What an
installation costs is the difference of both times from the start of the process to the end of its
first epoch; the longest of all trainings is recorded. Both checkouts use this Python's packages.

With `--kernels` this checkout's trainings start in turn once more: Triton's cache empty, as on a
machine that is rented, and a folder of kernels beside the jobs, as an export brings it along.
Another process has filled it, and it was moved since.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median

from results import Result, add_arguments, command, cpu, keep, versions

HERE = Path(__file__).parents[1]
TRAININGS = ("tisasrec,paper", "sas_fpt,paper", "sas_fpt,best")
SECONDS = 120.0  # to the first epoch, then it is given up


@dataclass(frozen=True)
class Wait:
    """Seconds from the start of the process to the end of the first epoch."""

    empty: float
    filled: float
    carried: float | None = None

    @property
    def compiling(self) -> float:
        """What is waited for after an installation alone."""
        return self.empty - self.filled

    @property
    def finding(self) -> float:
        """What is waited for on a new machine that kernels came along to."""
        return (self.filled if self.carried is None else self.carried) - self.filled


Waits = dict[Path, dict[str, list[Wait]]]
"""Of each checkout by training."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=Path, required=True, help="sequences file of ML-1M")
    parser.add_argument("--other", type=Path, help="a checkout to compare with")
    parser.add_argument(
        "--trainings", nargs="+", default=TRAININGS, metavar="MODEL,PRESET", help="what to train"
    )
    parser.add_argument("--kernels", action="store_true", help="time those that travelled, too")
    parser.add_argument("--runs", type=int, default=1, help="of each, in turn")
    parser.add_argument("--device", default="cuda", help="cpu: to try this script")
    add_arguments(parser)
    asked = parser.parse_args()
    checkouts = [*([asked.other.resolve()] if asked.other else []), HERE]
    found: Waits = {checkout: {} for checkout in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        sequences = _with_checksum(asked.sequences, Path(folder))
        turns = product(range(asked.runs), asked.trainings)
        for number, (_, training) in enumerate(turns):
            for checkout in checkouts:
                place = Path(folder, f"{number}-{checkouts.index(checkout)}")
                wait = _wait(checkout, training, sequences, place, asked.device)
                if asked.kernels and checkout == HERE:
                    seconds = _carried(checkout, training, sequences, place, asked.device)
                    wait = replace(wait, carried=seconds)
                found[checkout].setdefault(training, []).append(wait)
                shown = f"{checkout.name:20} {training:20} empty {wait.empty:6.2f} s"
                shown += f", filled {wait.filled:6.2f} s"
                shown += f", carried {wait.carried:6.2f} s" if wait.carried is not None else ""
                print(shown, flush=True)
            for result in _results(found, asked.device):  # of what is measured by now
                keep(asked, result)


def _results(found: Waits, device: str) -> Iterator[Result]:
    *others, ours = (worst(_medians(waits)) for waits in found.values())
    reference = others[0] if others else None
    ratio = reference / ours if reference and ours else None
    about = (_device(device), versions("torch", "triton"), command())
    yield Result("first_step", ours, "s", *about, reference, ratio)
    here = _medians(found[HERE])
    if any(wait.carried is not None for wait in here.values()):
        seconds = max(0.0, *(wait.finding for wait in here.values()))
        ratio = ours / seconds if seconds else None
        yield Result("first_step_carried", seconds, "s", *about, ours, ratio)


def _medians(waits: Mapping[str, Sequence[Wait]]) -> dict[str, Wait]:
    """By training."""
    return {
        training: Wait(
            median(one.empty for one in found),
            median(one.filled for one in found),
            median(carried) if (carried := _known(one.carried for one in found)) else None,
        )
        for training, found in waits.items()
    }


def _known(seconds: Iterable[float | None]) -> list[float]:
    return [one for one in seconds if one is not None]


def worst(waits: Mapping[str, Wait]) -> float:
    """The longest wait for compilation, never less than none."""
    return max(0.0, *(wait.compiling for wait in waits.values()))


def _device(name: str) -> str:
    import torch

    return cpu() if name == "cpu" else f"{torch.cuda.get_device_name()}, {cpu()}"


def _with_checksum(file: Path, folder: Path) -> Path:
    """A copy with its checksum beside it, as earlier versions want it."""
    copy = Path(shutil.copy(file, folder))
    sha256 = hashlib.sha256(copy.read_bytes()).hexdigest()
    Path(f"{copy}.sha256").write_text(f"{sha256}  {copy.name}\n", encoding="utf-8")
    return copy


def _wait(checkout: Path, training: str, sequences: Path, place: Path, device: str) -> Wait:
    folders = [place / str(number) for number in range(2)]
    all_jobs = [_jobs(training, sequences, folder) for folder in folders]
    return Wait(*(_started(checkout, jobs, place / "cache", device) for jobs in all_jobs))


def _carried(checkout: Path, training: str, sequences: Path, place: Path, device: str) -> float:
    """Seconds on a new machine, to which another one's kernels came."""
    one, other = place / "one", place / "other"
    (one / "kernels").mkdir(parents=True)  # on a CPU it stays empty
    jobs = _jobs(training, sequences, one, kernels="kernels")
    _started(checkout, jobs, one / "cache", device)
    jobs = _jobs(training, sequences, other, kernels="kernels")
    (one / "kernels").rename(other / "kernels")
    return _started(checkout, jobs, other / "cache", device)


def _started(checkout: Path, jobs: Path, cache: Path, device: str) -> float:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "TRITON_CACHE_DIR": str(cache)}
    words = ["train-all", "--jobs", str(jobs), "--device", device]
    return first_epoch([sys.executable, "-m", "fpt_model", *words], environment, checkout)


def _jobs(training: str, sequences: Path, folder: Path, **others: str) -> Path:
    """A file that asks for one training; its first epoch is not validated."""
    model, preset = training.split(",")
    config = {"model": model, "preset": preset, "epochs": 2, "validate_every": 2}
    job = {"sequences": str(sequences), "output": "run", "config": config, "seed": 0}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "jobs.json"
    path.write_text(json.dumps({"jobs": [job], "rank": ["valid"], **others}), encoding="utf-8")
    return path


def first_epoch(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> float:
    """Seconds until a training tells of its first epoch; then it is ended."""
    began = time.monotonic()
    with _running(words, environment, folder) as lines:
        for line in lines:
            if line.startswith("{") and json.loads(line)["event"] == "epoch":
                return time.monotonic() - began
    raise SystemExit(f"{' '.join(words)} ended before its first epoch")


@contextmanager
def _running(
    words: Sequence[str], environment: Mapping[str, str], folder: Path
) -> Iterator[Iterator[str]]:
    process = subprocess.Popen(
        ["timeout", "--kill-after=5", str(SECONDS), *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield iter(process.stdout)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


if __name__ == "__main__":
    main()
