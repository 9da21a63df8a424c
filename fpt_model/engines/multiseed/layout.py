"""All weights of S seeds as one (S, P) tensor: every tensor padded to what kernels like.

The last dimension becomes a power of two, rows a multiple of a tile's, a tensor a multiple of
`BLOCK`. Padding is zero, its gradient is zero, so Adam leaves it zero. Tables that are looked up
come first: their gradients are scattered, all others are sums of partial sums. Tables that all
blocks use, positions and intervals, come last. Blocks follow one another, each with its tensors in
the order of the model: kernels reckon with it (`multiseed.tiles`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fpt_model.engines.gpu.features import inputs_of
from fpt_model.features import FEATURES, widths
from fpt_model.model.encoder import Encoder

BLOCK = 1024
MOST_ROWS = 64  # of the interval table, that a program takes at a time
LOOKED_UP = tuple(feature.table for feature in FEATURES)
SHARED = ("positions", "intervals")


def power_of_two(n: int) -> int:
    """The least one that is at least n and at least 16.

    >>> [power_of_two(n) for n in (1, 16, 17, 100)]
    [16, 16, 32, 128]
    """
    return max(16, 1 << (n - 1).bit_length())


def chunked(n_rows: int) -> tuple[int, int]:
    """Interval rows with padding, and how many of them a program takes at a time.

    >>> [chunked(n) for n in (10, 41, 100, 257, 260)]
    [(16, 16), (48, 32), (112, 64), (272, 64), (272, 64)]
    """
    chunk = min(MOST_ROWS, max(16, 1 << n_rows.bit_length() - 1))
    return -(-n_rows // 16) * 16, chunk


@dataclass(frozen=True)
class Place:
    """Where a tensor lies: its shape, the padded one, and the first of its elements."""

    shape: tuple[int, ...]
    padded: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Elements that it takes, a multiple of `BLOCK`."""
        return -(-torch.Size(self.padded).numel() // BLOCK) * BLOCK


class Layout:
    """Places of a model's tensors.

    Args:
        model: gives names and shapes.

    Attributes:
        places: by the name in the model's state dict.
        size: P.
        looked_up: elements of the tables that come first.
        shared: elements of those that come last.
        width, length, rows: padded D, T and R.
        chunk: see `chunked`.
        blocks: the first element of the first block.
        inputs: as kernels take them; `tables`: of each the first element.
    """

    def __init__(self, model: Encoder) -> None:
        config = model.config
        self.width, self.length = power_of_two(config.width), power_of_two(config.max_length)
        n_rows = config.time_span + 1 + len(model.edges) if config.intervals else 1
        self.rows, self.chunk = chunked(n_rows)
        shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
        ordered = sorted(shapes, key=lambda name: (name.startswith(SHARED), name not in LOOKED_UP))
        self.places: dict[str, Place] = {}
        self.size = self.looked_up = self.shared = 0
        for name in ordered:
            place = Place(shapes[name], self._padded(name, shapes[name]), self.size)
            self.places[name] = place
            self.size += place.size
            if name in LOOKED_UP:
                self.looked_up = self.size
            if name.startswith(SHARED):
                self.shared += place.size
        self.blocks = self.offset("blocks.0.norm_attention.weight")
        self.inputs = inputs_of(config, power_of_two)
        self.tables = tuple(self.offset(feature.table) for feature, _ in widths(config))

    def _padded(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        if name in LOOKED_UP:
            return shape[0], power_of_two(shape[1])
        if name.startswith("positions"):
            return self.length, self.width
        if name.startswith("intervals"):
            return self.rows, self.width
        return (self.width,) * len(shape)

    def offset(self, name: str) -> int:
        """First element of a tensor; 0 for one that the model lacks."""
        return self.places[name].offset if name in self.places else 0

    def pack(self, tensors: Mapping[str, Tensor], flat: Tensor) -> None:
        """Write a state dict into `flat`, (P,)."""
        for name in self.places:
            self.view(flat, name).copy_(tensors[name])

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        """The tensors of `flat`, (P,), by name."""
        return {name: self.view(flat, name).clone() for name in self.places}

    def view(self, flat: Tensor, name: str) -> Tensor:
        """A tensor within `flat`, (P,). Positions lie at the end of theirs, as windows do."""
        place = self.places[name]
        count = torch.Size(place.padded).numel()
        whole = flat[place.offset : place.offset + count].view(place.padded)
        if name.startswith("positions"):
            whole = whole[place.padded[0] - place.shape[0] :]
        return whole[tuple(slice(0, size) for size in place.shape)]
