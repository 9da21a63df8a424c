"""What a model looks at: the attention weights of the latest position, block by block.

A forward pass keeps no weights, so they are computed again, for one query, from what each block
was given. Letters: B batch, H heads, T sequence, W width of a head.
"""

import math
from typing import Any, cast

import torch
from torch import Tensor

from fpt_model.data import Windows
from fpt_model.intervals import interval_rows
from fpt_model.model import Block, Encoder, Time


@torch.no_grad()
def attention_of(model: Encoder, windows: Windows, users: Tensor | None = None) -> Tensor:
    """Weights with which the last position of each window attends to every position.

    Args:
        model: the plain encoder.
        windows: B of them.
        users: as in `Encoder.forward`.

    Returns:
        (B, blocks, H, T); each row sums to 1. Padded positions have 0, unless the model looks at
        them (mask `queries`).
    """
    given: list[tuple[Any, ...]] = []
    hooks = [
        block.register_forward_pre_hook(lambda _, inputs: given.append(inputs))
        for block in model.blocks
    ]
    try:
        model.eval()(windows, latest=1, users=users)
    finally:
        for hook in hooks:
            hook.remove()
    rows = _rows(model, windows)
    weights = [
        _weights(cast(Block, block), x, mask[:, :, -1], time, rows)
        for block, (x, mask, time) in zip(model.blocks, given, strict=True)
    ]
    return torch.stack(weights, dim=1)


def _rows(model: Encoder, windows: Windows) -> Tensor:
    """Row of the interval table between each position and the last, (B, T)."""
    # where padding is looked at, it lies one unit before the first interaction
    times = torch.where(windows.items > 0, windows.times, -windows.scales[:, None])
    gaps = (windows.asked[:, -1:] - times) // windows.scales[:, None]
    return interval_rows(gaps, model.config.time_span, model.edges)


def _weights(block: Block, x: Tensor, mask: Tensor, time: Time | None, rows: Tensor) -> Tensor:
    """(B, H, T) of one block that was given x (B, T, D) and may look where mask (B, 1, T) is."""
    q = block.query(block.norm_attention(x[:, -1:]))  # (B, 1, D)
    k = block.key(x)
    if time is not None:
        k = k + time.positions[0] + time.intervals[0][rows]
    q, k = (part.unflatten(2, (block.heads, -1)).transpose(1, 2) for part in (q, k))
    scores = (q @ k.transpose(2, 3))[:, :, 0] / math.sqrt(q.shape[3])  # (B, H, T)
    return scores.masked_fill(~mask, float("-inf")).softmax(2)
