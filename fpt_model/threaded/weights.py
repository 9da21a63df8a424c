"""The weights of a step as its passes take them.

What a pass would do to every token is done here once to weights: the scale of the scores, the scale
of what dropout leaves, positions and the intervals' last row on top of biases. PyTorch follows
these few small products, so slopes of a pass's weights become those of the model's parameters.

Letters: D width, H heads, W = D / H, R interval rows, T sequence.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor

from fpt_model.layers import dropout
from fpt_model.model import Block, Encoder
from fpt_model.threaded.chance import scale_of


class BlockWeights(NamedTuple):
    """Of one block, or their slopes.

    Attributes:
        attention_norm, attention_shift: (D,).
        query, query_bias: (D, D) and (D,), over √W.
        memory: (2·D, D), to keys and values.
        memory_places: (T, 2·D), what each place adds to them.
        keys, values: (H·(R - 1), W), rows of the interval tables less the last; empty without.
        pointwise_norm, pointwise_shift: (D,).
        first, first_bias, second, second_bias: (D, D) and (D,), the pointwise layers.
    """

    attention_norm: Tensor
    attention_shift: Tensor
    query: Tensor
    query_bias: Tensor
    memory: Tensor
    memory_places: Tensor
    keys: Tensor
    values: Tensor
    pointwise_norm: Tensor
    pointwise_shift: Tensor
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor


class Weights(NamedTuple):
    """Of the encoder, or their slopes.

    Attributes:
        items, weeks, users: tables; empty where the model has none.
        places: (T, D), what each place adds to the input, dropout's scale included; zero with
            intervals.
        blocks: of each block.
        norm, shift: (D,), the last LayerNorm.
    """

    items: Tensor
    weeks: Tensor
    users: Tensor
    places: Tensor
    blocks: tuple[BlockWeights, ...]
    norm: Tensor
    shift: Tensor

    def tensors(self) -> Iterator[Tensor]:
        """All of them, in one order."""
        for value in self:
            yield from (
                (x for block in value for x in block) if isinstance(value, tuple) else [value]
            )

    def detached(self) -> "Weights":
        """The same numbers, which PyTorch does not follow."""
        plain = {name: value.detach() for name, value in self._asdict().items() if name != "blocks"}
        blocks = tuple(BlockWeights(*(x.detach() for x in block)) for block in self.blocks)
        return Weights(blocks=blocks, **plain)


def weights_of(model: Encoder, training: bool) -> Weights:
    """The weights as they are now, tables with dropout of their own for each block."""
    config = model.config
    scale = scale_of(config.dropout) if training else 1.0
    rate = config.dropout if training else 0.0
    items = model.items.weight
    nothing = items.new_zeros(0, 0)
    shape = config.max_length, config.width
    return Weights(
        items=items,
        weeks=nothing if model.weeks is None else model.weeks.weight,
        users=nothing if model.users is None else model.users.weight,
        places=items.new_zeros(shape) if config.intervals else model.positions[0] * scale,
        blocks=tuple(_block(model, cast(Block, block), rate, scale) for block in model.blocks),
        norm=model.norm.weight,
        shift=model.norm.bias,
    )


def _block(model: Encoder, block: Block, rate: float, scale: float) -> BlockWeights:
    """Dropout's scale of the attention weights is that of the values here."""
    heads = model.config.heads
    small = 1 / math.sqrt(model.config.width // heads)
    of_keys: Tensor = block.key.bias  # (D,), or (T, D)
    of_values: Tensor = block.value.bias
    keys = values = block.key.weight.new_zeros(0, model.config.width // heads)
    if model.config.intervals:
        (keys, _), (values, last) = (_table(dropout(x, rate), heads) for x in model.intervals)
        of_keys = of_keys + dropout(model.positions[0], rate)
        of_values = of_values + dropout(model.positions[1], rate) + last
    places = torch.cat([of_keys, of_values * scale], -1)  # (2·D,) or (T, 2·D)
    return BlockWeights(
        attention_norm=block.norm_attention.weight,
        attention_shift=block.norm_attention.bias,
        query=block.query.weight * small,
        query_bias=block.query.bias * small,
        memory=torch.cat([block.key.weight, block.value.weight * scale]),
        memory_places=places.expand(model.config.max_length, -1),
        keys=keys,
        values=values * scale,
        pointwise_norm=block.norm_pointwise.weight,
        pointwise_shift=block.norm_pointwise.bias,
        first=block.pointwise_1.weight,
        first_bias=block.pointwise_1.bias,
        second=block.pointwise_2.weight * scale**2,
        second_bias=block.pointwise_2.bias * scale,
    )


def _table(table: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """(R, D) to the rows less the last, (H·(R - 1), W), and the last, (D,)."""
    less = table[:-1] - table[-1]
    return less.unflatten(1, (heads, -1)).transpose(0, 1).flatten(0, 1), table[-1]
