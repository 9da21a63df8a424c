"""What data-parallel training covers."""

import torch
import torch.distributed as dist

from fpt_model.config import Config
from fpt_model.engines.contract import Refusal, next_items_alone, refused

SHARES = 8  # of a batch, whatever the number of ranks; what is drawn depends on them alone


def world_size() -> int:
    """How many ranks there are; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def cuts(config: Config) -> bool:
    """Whether the item table is cut by row over ranks, whose steps look up some rows of it."""
    return config.loss == "sampled_softmax" and world_size() > 1


def refuses(config: Config, _device: torch.device) -> Refusal | None:
    """Why this engine can't train that; None if it can."""
    size, world = config.batch_size, world_size()
    enough = size >= world, f"batch_size {size} on {world} ranks", "a user for each rank"
    few = world <= SHARES, f"{world} ranks", f"at most {SHARES}"
    return refused(next_items_alone(config), enough, few)
