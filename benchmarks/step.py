"""Microseconds of a training step on this GPU: fused kernels, any number of seeds side by side.

    python benchmarks/step.py --sequences S --model tisasrec --seeds 1 8 --reference DIR

Sizes are the paper's. A time is the median over epochs, each one replay of its graph. With a
checkout of the public TiSASRec.pytorch its step (always TiSASRec's) is timed in the same run.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from reference import Reference, seconds

from fpt_model.config import VARIANTS, resolve
from fpt_model.data import Sequences, load
from fpt_model.fused.trainer import FusedGroup
from fpt_model.train import device_name, device_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, required=True)
    parser.add_argument("--model", choices=VARIANTS, default="tisasrec")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--reference", type=Path, help="checkout of TiSASRec.pytorch")
    parser.add_argument("--profile", action="store_true", help="list the kernels of a step")
    asked = parser.parse_args()
    device = device_of("cuda")
    sequences = load(asked.sequences).to(device)
    print(f"{device_name(device)}, torch {torch.__version__}, {asked.model}")
    for seeds in asked.seeds:
        measure(sequences, asked.model, seeds, asked.epochs, profile=asked.profile)
    if asked.reference:
        with Reference(asked.reference, sequences, device) as reference:
            seconds(reference.step, 10)  # its samplers' queue fills, CUDA warms up
            step = statistics.median(seconds(reference.step, 94))  # two epochs
        print(f"reference: {step * 1e6:.0f} µs a step")


def measure(sequences: Sequences, model: str, seeds: int, epochs: int, *, profile: bool) -> None:
    began = time.perf_counter()
    group = FusedGroup(resolve(model, "paper"), range(seeds), sequences)
    group.run_epoch()  # compiles and records
    torch.cuda.synchronize()
    ready = time.perf_counter() - began
    engine = group.engine
    step = statistics.median(epoch_seconds(engine.graph) for _ in range(epochs)) / engine.steps
    print(
        f"seeds {seeds}: {step * 1e6:.0f} µs a step, {step * 1e6 / seeds:.0f} µs a seed-step, "
        f"ready after {ready:.1f} s, {torch.cuda.max_memory_allocated() >> 20} MiB at most"
    )
    if profile:
        list_kernels(engine.graph, engine.steps)


def epoch_seconds(graph: torch.cuda.CUDAGraph) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    graph.replay()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def list_kernels(graph: torch.cuda.CUDAGraph, steps: int) -> None:
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiled:
        graph.replay()
        torch.cuda.synchronize()
    kernels = sorted(profiled.key_averages(), key=lambda kernel: -kernel.device_time_total)
    for kernel in kernels:
        if kernel.device_time_total:
            print(f"  {kernel.key:24} {kernel.device_time_total / steps:8.1f} µs")


if __name__ == "__main__":
    main()
