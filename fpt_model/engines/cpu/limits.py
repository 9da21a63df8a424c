"""What the passes on a CPU's threads cover."""

import torch

from fpt_model.config import Config
from fpt_model.engines.contract import Refusal, all_items_or_one, needs_of_passes, refused


def refuses(config: Config, device: torch.device) -> Refusal | None:
    """Why this engine can't train that; None if it can."""
    on_cpu = device.type == "cpu", f"device {device.type}", "a CPU"
    return refused(on_cpu, *needs_of_passes(config), all_items_or_one(config))
