"""Other libraries' models and ours on one split, by one evaluation, on one machine.

    pip install 'rectools[torch]==0.19.0' 'replay-rec[torch]==0.22.0' safetensors
    git clone https://github.com/pmixer/TiSASRec.pytorch
    python benchmarks/peers/run.py measure --sequences S --reference TiSASRec.pytorch --output F
    python benchmarks/peers/run.py record --output F

`measure` times the steps of each model, one after the other with nothing beside it, then trains
each by its fastest setting. What is finished is not done again; a training that was stopped, or
whose time was up, goes on from its last validation. A model that fails is told with the reason;
the others go on. `record` writes docs/results/peers.json and the tables of docs/peers.md. Both
libraries can be installed together on Python 3.13.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any

from turns import LOCK, READY, all_ready, held

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from harness import RESULTS, ROOT, Row, put, read_json, short, table, write_json  # noqa: E402

BEGAN = time.monotonic()
FILES = {"steps": "steps.json", "train": "result.json"}
FAILED = "failed-{}.txt"
QUALITY = [
    "model", "all items: validation", "all items: test", "100 sampled items: validation",
    "100 sampled items: test", "best epoch", "it stopped",
]  # fmt: skip
SPEED = ["model", "ms a step, as published", "fastest", "times ours", "s to its best epoch"]
STOPPED = {"time": "its time was up", "patience": "no longer better", "epochs": "its last epoch"}


@dataclass(frozen=True)
class Job:
    """A model.

    Attributes:
        title: of the tables.
        library: whose it is; the name of a script.
        model: what the script calls it.
        beside: the title of ours that is likest to it, whose step its own is compared with.
    """

    title: str
    library: str
    model: str
    beside: str = ""

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.library}-{self.model}"


OURS, RECTOOLS, REPLAY, PUBLIC = "ours", "with_rectools", "with_replay", "with_tisasrec_pytorch"
PAPER, COMPACT = "ours: TiSASRec, `paper`", "ours: TiSASRec, `compact`"
BEST = "ours: SASRec, `best`"
REQUEST = "ours: SAS-FPT, `best_request` (knows the request)"
JOBS = [
    Job(PAPER, OURS, "tisasrec_paper"),
    Job(COMPACT, OURS, "tisasrec_compact"),
    Job(BEST, OURS, "sasrec_best"),
    Job("ours: SAS-FPT, `best`", OURS, "sas_fpt_best"),
    Job(REQUEST, OURS, "sas_fpt_request"),
    Job("RecTools: SASRec", RECTOOLS, "sasrec", BEST),
    Job("RecTools: eSASRec", RECTOOLS, "esasrec", BEST),
    Job("RecTools: HSTU (knows the request)", RECTOOLS, "hstu", REQUEST),
    Job("RePlay: SasRec with intervals", REPLAY, "tisasrec", COMPACT),
    Job("TiSASRec.pytorch", PUBLIC, "tisasrec", PAPER),
]
Running = dict[Job, "subprocess.Popen[bytes]"]


def main() -> None:
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if asked.command == "record":
        record(asked.output, JOBS)  # what stood on the page of the others would be lost
        return
    jobs = [job for job in JOBS if not asked.only or job.name in asked.only]
    if "steps" in asked.what:
        time_steps(jobs, asked)
    if "train" in asked.what:
        train(jobs, asked)
    print(tables(rows_of(asked.output, jobs)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("measure", help="time steps, train, rank")
    measure.add_argument("--what", nargs="+", choices=list(FILES), default=list(FILES))
    measure.add_argument("--sequences", type=Path, required=True)
    measure.add_argument("--reference", type=Path, help="checkout of TiSASRec.pytorch")
    measure.add_argument("--device", default="cuda")
    measure.add_argument("--minutes", type=float, default=10.0, help="of a training")
    measure.add_argument("--in-all", type=float, default=inf, help="minutes of all trainings")
    measure.add_argument("--at-once", type=int, default=1, help="trainings; steps are timed alone")
    measure.add_argument("--threads", nargs="*", default=["1", "2", "4", "8"], help="to try")
    measure.add_argument("--only", nargs="+", choices=[job.name for job in JOBS], default=[])
    commands.add_parser("record", help="write docs/results/peers.json and docs/peers.md")
    for command in commands.choices.values():
        command.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


def start(job: Job, what: str, asked: argparse.Namespace) -> "subprocess.Popen[bytes]":
    """A job's script, its errors into a file."""
    folder = asked.output / job.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / READY).unlink(missing_ok=True)
    options = {
        "model": job.model,
        "sequences": asked.sequences,
        "output": folder,
        "reference": asked.reference,
        "device": asked.device,
        "minutes": min(asked.minutes, minutes_left(asked)),
        "at-most": threads_each(asked.at_once),
    }
    given = [(f"--{name}", str(value)) for name, value in options.items() if value is not None]
    words = [sys.executable, str(HERE / f"{job.library}.py"), what, *chain(*given)]
    words += ["--threads", *asked.threads]
    with (folder / FAILED.format(what)).open("wb") as errors:
        return subprocess.Popen(words, stderr=errors, env=os.environ | {"PYTHONUNBUFFERED": "1"})


