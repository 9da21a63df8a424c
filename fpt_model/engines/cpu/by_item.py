"""What the first block does to a token before tokens meet, done to items instead.

Where nothing but its item's vector goes into a token (no week, user or place) and nothing is
dropped, the token's query, key and value follow from the item. An evaluation has tokens by the
hundred of each item.

Letters: B batch, T sequence, D width, H heads, W width of a head, I items, R interval rows.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.engines.cpu.layers import LayerNorm, Linear, MatMul
from fpt_model.engines.cpu.weights import Weights

PRODUCTS = 2**24  # of items with interval rows, at most: 64 MB


class ByItem(NamedTuple):
    """Of each item, in the first block.

    Attributes:
        normed: (I + 1, D), normalised inputs.
        query, key, value: (I + 1, D); keys and values without what their places add.
        unclipped: (I + 1, H·(R - 1)), products of queries with `BlockWeights.keys`.
    """

    normed: Tensor
    query: Tensor
    key: Tensor
    value: Tensor
    unclipped: Tensor


def by_item(config: Config, weights: Weights) -> ByItem | None:
    """Outside of training; None where more goes into a token, or items are too many."""
    first, items, heads = weights.blocks[0], weights.items, config.heads
    alone = config.intervals and items.shape[1] == config.width
    if not alone or len(items) * len(first.keys) > PRODUCTS:
        return None

    # the first block's own layers, of every item's vector
    x = items * math.sqrt(config.width)
    normed = LayerNorm(first.attention_norm, first.attention_shift).forward(x)
    query = Linear(first.query, first.query_bias).forward(normed)
    key, value = (MatMul(weight).forward(x) for weight in (first.key, first.value))

    # products with every interval row
    keys = first.keys.unflatten(0, (heads, -1))  # (H, R - 1, W)
    unclipped = torch.einsum("ihw,hrw->ihr", query.unflatten(1, (heads, -1)), keys)
    return ByItem(normed, query, key, value, unclipped.flatten(1).contiguous())
