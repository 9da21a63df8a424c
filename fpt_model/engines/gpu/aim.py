"""Which kind of GPU kernels are compiled for: the one that is here, or one that is elsewhere."""

from types import SimpleNamespace
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

_elsewhere: list[int] = []  # the architecture that was aimed at last


def aim(backend: str, arch: int | str, warp_size: int) -> None:
    """From now on Triton compiles for such a GPU, and launches nothing."""
    target = GPUTarget(backend, arch, warp_size)
    one: Any = SimpleNamespace(
        get_current_target=lambda: target,
        get_current_device=lambda: 0,
        get_current_stream=lambda _: 0,
    )
    driver.set_active(one)
    _elsewhere[:] = [arch] if isinstance(arch, int) else []


def capability(device: torch.device) -> tuple[int, int]:
    """CUDA's compute capability, such as (9, 0); of a CPU, that of the GPU aimed at, or (0, 0)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)
    major, minor = divmod(_elsewhere[0] if _elsewhere else 0, 10)
    return major, minor