def minutes_left(asked: argparse.Namespace) -> float:
    """Of those for all trainings."""
    return float(asked.in_all - (time.monotonic() - BEGAN) / 60)


def threads_each(at_once: int) -> int | None:
    """Of trainings side by side, so that none waits for another's; None: as it was timed."""
    if at_once == 1:
        return None
    return max(1, len(os.sched_getaffinity(0)) // at_once)


def ended(job: Job, what: str, asked: argparse.Namespace, status: int) -> None:
    """Say how a job ended; only of a failed one the errors are kept."""
    errors = asked.output / job.name / FAILED.format(what)
    if status == 0:
        errors.unlink()
    else:
        print(f"{job.name} {what}: failed, {reason(errors)}", flush=True)


def reason(errors: Path) -> str:
    """The last line of a file of errors."""
    lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "without a word"


def left(jobs: Sequence[Job], what: str, asked: argparse.Namespace) -> list[Job]:
    """What is not finished."""
    done = {"steps": Path.exists, "train": converged}[what]
    return [job for job in jobs if not done(asked.output / job.name / FILES[what])]


def converged(result: Path) -> bool:
    """Whether a training ended by itself."""
    return result.exists() and read_json(result)["stopped_because"] != "time"


@contextmanager
def closing(running: Running) -> Iterator[None]:
    """Whatever happens, nothing is left running: interrupted, a peer ends its own processes too."""
    try:
        yield
    finally:
        for process in running.values():
            process.send_signal(signal.SIGINT)
        for process in running.values():
            process.wait()


def time_steps(jobs: Sequence[Job], asked: argparse.Namespace) -> None:
    """All get ready side by side; then each has the machine for itself."""
    running: Running = {}
    with closing(running):
        with held(asked.output / LOCK):
            running |= {job: start(job, "steps", asked) for job in left(jobs, "steps", asked)}
            waited = {
                asked.output / job.name: lambda one=one: one.poll() is not None
                for job, one in running.items()
            }
            while not all_ready(waited):
                time.sleep(0.2)
        while running:
            end_some(running, "steps", asked)


def train(jobs: Sequence[Job], asked: argparse.Namespace) -> None:
    """Each to its end, some at once; none begins in the last minute."""
    waiting, running = left(jobs, "train", asked), Running()
    with closing(running):
        while running or (waiting and minutes_left(asked) >= 1):
            while waiting and len(running) < asked.at_once and minutes_left(asked) >= 1:
                job = waiting.pop(0)
                running[job] = start(job, "train", asked)
            end_some(running, "train", asked)


def end_some(running: Running, what: str, asked: argparse.Namespace) -> None:
    """Take those that have ended out; wait a moment."""
    for job in [job for job, process in running.items() if process.poll() is not None]:
        ended(job, what, asked, running.pop(job).returncode)
    time.sleep(0.2)


def rows_of(output: Path, jobs: Sequence[Job]) -> list[Row]:
    """What was measured of each job, or why something was not."""
    found = []
    for job in jobs:
        row: Row = {"name": job.name, "title": job.title, "beside": job.beside}
        for what, name in FILES.items():
            result, failed = (output / job.name / one for one in (name, FAILED.format(what)))
            if result.exists():
                row |= read_json(result)
            elif failed.exists():
                row["failed"] = reason(failed)
        found.append(row)
    return found


def record(output: Path, jobs: Sequence[Job]) -> None:
    rows = rows_of(output, jobs)
    write_json(RESULTS / "peers.json", rows)
    put(ROOT / "docs" / "peers.md", "peers", tables(rows))


def tables(rows: Sequence[Row]) -> str:
    """Of quality and speed as far as they are known, of each setting, and what is not measured."""
    timed = [[row["title"], one["words"], ms(one)] for row in rows for one in row.get("steps", [])]
    parts = [table(["model", "setting", "ms a step"], timed)]
    trained = sorted((row for row in rows if "quality" in row), key=test_ndcg, reverse=True)
    if trained:
        speeds = [speed_row(row, rows) for row in rows if "steps" in row]
        first = [table(QUALITY, [quality_row(row) for row in trained]), table(SPEED, speeds)]
        parts = [*first, *parts]
    for what, key in (("timed", "steps"), ("trained", "quality")):
        missing = [unmeasured(row) for row in rows if key not in row]
        if missing:
            named = "all" if len(missing) == len(rows) else "; ".join(missing)
            parts.append(f"Not {what} yet: {named}.")
    return "\n\n".join(parts)


def unmeasured(row: Row) -> str:
    """A model, and why if that is known."""
    return f"{row['title']} ({row['failed']})" if "failed" in row else str(row["title"])


def test_ndcg(row: Row) -> float:
    """Among all items, by which the table of quality is sorted."""
    return float(row["quality"]["test"]["full"]["ndcg_10"])


def quality_row(row: Row) -> list[str]:
    """Recall@10 / NDCG@10 of both splits among all items, then of both among 100."""
    found = [
        " / ".join(
            short(row["quality"][split][protocol][name]) for name in ("recall_10", "ndcg_10")
        )
        for protocol in ("full", "uniform_100")
        for split in ("valid", "test")
    ]
    epochs = f"{row['best_epoch']} of {row['epoch']}"
    return [row["title"], *found, epochs, STOPPED[row["stopped_because"]]]


def speed_row(row: Row, rows: Sequence[Row]) -> list[str]:
    """Its first setting is as published; the fastest one beside that of ours."""
    cells = [row["title"], ms(row["steps"][0]), ms({"ms": fastest(row)}), times_ours(row, rows)]
    return [*cells, to_best(row) if "quality" in row else ""]


def times_ours(row: Row, rows: Sequence[Row]) -> str:
    """How many steps of the model of ours that is likest to it one of its own lasts, and which."""
    for one in rows:
        if one["title"] == row["beside"] and "steps" in one:
            name = row["beside"].removeprefix("ours: ").partition(" (")[0]
            return f"{fastest(row) / fastest(one):.0f} ({name})"
    return ""


def fastest(row: Row) -> float:
    """Milliseconds of a step."""
    return min(float(one["ms"]) for one in row["steps"])


def to_best(row: Row) -> str:
    """Seconds of steps up to the best epoch."""
    return f"{row['best_epoch'] * row['steps_an_epoch'] * fastest(row) / 1e3:.1f}"


def ms(step: dict[str, Any]) -> str:
    """Three digits.

    >>> ms({"ms": 57.31}), ms({"ms": 0.1297})
    ('57.3', '0.13')
    """
    return f"{step['ms']:.2f}" if step["ms"] < 10 else f"{step['ms']:.1f}"


if __name__ == "__main__":
    main()
