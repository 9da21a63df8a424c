"""Many trainings on one GPU and on several, in turn: seconds of each, and whether bits are alike.

    python benchmarks/gpus.py --five-core S --cold-start S --folder F --record

Two lists of trainings, each by `train-all` from the start of its process to its end: both tables of
the paper (TiSASRec, TiSASRec+, TiSASRec++ and SAS-FPT on 5-core data, TiSASRec and SAS-FPT on
cold-start data, preset `paper`) and SAS-FPT with preset `best` on 5-core data, five seeds each.
Before that a short run of each compiles the kernels, so that neither side waits for Triton. Weights
and ranks of both sides must be the same to the byte; exit code 1 if they are not.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from harness import ROOT, Row, job, write_jobs
from results import Result, add_arguments, command, keep, versions

from fpt_model.config import resolve

LADDER = ("tisasrec", "tisasrec_plus", "tisasrec_plus_plus", "sas_fpt")
# name: preset, and models by kind of data
LISTS: dict[str, tuple[str, Mapping[str, tuple[str, ...]]]] = {
    "tables": ("paper", {"five_core": LADDER, "cold_start": ("tisasrec", "sas_fpt")}),
    "best": ("best", {"five_core": ("sas_fpt",)}),
}
SHORT = 6  # epochs that meet every kernel: users are clustered before the sixth
COMPARED = ("best.safetensors", "ranks.parquet", "lists.parquet")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--five-core", type=Path, required=True, help="sequences file")
    parser.add_argument("--cold-start", type=Path, required=True, help="sequences file")
    parser.add_argument("--folder", type=Path, required=True, help="for runs and events")
    parser.add_argument("--gpus", type=int, default=2, help="beside one")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=LISTS, help="one of the lists")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    add_arguments(parser)
    asked = parser.parse_args()
    return max([measure(name, asked) for name in LISTS if asked.only in (None, name)])


def measure(name: str, asked: argparse.Namespace) -> int:
    """Train a list on one GPU and on several; whether they differ."""
    for gpus in (1, asked.gpus):
        train(f"{name}-short-{gpus}", list(jobs(name, asked, SHORT)), gpus, asked.folder)
    took = {
        gpus: train(f"{name}-{gpus}", list(jobs(name, asked)), gpus, asked.folder)
        for gpus in (1, asked.gpus)
    }
    one, many = took.values()
    different = differing(asked.folder / f"{name}-1", asked.folder / f"{name}-{asked.gpus}")
    print(f"{name}: {one:.1f} s on 1, {many:.1f} s on {asked.gpus}: {one / many:.2f} times")
    print(f"  files that differ: {', '.join(different) or 'none'}", flush=True)
    used, known = device(asked.gpus), versions("torch", *(["triton"] if on_gpu() else []))
    keep(
        asked,
        Result(f"gpus_{name}", many, "s", used, known, command(), reference=one, ratio=one / many),
    )
    return int(bool(different))


def jobs(name: str, asked: argparse.Namespace, epochs: int | None = None) -> Iterator[Row]:
    """Rows of a jobs file."""
    preset, models = LISTS[name]
    settings = dict(pair.split("=", 1) for pair in asked.set)
    settings |= {"epochs": epochs} if epochs else {}
    for kind, of_kind in models.items():
        for model in of_kind:
            for seed in range(asked.seeds):
                config = resolve(model, preset, settings).to_dict()
                path, output = getattr(asked, kind).resolve(), f"runs/{kind}-{model}-{seed}"
                yield job(path, output, config, seed)


def train(name: str, rows: list[Row], gpus: int, folder: Path) -> float:
    """Seconds of `train-all`. Its events go to a file, each with the second of its arrival."""
    place = folder.resolve() / name
    shutil.rmtree(place, ignore_errors=True)
    write_jobs(place / "jobs.json", rows)
    words = ["--gpus", str(gpus)] if on_gpu() else ["--device", "cpu", "--cpu-processes", str(gpus)]
    program = [sys.executable, "-m", "fpt_model", "train-all", "--jobs", str(place / "jobs.json")]
    began = time.perf_counter()
    with (
        (place / "events.jsonl").open("w") as events,
        (place / "log").open("w") as log,
        subprocess.Popen(
            [*program, *words], stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            at = {"at": round(time.perf_counter() - began, 3)}
            events.write(json.dumps(at | json.loads(line)) + "\n")
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{name} failed: {(place / 'log').read_text()[-2000:]}")
    return seconds


def differing(one: Path, other: Path) -> list[str]:
    """Files of weights, ranks and lists that are not the same."""
    paths = [path.relative_to(one) for path in sorted(one.glob("runs/*/*"))]
    return [
        str(path)
        for path in paths
        if path.name in COMPARED and (one / path).read_bytes() != (other / path).read_bytes()
    ]


def on_gpu() -> bool:
    return torch.cuda.is_available()


def device(gpus: int) -> str:
    name = torch.cuda.get_device_name() if on_gpu() else "CPU"
    return f"{gpus} x {name}, beside one of them"


if __name__ == "__main__":
    raise SystemExit(main())
