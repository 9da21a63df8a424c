"""One part of a batch on its way through the encoder and back.

The same model as `fpt_model.model.encoder`, which tests compare it with.

Letters: B batch, N queries of a window, T sequence, D width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fpt_model.data.sequences import Windows
from fpt_model.engines.cpu.attention import Attention, attention_mask
from fpt_model.engines.cpu.by_item import ByItem
from fpt_model.engines.cpu.chance import Chance, scale_of
from fpt_model.engines.cpu.layers import Affine, Dropout, Norm, Placed, by_place
from fpt_model.engines.cpu.near import Near, NearByItem, near_pairs
from fpt_model.engines.cpu.pairs import Pairs
from fpt_model.engines.cpu.weights import BlockWeights, Weights
from fpt_model.features import Feature
from fpt_model.model.encoder import Encoder


class Passage:
    """Used once: `forward`, then `back`.

    Args:
        model: whose settings and data count, not its weights.
        weights: what PyTorch does not follow.
        windows: of B users.
        chance: of dropout; None outside of training.
    """

    def __init__(
        self,
        model: Encoder,
        weights: Weights,
        windows: Windows,
        chance: Chance | None,
    ) -> None:
        config = model.config
        self.config, self.edges, self.weights, self.windows = config, model.edges, weights, windows
        self.features = [feature for feature, _ in model.tables()]
        self.padded = (windows.items == 0).sum(1)
        self.chance, self.dropout = chance, Dropout(chance)
        self.scale = math.sqrt(config.width) * (scale_of(config.dropout) if chance else 1.0)
        self.norm = Norm(weights.norm, weights.shift)

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
        return self.norm.forward(self._block(last, *self._seen(1)).latest(x))

    def _from_items(self, weights: BlockWeights, by_item: ByItem) -> Tensor:
        """What comes out of the first block, (B, T, D)."""
        items, heads = self.windows.items, self.config.heads
        queries = items[:, None].expand(-1, heads, -1).flatten().int()  # (B·H·T,)
        near = NearByItem(*self._near(items.shape[1]), queries, by_item.near)
        block = self._block(weights, self._mask(items.shape[1]), near)
        return block.forward_of(*(torch.embedding(table, items) for table in by_item[:4]))

    def _through(self, x: Tensor, blocks: Sequence[BlockWeights]) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        seen = self._seen(x.shape[1]) if blocks else ()
        self.blocks = [self._block(weights, *seen) for weights in blocks]
        for block in self.blocks:
            x = block.forward(x)
        return x

    def _block(self, weights: BlockWeights, mask: Tensor, near: Near | None) -> "BlockPass":
        keys, values = weights.keys, weights.values
        attention = Attention(self.config.heads, mask, near, keys, values, self.chance)
        return BlockPass(weights, attention, self.chance)

    def _seen(self, latest: int) -> tuple[Tensor, Near | None]:
        """The mask and the near pairs of the latest N positions."""
        near = Near(*self._near(latest)) if self.config.intervals else None
        return self._mask(latest), near

    def _mask(self, latest: int) -> Tensor:
        shape = self.windows.items.shape[1], latest, self.config.heads
        return attention_mask(self.padded, *shape, self.weights.items.dtype)

    def _near(self, latest: int) -> tuple[Pairs, Tensor]:
        known = self.config.time_span, self.edges, self.config.heads, latest
        return near_pairs(self.windows, self.padded, *known)

    def back(self, slopes: Tensor, items: Tensor) -> Weights:
        """Slopes (B·T, D) of the features to those of the weights.

        Args:
            slopes: used up.
            items: (I + 1, item_width) slopes by the scores; those by the inputs are added.
        """
        # last norm and blocks, from the last to the first
        slopes = self.norm.back(slopes)
        for block in reversed(self.blocks):
            slopes = block.back(slopes)

        # inputs: dropout, positions, tables
        slopes = self.dropout.back(slopes.view(*self.windows.items.shape, -1))  # (B, T, D)
        places = by_place(slopes, self.weights.places)
        items, *others = self._of_tables(slopes * self.scale, items)
        norm, shift = self.norm.slopes
        return Weights(
            items=items,
            others=tuple(others),
            places=places,
            blocks=tuple(block.slopes for block in self.blocks),
            norm=norm,
            shift=shift,
        )

    def _inputs(self) -> Tensor:
        """(B, T, D); see `Encoder`."""
        weights, length = self.weights, self.windows.items.shape[1]
        parts = [
            self._looked_up(feature, table)
            for feature, table in zip(self.features, self._tables(), strict=True)
        ]
        x = torch.cat(parts, 2).mul_(self.scale)
        if not self.config.intervals:
            x += weights.places[-length:]
        return self.dropout.forward(x)

    def _tables(self) -> tuple[Tensor, ...]:
        return self.weights.items, *self.weights.others

    def _looked_up(self, feature: Feature, table: Tensor) -> Tensor:
        """(B, T, its width)."""
        found = torch.embedding(table, getattr(self.windows, feature.name))
        if feature.per == "sequence":
            return found[:, None].expand(-1, self.windows.items.shape[1], -1)
        return found

    def _of_tables(self, slopes: Tensor, items: Tensor) -> tuple[Tensor, ...]:
        """Slopes (B, T, D) of the inputs to those of their tables, on top of those of items."""
        tables = [items, *map(torch.zeros_like, self.weights.others)]
        parts = slopes.split([table.shape[1] for table in tables], 2)
        for feature, table, own in zip(self.features, tables, parts, strict=True):
            ids = getattr(self.windows, feature.name)
            if feature.per == "sequence":
                table.index_add_(0, ids, own.sum(1))
            else:
                table.index_add_(0, ids.flatten(), own.flatten(0, 1))
        return tuple(tables)


class BlockPass:
    """Through one block and back; see `fpt_model.model.encoder.Block`."""

    def __init__(self, weights: BlockWeights, attention: Attention, chance: Chance | None) -> None:
        w = weights
        self.attention = attention
        self.attention_norm = Norm(w.attention_norm, w.attention_shift)
        self.query = Affine(w.query, w.query_bias)
        self.key, self.value = Placed(w.key, w.key_places), Placed(w.value, w.value_places)
        self.pointwise_norm = Norm(w.pointwise_norm, w.pointwise_shift)
        self.first, self.second = Affine(w.first, w.first_bias), Affine(w.second, w.second_bias)
        self.inner_dropout, self.outer_dropout = Dropout(chance), Dropout(chance)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        shape = x.shape[:2]

        # queries come from the normed input, keys and values from the input itself
        asked = self.attention_norm.forward(x.flatten(0, 1))  # (B·T, D)
        query = self.query.forward(asked).unflatten(0, shape)
        key, value = self.key.forward(x), self.value.forward(x)
        return self._meet(asked, query, key, value)

    def forward_of(self, asked: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """`forward` of what is known of each token, (B, T, D) all; there is no way back."""
        key, value = self.key.placed(key), self.value.placed(value)
        return self._meet(asked.flatten(0, 1), query, key, value)

    def latest(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, D), of the latest position."""
        asked = self.attention_norm.forward(x[:, -1])
        query = self.query.forward(asked)
        return self._pointwise(self.attention.latest(query, x, self.key, self.value).add_(asked))

    def _meet(self, asked: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Inputs normalised (B·T, D), and what tokens meet by, (B, T, D), to (B, T, D)."""
        x = self.attention.forward(query, key, value).flatten(0, 1).add_(asked)
        return self._pointwise(x).unflatten(0, query.shape[:2])

    def _pointwise(self, x: Tensor) -> Tensor:
        x = self.pointwise_norm.forward(x)
        self.hidden = self.inner_dropout.forward(self.first.forward(x).relu_())
        return self.outer_dropout.forward(self.second.forward(self.hidden)).add_(x)

    def back(self, slopes: Tensor) -> Tensor:
        """Slopes (B·T, D) of all positions' outputs to those of the inputs."""
        # pointwise layers; their input is also the residual
        inner = self.second.back(self.outer_dropout.back(slopes))
        # nothing passes where ReLU or dropout left a zero
        inner = torch.ops.aten.threshold_backward(inner, self.hidden, 0)
        slopes = self.pointwise_norm.back(self.first.back(inner, beside=slopes))

        # attention, then what its queries, keys and values are made of
        query, key, value = self.attention.back(slopes)
        slopes = self.query.back(query.flatten(0, 1), beside=slopes)
        slopes = self.attention_norm.back(slopes)
        slopes = self.value.back(value, beside=self.key.back(key, beside=slopes))

        self.slopes = BlockWeights(
            *self.attention_norm.slopes,
            *self.query.slopes,
            *self.key.slopes,
            *self.value.slopes,
            *self.attention.slopes,
            *self.pointwise_norm.slopes,
            *self.first.slopes,
            *self.second.slopes,
        )
        return slopes
