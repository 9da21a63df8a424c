"""Milliseconds of a training step of the encoder itself (`--engine plain`), settings by settings.

    python benchmarks/encoder_step.py --sequences S

A time is the median over epochs, by loops around the steps alone, without validation. On a GPU each
step is a CUDA graph that is replayed; what could not be captured is said. Memory is the most of a
training in a process of its own.
"""

import argparse
import statistics
from multiprocessing import get_context
from pathlib import Path

import torch
from large_step import LARGE, run_epoch

from fpt_model.config import Setting, resolve
from fpt_model.data.sequences import load
from fpt_model.engines.choose import device_name, device_of
from fpt_model.training.trainer import trainer_of

Changes = dict[str, Setting]
UNSEEN: Changes = {"loss": "softmax", "rivals": "unseen", "rating_width": 16, "moment": "request"}
CASES: dict[str, tuple[str, Changes]] = {
    "TiSASRec, preset paper": ("tisasrec", {}),
    "SAS-FPT, preset paper": ("sas_fpt", {}),
    "SASRec, preset paper": ("sasrec", {}),
    "SSE-PT, preset paper": ("sse_pt", {}),
    "TiSASRec, mask=queries": ("tisasrec", {"mask": "queries"}),
    "TiSASRec, two heads, windows=random": ("tisasrec", {"heads": 2, "windows": "random"}),
    "SAS-FPT, softmax, rivals=unseen, ratings, moment=request": ("sas_fpt", UNSEEN),
    "large": ("sas_fpt", LARGE),
    "large, four heads": ("sas_fpt", LARGE | {"heads": 4}),
    "large, mask=queries": ("sas_fpt", LARGE | {"mask": "queries"}),
    "large, rivals=unseen": ("sas_fpt", LARGE | {"rivals": "unseen"}),
    "large, loss=bce": ("sas_fpt", LARGE | {"loss": "bce"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--only", default="", help="part of a case's name")
    asked = parser.parse_args()
    print(f"{device_name(device_of('cuda'))}, torch {torch.__version__}")
    for name, (model, changes) in CASES.items():
        if asked.only in name:
            with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
                step, memory, said = pool.apply(
                    measure, (model, changes, asked.sequences, asked.epochs)
                )
            print(f"{name:58} {step:7.2f} ms {memory:6} MiB {said}", flush=True)


def measure(model: str, changes: Changes, path: Path, epochs: int) -> tuple[float, int, str]:
    """Milliseconds a step, MiB at most, and what the trainer had to say."""
    sequences = load(path).to(device_of("cuda"))
    trainer = trainer_of(resolve(model, "paper", changes), 0, sequences)
    notes: list[str] = []
    trainer.training.say = notes.append
    run_epoch(trainer)  # captures
    step = statistics.median(run_epoch(trainer) for _ in range(epochs)) / trainer.steps
    return step * 1e3, torch.cuda.max_memory_allocated() >> 20, "; ".join(notes)


if __name__ == "__main__":
    main()
