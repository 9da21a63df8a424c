"""One part of a batch on its way through the encoder and back.

The same model as `fpt_model.model.encoder`, which tests compare it with.

Letters: B batch, N queries of a window, T sequence, D width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch
from fpt_model.engines.cpu.attention import Attention, attention_mask
from fpt_model.engines.cpu.by_item import ByItem
from fpt_model.engines.cpu.layers import (
    Dropout,
    LayerNorm,
    Linear,
    PositionalLinear,
    sum_over_batch,
)
from fpt_model.engines.cpu.pairs import Pairs
from fpt_model.engines.cpu.rng import Rng, dropout_scale
from fpt_model.engines.cpu.unclipped import UnclippedPairs, UnclippedPairsByItem, unclipped_pairs
from fpt_model.engines.cpu.weights import BlockWeights, Weights
from fpt_model.features import Feature
from fpt_model.model.encoder import Encoder


class ForwardBackward:
    """Used once: `forward`, then `backward`.

    Args:
        model: whose settings and data count, not its weights.
        weights: what PyTorch does not follow.
        windows: of B users.
        rng: of dropout; None outside of training.
    """

    def __init__(
        self,
        model: Encoder,
        weights: Weights,
        windows: SequenceBatch,
        rng: Rng | None,
    ) -> None:
        self.model, config = model, model.config
        self.config, self.edges, self.weights, self.windows = config, model.edges, weights, windows
        self.features = [feature for feature, _ in model.tables()]
        self.padded = (windows.items == 0).sum(1)
        self.rng, self.dropout = rng, Dropout(rng)
        self.scale = math.sqrt(config.width) * (dropout_scale(config.dropout) if rng else 1.0)
        self.norm = LayerNorm(weights.norm, weights.shift)

    def forward(self) -> Tensor:
        """Features of all positions, (B·T, D)."""
        x = self._through(self._inputs(), self.weights.blocks)
        return self.norm.forward(x.flatten(0, 1))

    def latest(self, by_item: ByItem | None = None) -> Tensor:
        """Features of the latest position of each window, (B, D); there is no way back.

        Args:
            by_item: of the same weights; what is known of items is not computed by token.
        """
        # all blocks but the last one, of all positions
        *before, last = self.weights.blocks
        if before and by_item is not None:
            x = self._from_items(before.pop(0), by_item)
        else:
            x = self._inputs()

        # the last block, of the latest position alone
        x = self._through(x, before)
        return self.norm.forward(self._block(last, *self._mask_and_pairs(1)).latest(x))

    def _from_items(self, weights: BlockWeights, by_item: ByItem) -> Tensor:
        """What comes out of the first block, (B, T, D)."""
        items, heads = self.windows.items, self.config.heads
        queries = items[:, None].expand(-1, heads, -1).flatten().int()  # (B·H·T,)
        unclipped = UnclippedPairsByItem(
            *self._unclipped(items.shape[1]), queries, by_item.unclipped
        )
        block = self._block(weights, self._mask(items.shape[1]), unclipped)
        return block.forward_of(*(torch.embedding(table, items) for table in by_item[:4]))

    def _through(self, x: Tensor, blocks: Sequence[BlockWeights]) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        seen = self._mask_and_pairs(x.shape[1]) if blocks else ()
        self.blocks = [self._block(weights, *seen) for weights in blocks]
        for block in self.blocks:
            x = block.forward(x)
        return x

    def _block(
        self, weights: BlockWeights, mask: Tensor, unclipped: UnclippedPairs | None
    ) -> "BlockPass":
        keys, values = weights.keys, weights.values
        attention = Attention(self.config.heads, mask, unclipped, keys, values, self.rng)
        return BlockPass(weights, attention, self.rng)

    def _mask_and_pairs(self, latest: int) -> tuple[Tensor, UnclippedPairs | None]:
        """The mask and the unclipped pairs of the latest N positions."""
        unclipped = UnclippedPairs(*self._unclipped(latest)) if self.config.intervals else None
        return self._mask(latest), unclipped

    def _mask(self, latest: int) -> Tensor:
        shape = self.windows.items.shape[1], latest, self.config.heads
        return attention_mask(self.padded, *shape, self.weights.items.dtype)

    def _unclipped(self, latest: int) -> tuple[Pairs, Tensor]:
        known = self.config.time_span, self.edges, self.config.heads, latest
        return unclipped_pairs(self.windows, self.padded, *known)

    def backward(self, grad: Tensor, items: Tensor) -> Weights:
        """Gradients (B·T, D) of the features to those of the weights.

        Args:
            grad: used up.
            items: (I + 1, item_width) gradients by the scores; those by the inputs are added.
        """
        # last norm and blocks, from the last to the first
        grad = self.norm.backward(grad)
        for block in reversed(self.blocks):
            grad = block.backward(grad)

        # inputs: dropout, positions, tables
        grad = self.dropout.backward(grad.view(*self.windows.items.shape, -1))  # (B, T, D)
        positions = sum_over_batch(grad, self.weights.positions)
        items, *others = self._table_grads(grad * self.scale, items)
        norm, shift = self.norm.grads
        return Weights(
            items=items,
            others=tuple(others),
            positions=positions,
            blocks=tuple(block.grads for block in self.blocks),
            norm=norm,
            shift=shift,
        )

    def _inputs(self) -> Tensor:
        """(B, T, D); see `Encoder`."""
        weights, length = self.weights, self.windows.items.shape[1]
        parts = [
            self._embedding(feature, table)
            for feature, table in zip(self.features, self._tables(), strict=True)
        ]
        x = torch.cat(parts, 2).mul_(self.scale)
        if not self.config.intervals:
            x += weights.positions[-length:]
        return self.dropout.forward(x)

    def _tables(self) -> tuple[Tensor, ...]:
        return self.weights.items, *self.weights.others

    def _embedding(self, feature: Feature, table: Tensor) -> Tensor:
        """(B, T, its width)."""
        found = torch.embedding(table, self.model.numbers(feature, self.windows))
        if feature.per == "sequence":
            return found[:, None].expand(-1, self.windows.items.shape[1], -1)
        return found.sum(2) if feature.per == "item" else found

    def _table_grads(self, grad: Tensor, items: Tensor) -> tuple[Tensor, ...]:
        """Gradients (B, T, D) of the inputs to those of their tables, on top of those of items."""
        tables = [items, *map(torch.zeros_like, self.weights.others)]
        parts = grad.split([table.shape[1] for table in tables], 2)
        for feature, table, own in zip(self.features, tables, parts, strict=True):
            numbers = self.model.numbers(feature, self.windows)
            if feature.per == "sequence":
                table.index_add_(0, numbers, own.sum(1))
            elif feature.per == "token":
                table.index_add_(0, numbers.flatten(), own.flatten(0, 1))
            else:
                shared = own[:, :, None].expand(*numbers.shape, -1)
                table.index_add_(0, numbers.flatten(), shared.flatten(0, 2))
                table[0] = 0
        return tuple(tables)


class BlockPass:
    """Through one block and back; see `fpt_model.model.encoder.Block`."""

    def __init__(self, weights: BlockWeights, attention: Attention, rng: Rng | None) -> None:
        w = weights
        self.attention = attention
        self.attention_norm = LayerNorm(w.attention_norm, w.attention_shift)
        self.query = Linear(w.query, w.query_bias)
        self.key, self.value = (
            PositionalLinear(w.key, w.key_positions),
            PositionalLinear(w.value, w.value_positions),
        )
        self.pointwise_norm = LayerNorm(w.pointwise_norm, w.pointwise_shift)
        self.first = Linear(w.first, w.first_bias, relu=True)
        self.second = Linear(w.second, w.second_bias)
        self.inner_dropout, self.outer_dropout = Dropout(rng), Dropout(rng)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        shape = x.shape[:2]

        # queries come from the normed input, keys and values from the input itself
        normed = self.attention_norm.forward(x.flatten(0, 1))  # (B·T, D)
        query = self.query.forward(normed).unflatten(0, shape)
        key, value = self.key.forward(x), self.value.forward(x)
        return self._attend(normed, query, key, value)

    def forward_of(self, normed: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """`forward` of what is known of each token, (B, T, D) all; there is no way back."""
        key, value = self.key.add_positions(key), self.value.add_positions(value)
        return self._attend(normed.flatten(0, 1), query, key, value)

    def latest(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, D), of the latest position."""
        normed = self.attention_norm.forward(x[:, -1])
        query = self.query.forward(normed)
        return self._pointwise(self.attention.latest(query, x, self.key, self.value).add_(normed))

    def _attend(self, normed: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Inputs normalised (B·T, D), and what tokens meet by, (B, T, D), to (B, T, D)."""
        x = self.attention.forward(query, key, value).flatten(0, 1).add_(normed)
        return self._pointwise(x).unflatten(0, query.shape[:2])

    def _pointwise(self, x: Tensor) -> Tensor:
        x = self.pointwise_norm.forward(x)
        self.hidden = self.inner_dropout.forward(self.first.forward(x))
        return self.outer_dropout.onto(self.second.forward(self.hidden), x)

    def backward(self, grad: Tensor) -> Tensor:
        """Gradients (B·T, D) of all positions' outputs to those of the inputs."""
        # pointwise layers; their input is also the residual
        d_hidden = self.second.backward(self.outer_dropout.backward(grad))
        # nothing passes where ReLU or dropout left a zero
        d_hidden = torch.ops.aten.threshold_backward(d_hidden, self.hidden, 0)
        grad = self.pointwise_norm.backward(self.first.backward(d_hidden, into=grad))

        # attention, then what its queries, keys and values are made of
        query, key, value = self.attention.backward(grad)
        grad = self.query.backward(query.flatten(0, 1), into=grad)
        grad = self.attention_norm.backward(grad)
        grad = self.value.backward(value, into=self.key.backward(key, into=grad))

        self.grads = BlockWeights(
            *self.attention_norm.grads,
            *self.query.grads,
            *self.key.grads,
            *self.value.grads,
            *self.attention.grads,
            *self.pointwise_norm.grads,
            *self.first.grads,
            *self.second.grads,
        )
        return grad
