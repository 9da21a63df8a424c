"""The weights of a step as its passes take them.

What a pass would do to every token is done here once to weights: the scale of the scores, the scale
of what dropout leaves, positions and the intervals' last row on top of biases. `assign_grads` is
the way back: gradients of a pass's weights become those of the model's parameters.

Letters: D width, H heads, W = D / H, R interval rows, T sequence.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from fpt_model.engines.cpu.rng import dropout_factors, dropout_scale
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


def _flat(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        else:
            yield from _flat(value)


def table_factors(model: Encoder) -> Tensor | None:
    """Dropout of the tables of time, (blocks, 2·R + 2·T, D), for each block its own; None without.

    By PyTorch's generator.
    """
    config = model.config
    if not (config.intervals and config.dropout):
        return None
    rows = sum(len(table) for table in _tables_of_time(model))
    like = model.items.weight.new_empty(config.blocks, rows, config.width)
    return dropout_factors(like, config.dropout)


@torch.no_grad()
def weights_of(model: Encoder, training: bool, factors: Tensor | None = None) -> Weights:
    """The weights as they are now, which PyTorch does not follow.

    Args:
        model: that has them.
        training: whether dropout is on.
        factors: see `table_factors`.
    """
    config = model.config
    scale = dropout_scale(config.dropout) if training else 1.0
    (_, items), *others = model.tables()
    shape = config.max_length, config.width
    return Weights(
        items=items.detach(),
        others=tuple(table.detach() for _, table in others),
        positions=items.new_zeros(shape) if config.intervals else model.positions[0] * scale,
        blocks=tuple(
            _block(cast(Block, block), time, scale)
            for block, time in zip(model.blocks, _times(model, factors), strict=True)
        ),
        norm=model.norm.weight.detach(),
        shift=model.norm.bias.detach(),
    )


@torch.no_grad()
def assign_grads(model: Encoder, grads: Weights, factors: Tensor | None) -> None:
    """Gradients of what `weights_of` gave in training, used up, become those of the parameters."""
    scale = dropout_scale(model.config.dropout)
    for (_, table), grad in zip(model.tables(), (grads.items, *grads.others), strict=True):
        table.grad = grad
    for block, own in zip(model.blocks, grads.blocks, strict=True):
        _assign_block(cast(Block, block), own, scale)
    if model.config.intervals:
        _assign_times(model, grads.blocks, scale, factors)
    else:
        model.positions[0].grad = grads.positions.mul_(scale)
    model.norm.weight.grad, model.norm.bias.grad = grads.norm, grads.shift


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


def _tables_of_time(model: Encoder) -> list[Tensor]:
    """Two of intervals and two of places, of keys and of values."""
    return [*model.intervals, *model.positions]


def _times(model: Encoder, factors: Tensor | None) -> list[_Time]:
    """Of each block, with dropout of its own."""
    config = model.config
    heads = config.heads
    if not config.intervals:
        nothing = model.items.weight.new_zeros(0, config.width // heads)
        positions = nothing.new_zeros(config.max_length, config.width)
        return [_Time(nothing, nothing, positions, positions)] * config.blocks

    tables = _tables_of_time(model)
    every = torch.cat(tables).expand(config.blocks, -1, -1)
    rows = [len(table) for table in tables]
    return [
        _time(one.split(rows), heads) for one in (every if factors is None else every * factors)
    ]


def _assign_times(
    model: Encoder, grads: Sequence[BlockWeights], scale: float, factors: Tensor | None
) -> None:
    """See `assign_grads`: the way back of `_times`, and of what `_block` makes of them."""
    tables, heads = _tables_of_time(model), model.config.heads
    found = torch.stack([torch.cat(_time_grads(own, heads, scale)) for own in grads])
    summed = (found if factors is None else found.mul_(factors)).sum(0)
    for table, grad in zip(tables, summed.split([len(table) for table in tables]), strict=True):
        table.grad = grad


def _time_grads(own: BlockWeights, heads: int, scale: float) -> tuple[Tensor, ...]:
    """A block's, of tables as they were joined."""
    value_positions = own.value_positions * scale
    values = _of_rows(own.values * scale, heads)
    values[-1] += value_positions.sum(0)
    return _of_rows(own.keys, heads), values, own.key_positions, value_positions


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


def _scale_of_scores(block: Block) -> float:
    """1/√W; on queries it falls once, not on every score."""
    return 1 / math.sqrt(block.query.out_features // block.heads)


def _block(block: Block, time: _Time, scale: float) -> BlockWeights:
    """Dropout's scale of the attention weights is that of the values here."""
    small = _scale_of_scores(block)

    # second's two factors: its own dropout's and that of the hidden layer before it
    return BlockWeights(
        attention_norm=block.norm_attention.weight.detach(),
        attention_shift=block.norm_attention.bias.detach(),
        query=block.query.weight * small,
        query_bias=block.query.bias * small,
        key=block.key.weight.detach(),
        key_positions=block.key.bias + time.key_positions,
        value=block.value.weight * scale,
        value_positions=(block.value.bias + time.value_positions) * scale,
        keys=time.keys,
        values=time.values * scale,
        pointwise_norm=block.norm_pointwise.weight.detach(),
        pointwise_shift=block.norm_pointwise.bias.detach(),
        first=block.pointwise_1.weight.detach(),
        first_bias=block.pointwise_1.bias.detach(),
        second=block.pointwise_2.weight * scale**2,
        second_bias=block.pointwise_2.bias * scale,
    )


def _assign_block(block: Block, own: BlockWeights, scale: float) -> None:
    """The way back of `_block`, but for the tables of time."""
    small = _scale_of_scores(block)
    for layer, weight, bias in (
        (block.norm_attention, own.attention_norm, own.attention_shift),
        (block.query, own.query.mul_(small), own.query_bias.mul_(small)),
        (block.key, own.key, own.key_positions.sum(0)),
        (block.value, own.value.mul_(scale), own.value_positions.sum(0).mul_(scale)),
        (block.norm_pointwise, own.pointwise_norm, own.pointwise_shift),
        (block.pointwise_1, own.first, own.first_bias),
        (block.pointwise_2, own.second.mul_(scale**2), own.second_bias.mul_(scale)),
    ):
        layer.weight.grad, layer.bias.grad = weight, bias


def _relative_to_last(table: Tensor, heads: int) -> Tensor:
    """(R, D) to the rows less the last, (H·(R - 1), W)."""
    less = table[:-1] - table[-1]
    return less.unflatten(1, (heads, -1)).transpose(0, 1).flatten(0, 1)


def _of_rows(grads: Tensor, heads: int) -> Tensor:
    """The way back of `_relative_to_last`: (H·(R - 1), W) to (R, D)."""
    less = grads.unflatten(0, (heads, -1)).transpose(0, 1).flatten(1)
    return torch.cat([less, less.sum(0, keepdim=True).neg_()])
