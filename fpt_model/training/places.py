"""Where trainings can go: every GPU of this machine, or so many of them."""

import os
from dataclasses import dataclass

import torch

from fpt_model.errors import ModelError


@dataclass(frozen=True)
class Place:
    """What one process trains on.

    Attributes:
        name: what people call it.
        device: `cuda` or `cpu`.
        visible: the one GPU that its process sees, as `CUDA_VISIBLE_DEVICES` has it.
    """

    name: str
    device: str
    visible: str = ""


def places_of(device: torch.device, gpus: int | None, processes: int = 1) -> list[Place]:
    """The places to train at.

    Args:
        device: what was asked for.
        gpus: how many; None for all.
        processes: how many on a CPU.

    Raises:
        ModelError: there are fewer GPUs.
    """
    found = _visible() if device.type == "cuda" else []
    if gpus and gpus > len(found):
        raise ModelError(
            "Fewer GPUs than asked for",
            got=len(found) if device.type == "cuda" else f"{len(found)} on device {device.type}",
            expected=f"{gpus}, for --gpus {gpus}",
            to_do="Leave --gpus out to take all there are",
        )
    if not found:
        return [Place(f"CPU process {number}", "cpu") for number in range(processes)]
    return [Place(f"GPU {name}", "cuda", name) for name in found[:gpus]]


def _visible() -> list[str]:
    """What `CUDA_VISIBLE_DEVICES` calls each GPU that this process sees."""
    count = torch.cuda.device_count()
    asked = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return asked.replace(" ", "").split(",")[:count] if asked else list(map(str, range(count)))
