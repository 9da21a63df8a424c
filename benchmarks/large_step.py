"""Microseconds of a large training step on this GPU: captured steps, full softmax, long windows.

    python benchmarks/large_step.py --sequences S --heads 1 --profile

SAS-FPT at T = 200, item 128 + week 32 + user 32, two blocks, B = 128, dropouts and Adam included. A
time is the median over epochs, all that an epoch needs included, divided by its users / 128.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
import triton
from results import Result, add_arguments, command, keep, versions

from fpt_model.config import Config, Setting, resolve
from fpt_model.data.sequences import Sequences, load
from fpt_model.engines.choose import device_name, device_of
from fpt_model.training.trainer import Trainer, trainer_of

WARM = 5  # epochs; each can have steps of a length that is new, and is recorded
LARGE: dict[str, Setting] = {
    "max_length": 200,
    "item_width": 128,
    "week_width": 32,
    "user_width": 32,
    "loss": "softmax",
    "blocks": 2,
    "batch_size": 128,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="list the kernels of a step")
    parser.add_argument("--plain", action="store_true", help="time the plain trainer as well")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    add_arguments(parser)
    asked = parser.parse_args()
    if (asked.record or asked.record_to) and asked.set:
        parser.error("only the settings above are recorded: no --set")
    device = device_of("cuda")
    other = dict(pair.split("=", 1) for pair in asked.set)
    config = resolve("sas_fpt", "paper", LARGE | {"heads": asked.heads} | other)
    sequences = load(asked.sequences).to(device)
    print(f"{device_name(device)}, torch {torch.__version__}, triton {triton.__version__}")
    ours = measure("graphed", config, sequences, asked.epochs, profile=asked.profile)
    plain = measure("plain", config, sequences, 1, profile=False) if asked.plain else None
    keep(
        asked,
        Result(
            name="large_step",
            ours=ours,
            unit="µs a step",
            device=device_name(device),
            versions=versions("torch", "triton"),
            command=command(),
            reference=plain,
            ratio=plain / ours if plain else None,
        ),
    )


def measure(
    engine: str, config: Config, sequences: Sequences, epochs: int, *, profile: bool
) -> float:
    """Median µs a step."""
    began = time.perf_counter()
    trainer = trainer_of(config, 0, sequences, engine)
    run_epoch(trainer)  # compiles and records
    ready = time.perf_counter() - began
    for _ in range(WARM):
        run_epoch(trainer)
    full_steps = len(trainer.training.rows) / config.batch_size
    step = statistics.median(run_epoch(trainer) for _ in range(epochs)) / full_steps * 1e6
    print(
        f"{engine}, heads {config.heads}: {step:.0f} µs a step, ready after {ready:.1f} s, "
        f"{torch.cuda.max_memory_allocated() >> 20} MiB at most"
    )
    if profile:
        list_kernels(trainer)
    return step


def run_epoch(trainer: Trainer) -> float:
    """Seconds of an epoch without its validation."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(trainer.steps):
        trainer.step()
    torch.cuda.synchronize()
    trainer.progress.step = 0
    trainer.progress.epoch += 1
    return time.perf_counter() - began


def list_kernels(trainer: Trainer) -> None:
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiled:
        run_epoch(trainer)
    steps = len(trainer.training.rows) / trainer.config.batch_size
    kernels = sorted(profiled.key_averages(), key=lambda kernel: -kernel.device_time_total)
    for kernel in kernels:
        if kernel.device_time_total:
            each, count = kernel.device_time_total / steps, kernel.count / steps
            print(f"  {kernel.key[:90]:90} {count:5.1f} {each:8.1f} µs")


if __name__ == "__main__":
    main()
