"""What the kernels on tokens without padding cover; nothing here needs Triton."""

import torch

from fpt_model.config import Config
from fpt_model.engines.contract import Refusal, all_items_or_one, needs_of_kernels, refused

MAX_PAIRS = 2**31  # pairs of tokens are counted in int32


def refuses(config: Config, device: torch.device) -> Refusal | None:
    """Why this engine can't train that; None if it can."""
    pairs = config.batch_size * config.heads * config.max_length**2
    found = f"batch_size {config.batch_size}, heads {config.heads}, max_length {config.max_length}"
    few = pairs < MAX_PAIRS, found, "batch_size x heads x max_length² below 2^31"
    return refused(*needs_of_kernels(config, device), all_items_or_one(config), few)
