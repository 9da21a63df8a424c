"""Milliseconds of a training step of the encoder itself (`--engine reference`), by settings.

    python benchmarks/encoder_step.py --sequences S

A time is the median over epochs, by loops around the steps alone, without validation. On a GPU each
step is a CUDA graph that is replayed; what could not be captured is said. Memory is the most of a
training in a process of its own.
"""

import argparse
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch
from timing import LARGE, Trainings, facts, load

Changes = dict[str, Any]
UNSEEN: Changes = {
    "loss": "softmax",
    "exclude_seen": True,
    "rating_width": 16,
    "time_reference": "query",
}
CASES: dict[str, tuple[str, Changes]] = {
    "TiSASRec, preset paper": ("tisasrec", {}),
    "SAS-FPT, preset paper": ("sas_fpt", {}),
    "SASRec, preset paper": ("sasrec", {}),
    "SSE-PT, preset paper": ("sse_pt", {}),
    "TiSASRec, mask=queries": ("tisasrec", {"mask": "queries"}),
    "TiSASRec, two heads, windows=random": ("tisasrec", {"heads": 2, "windows": "random"}),
    "SAS-FPT, softmax, exclude_seen=true, ratings, time_reference=query": ("sas_fpt", UNSEEN),
    "large": ("sas_fpt", LARGE),
    "large, four heads": ("sas_fpt", LARGE | {"heads": 4}),
    "large, mask=queries": ("sas_fpt", LARGE | {"mask": "queries"}),
    "large, exclude_seen=true": ("sas_fpt", LARGE | {"exclude_seen": True}),
    "large, loss=bce": ("sas_fpt", LARGE | {"loss": "bce"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--only", default="", help="part of a case's name")
    asked = parser.parse_args()
    print(facts())
    for name, case in CASES.items():
        if asked.only in name:
            with get_context("spawn").Pool(1) as pool:
                told = pool.apply(measure, (*case, asked.sequences, asked.epochs))
            print(f"{name:58} {told}", flush=True)


def measure(model: str, changes: Changes, path: Path, epochs: int) -> str:
    """Milliseconds a step, MiB at most, and what the trainer had to say."""
    some = Trainings(model, load(path), changes, engine="reference")
    notes: list[str] = []
    some.members[0].training.say = notes.append
    some.seconds()  # captures
    step = median(some.seconds(epochs)) / some.steps * 1e3
    return f"{step:7.2f} ms {torch.cuda.max_memory_allocated() >> 20:6} MiB {'; '.join(notes)}"


if __name__ == "__main__":
    main()
