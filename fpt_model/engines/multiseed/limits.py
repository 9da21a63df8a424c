"""What the kernels on tiles in registers cover; nothing here needs Triton."""

import torch

from fpt_model.config import Config
from fpt_model.data import device_limit
from fpt_model.engines.contract import Refusal, needs_of_kernels, next_items_alone, refused

MAX_WIDTH, MAX_LENGTH = 128, 64


def refuses(config: Config, device: torch.device) -> Refusal | None:
    """Why this engine can't train that; None if it can."""
    return refused(
        *needs_of_kernels(config, device),
        next_items_alone(config),
        (config.heads == 1, f"heads {config.heads}", "one head"),
        (config.loss == "bce", f"loss {config.loss}", "loss bce"),
        (config.width <= MAX_WIDTH, f"width {config.width}", f"width to {MAX_WIDTH}"),
        (
            config.max_length <= MAX_LENGTH,
            f"max_length {config.max_length}",
            f"max_length to {MAX_LENGTH}",
        ),
        _all_on_the_device(device),
    )


def _all_on_the_device(device: torch.device) -> tuple[bool, object, str]:
    """An epoch's windows lie on the GPU, for all seeds: a limit on histories would not hold."""
    unlimited = device.type != "cuda" or device_limit.limit() is None
    return unlimited, f"a limit by {device_limit.NAME}", f"no {device_limit.NAME}"
