"""What the benchmarks of a GPU share: its clock, what it is, and the command's own settings."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from results import versions

from fpt_model.engines.choose import device_name, device_of

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts


def facts() -> dict[str, Any]:
    """Of a `results.Result`: the device and the packages that matter."""
    device = device_name(device_of("cuda"))
    return {"device": device, "versions": versions("torch", "triton")}


def seconds(work: Callable[[], object]) -> float:
    """Until the GPU has done it, from a GPU that has nothing else to do."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def several(work: Callable[[], object], times: int) -> list[float]:
    """Of each call, see `seconds`."""
    return [seconds(work) for _ in range(times)]


@contextlib.contextmanager
def as_our_command() -> Iterator[None]:
    """`python -m fpt_model` computes so; other code as published does not."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    yield
    torch.use_deterministic_algorithms(False)
