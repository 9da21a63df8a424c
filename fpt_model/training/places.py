"""Where trainings can go: every GPU of this machine, or so many of them."""

import os
from dataclasses import dataclass

import torch

from fpt_model.errors import ModelError

AT_ONCE = 4  # on a CPU; each holds the data and an engine


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
    refuse_fewer(gpus, len(found), "" if device.type == "cuda" else f" on device {device.type}")
    if not found:
        return [Place(f"CPU process {number}", "cpu") for number in range(processes)]
    return [Place(f"GPU {name}", "cuda", name) for name in found[:gpus]]


def processes_on_cpu(trainings: int, threads: int) -> int:
    """How many processes share a CPU's threads, with at least one each.

    A training takes some two threads, which wait for each other; two trainings side by side take
    a fifth less time than one after the other.

    >>> [processes_on_cpu(trainings, 8) for trainings in (0, 1, 3, 40)]
    [1, 1, 3, 4]
    """
    return max(1, min(trainings, threads, AT_ONCE))


def refuse_fewer(asked: int | None, there: int, where: str = "") -> None:
    """Refuse to take more GPUs than there are.

    Raises:
        ModelError: so.
    """
    if asked and asked > there:
        raise ModelError(
            "Fewer GPUs than asked for",
            got=f"{there}{where}",
            expected=f"{asked}, for --gpus {asked}",
            to_do="Leave --gpus out to take all there are",
        )


def _visible() -> list[str]:
    """What `CUDA_VISIBLE_DEVICES` calls each GPU that this process sees."""
    count = torch.cuda.device_count()
    asked = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return asked.replace(" ", "").split(",")[:count] if asked else list(map(str, range(count)))
