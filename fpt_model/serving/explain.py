"""What a model looks at: the attention weights of the latest position, block by block.

Letters: B batch, H heads, T sequence.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch
from fpt_model.model.encoder import Encoder


@torch.no_grad()
def attention_of(model: Encoder, windows: SequenceBatch, users: Tensor | None = None) -> Tensor:
    """Weights with which the last position of each window attends to every position.

    Args:
        model: the encoder.
        windows: B of them.
        users: as in `Encoder.forward`.

    Returns:
        (B, blocks, H, T); each row sums to 1. Padded positions have 0, unless the model looks at
        them (mask `queries`). HSTU's weights sum to anything, and some are below zero: theirs are
        shares of the absolute values, which say how much a place counts, not in which direction.
    """
    weights: list[Tensor] = []

    def watch(x: Tensor, site: str) -> Tensor:
        """Drops nothing."""
        if site.endswith(".attention"):
            weights.append(x[:, :, -1])
        return x

    model.eval()(windows, latest=1, users=users, dropout=watch)
    found = torch.stack(weights, dim=1)
    if model.config.block == "hstu":
        found = F.normalize(found, p=1, dim=3).abs()
    return found
