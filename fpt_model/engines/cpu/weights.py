"""The weights of a step as its passes take them.

What a pass would do to every token is done here once to weights: the scale of the scores, the scale
of what dropout leaves, positions and the intervals' last row on top of biases. PyTorch follows
these few small products, so gradients of a pass's weights become those of the model's parameters.

Letters: D width, H heads, W = D / H, R interval rows, T sequence.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from fpt_model.engines.cpu.rng import dropout, dropout_scale
from fpt_model.model.encoder import Block, Encoder


class BlockWeights(NamedTuple):
    """Of one block, or their gradients.

    Attributes:
        attention_norm, attention_shift: (D,).
        query, query_bias: (D, D) and (D,), over √W.
        key, key_positions: (D, D) and (T, D), what each place adds.
        value, value_positions: likewise.
        keys, values: (H·(R - 1), W), rows of the interval tables less the last; empty without.
        pointwise_norm, pointwise_shift: (D,).
        first, first_bias, second, second_bias: (D, D) and (D,), the pointwise layers.
    """

    attention_norm: Tensor
    attention_shift: Tensor
    query: Tensor
    query_bias: Tensor
    key: Tensor
    key_positions: Tensor
    value: Tensor
    value_positions: Tensor
    keys: Tensor
    values: Tensor
    pointwise_norm: Tensor
    pointwise_shift: Tensor
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor


class Weights(NamedTuple):
    """Of the encoder, or their gradients.

    Attributes:
        items: their table.
        others: those of the other inputs that there are, in the order of `features`.
        positions: (T, D), what each place adds to the input, dropout's scale included; zero with
            intervals.
        blocks: of each block.
        norm, shift: (D,), the last LayerNorm.
    """

    items: Tensor
    others: tuple[Tensor, ...]
    positions: Tensor
    blocks: tuple[BlockWeights, ...]
    norm: Tensor
    shift: Tensor

    def tensors(self) -> Iterator[Tensor]:
        """All of them, in one order."""
        return _flat(self)

    def detached(self) -> "Weights":
        """The same numbers, which PyTorch does not follow."""
        blocks = tuple(BlockWeights(*(x.detach() for x in block)) for block in self.blocks)
        others = tuple(x.detach() for x in self.others)
        items, positions, norm, shift = (
            x.detach() for x in (self.items, self.positions, self.norm, self.shift)
        )
        return Weights(items, others, positions, blocks, norm, shift)


def _flat(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        else:
            yield from _flat(value)


def weights_of(model: Encoder, training: bool) -> Weights:
    """The weights as they are now, tables with dropout of their own for each block."""
    config = model.config
    scale = dropout_scale(config.dropout) if training else 1.0
    (_, items), *others = model.tables()
    shape = config.max_length, config.width
    return Weights(
        items=items,
        others=tuple(table for _, table in others),
        positions=items.new_zeros(shape) if config.intervals else model.positions[0] * scale,
        blocks=tuple(
            _block(cast(Block, block), time, scale)
            for block, time in zip(model.blocks, _times(model, training), strict=True)
        ),
        norm=model.norm.weight,
        shift=model.norm.bias,
    )


class _Time(NamedTuple):
    """What a block knows of time.

    Attributes:
        keys, values: (H·(R - 1), W), see `BlockWeights`.
        key_positions, value_positions: (T, D), what each place adds to keys and values.
    """

    keys: Tensor
    values: Tensor
    key_positions: Tensor
    value_positions: Tensor


def _times(model: Encoder, training: bool) -> list[_Time]:
    """Of each block, with dropout of its own."""
    config = model.config
    heads = config.heads
    if not config.intervals:
        nothing = model.items.weight.new_zeros(0, config.width // heads)
        positions = nothing.new_zeros(config.max_length, config.width)
        return [_Time(nothing, nothing, positions, positions)] * config.blocks

    tables = [*model.intervals, *model.positions]
    # all at once: PyTorch follows few operations then
    every = torch.cat(tables).expand(config.blocks, -1, -1)
    dropped = dropout(every, config.dropout if training else 0.0)
    rows = [len(table) for table in tables]
    return [_time(one.split(rows), heads) for one in dropped]


def _time(tables: Sequence[Tensor], heads: int) -> _Time:
    """Tables as they were joined, two of intervals and two of places."""
    keys, values, key_positions, value_positions = tables
    last = values[-1]
    return _Time(
        _relative_to_last(keys, heads),
        _relative_to_last(values, heads),
        key_positions,
        value_positions + last,
    )


def _block(block: Block, time: _Time, scale: float) -> BlockWeights:
    """Dropout's scale of the attention weights is that of the values here."""
    small = 1 / math.sqrt(block.query.out_features // block.heads)

    # 1/√W falls on queries once, not on every score; second's two factors: its own dropout's and
    # that of the hidden layer before it
    return BlockWeights(
        attention_norm=block.norm_attention.weight,
        attention_shift=block.norm_attention.bias,
        query=block.query.weight * small,
        query_bias=block.query.bias * small,
        key=block.key.weight,
        key_positions=block.key.bias + time.key_positions,
        value=block.value.weight * scale,
        value_positions=(block.value.bias + time.value_positions) * scale,
        keys=time.keys,
        values=time.values * scale,
        pointwise_norm=block.norm_pointwise.weight,
        pointwise_shift=block.norm_pointwise.bias,
        first=block.pointwise_1.weight,
        first_bias=block.pointwise_1.bias,
        second=block.pointwise_2.weight * scale**2,
        second_bias=block.pointwise_2.bias * scale,
    )


def _relative_to_last(table: Tensor, heads: int) -> Tensor:
    """(R, D) to the rows less the last, (H·(R - 1), W)."""
    less = table[:-1] - table[-1]
    return less.unflatten(1, (heads, -1)).transpose(0, 1).flatten(0, 1)
