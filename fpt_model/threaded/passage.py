"""One part of a batch on its way through the encoder and back.

The same model as `fpt_model.model`, which tests compare it with. Letters: B batch, N queries of a
window, T sequence, D width.
"""

import math

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data import Windows
from fpt_model.threaded.attention import Attention, attention_mask
from fpt_model.threaded.chance import Chance, scale_of
from fpt_model.threaded.layers import Affine, Dropout, Norm, Product
from fpt_model.threaded.near import Near, near_of
from fpt_model.threaded.weights import BlockWeights, Weights


class Passage:
    """Used once: `forward`, then `back`.

    Args:
        config: settings.
        edges: see `Encoder`.
        weights: what PyTorch does not follow.
        windows: of B users.
        chance: of dropout; None outside of training.
    """

    def __init__(
        self,
        config: Config,
        edges: Tensor,
        weights: Weights,
        windows: Windows,
        chance: Chance | None,
    ) -> None:
        self.config, self.edges, self.weights, self.windows = config, edges, weights, windows
        self.chance, self.dropout = chance, Dropout(chance)
        self.scale = math.sqrt(config.width) * (scale_of(config.dropout) if chance else 1.0)
        self.norm = Norm(weights.norm, weights.shift)

    def forward(self, latest: int | None = None) -> Tensor:
        """Features (B·N, D), of the latest N positions of each window, or of all T."""
        windows, config = self.windows, self.config
        length = windows.items.shape[1]
        padded = (windows.items == 0).sum(1)
        mask = attention_mask(padded, length, config.heads, self.weights.items.dtype)
        seen = [length] * (config.blocks - 1) + [latest or length]
        near = {n: self._near(padded, n) for n in set(seen)} if config.intervals else {}
        x = self._inputs()  # (B, T, D)
        self.blocks = []
        for weights, n in zip(self.weights.blocks, seen, strict=True):
            attention = Attention(
                config.heads,
                mask[:, -n:],
                near.get(n),
                weights.keys,
                weights.values,
                self.chance,
            )
            block = BlockPass(weights, attention, self.chance)
            x = block.forward(x, n)
            self.blocks.append(block)
        return self.norm.forward(x.flatten(0, 1))

    def back(self, slopes: Tensor, items: Tensor) -> Weights:
        """Slopes (B·T, D) of the features to those of the weights.

        Args:
            slopes: used up.
            items: (I + 1, item_width) slopes by the scores; those by the inputs are added.
        """
        slopes = self.norm.back(slopes)
        for block in reversed(self.blocks):
            slopes = block.back(slopes)
        slopes = self.dropout.back(slopes.view(*self.windows.items.shape, -1))  # (B, T, D)
        places = _placed(slopes, self.weights.places)
        norm, shift = self.norm.slopes
        return Weights(
            *self._of_tables(slopes * self.scale, items),
            places=places,
            blocks=tuple(block.slopes for block in self.blocks),
            norm=norm,
            shift=shift,
        )

    def _inputs(self) -> Tensor:
        """(B, T, D); see `Encoder`."""
        weights, windows = self.weights, self.windows
        shape = windows.items.shape
        parts = [torch.embedding(weights.items, windows.items)]
        if len(weights.weeks):
            parts.append(torch.embedding(weights.weeks, windows.weeks))
        if len(weights.users):
            users = torch.embedding(weights.users, windows.users)[:, None]
            parts.append(users.expand(-1, shape[1], -1))
        x = torch.cat(parts, 2).mul_(self.scale)
        if not self.config.intervals:
            x += weights.places[-shape[1] :]
        return self.dropout.forward(x)

    def _of_tables(self, slopes: Tensor, items: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Slopes (B, T, D) of the inputs to those of items, weeks and users."""
        weights, windows, config = self.weights, self.windows, self.config
        of_items, of_weeks, of_users = slopes.split(
            (config.item_width, config.week_width, config.user_width), 2
        )
        weeks, users = torch.zeros_like(weights.weeks), torch.zeros_like(weights.users)
        items.index_add_(0, windows.items.flatten(), of_items.flatten(0, 1))
        if len(weeks):
            weeks.index_add_(0, windows.weeks.flatten(), of_weeks.flatten(0, 1))
        if len(users):
            users.index_add_(0, windows.users, of_users.sum(1))
        return items, weeks, users

    def _near(self, padded: Tensor, latest: int) -> Near:
        config = self.config
        return near_of(self.windows, padded, config.time_span, self.edges, config.heads, latest)


class BlockPass:
    """Through one block and back; see `fpt_model.model.Block`."""

    def __init__(self, weights: BlockWeights, attention: Attention, chance: Chance | None) -> None:
        w = weights
        self.places, self.attention = w.memory_places, attention
        self.attention_norm = Norm(w.attention_norm, w.attention_shift)
        self.query = Affine(w.query, w.query_bias)
        self.memory = Product(w.memory)
        self.pointwise_norm = Norm(w.pointwise_norm, w.pointwise_shift)
        self.first, self.second = Affine(w.first, w.first_bias), Affine(w.second, w.second_bias)
        self.inner_dropout, self.outer_dropout = Dropout(chance), Dropout(chance)

    def forward(self, x: Tensor, latest: int) -> Tensor:
        """(B, T, D) to (B, N, D), of the latest N positions."""
        batch, length, _ = x.shape
        asked = self.attention_norm.forward(x[:, -latest:].flatten(0, 1))  # (B·N, D)
        query = self.query.forward(asked).unflatten(0, (batch, latest))
        memory = self.memory.forward(x.flatten(0, 1)).unflatten(0, (batch, length))
        key, value = memory.add_(self.places[-length:]).chunk(2, 2)
        x = self.attention.forward(query, key, value).add_(asked)
        x = self.pointwise_norm.forward(x)
        self.hidden = self.inner_dropout.forward(self.first.forward(x).relu_())
        out = self.outer_dropout.forward(self.second.forward(self.hidden))
        return out.add_(x).unflatten(0, (batch, latest))

    def back(self, slopes: Tensor) -> Tensor:
        """Slopes (B·T, D) of all positions' outputs to those of the inputs."""
        inner = self.second.back(self.outer_dropout.back(slopes))
        # nothing passes where ReLU or dropout left a zero
        inner = torch.ops.aten.threshold_backward(inner, self.hidden, 0)
        slopes = self.pointwise_norm.back(self.first.back(inner, beside=slopes))
        query, key, value = self.attention.back(slopes)
        memory = torch.cat([key, value], 1)  # (B·T, 2·D)
        slopes = self.attention_norm.back(self.query.back(query, beside=slopes))
        slopes = self.memory.back(memory, beside=slopes)
        batch = len(self.attention.mask) // self.attention.heads
        keys, values = self.attention.slopes
        self.slopes = BlockWeights(
            *self.attention_norm.slopes,
            *self.query.slopes,
            self.memory.slope,
            _placed(memory.unflatten(0, (batch, -1)), self.places),
            keys,
            values,
            *self.pointwise_norm.slopes,
            *self.first.slopes,
            *self.second.slopes,
        )
        return slopes


def _placed(slopes: Tensor, table: Tensor) -> Tensor:
    """Slopes (B, T, …) by place, as those of a table of more places."""
    found = torch.zeros_like(table)
    found[-slopes.shape[1] :] = slopes.sum(0)
    return found
