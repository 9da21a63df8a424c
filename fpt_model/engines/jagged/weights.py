"""All weights of a model in one tensor, so that one kernel updates and rounds them.

A product's input carries a column of ones, and its weight the bias in that column: the product
adds the bias, and its gradient is the bias's too. Letters: D width, K columns, P elements.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fpt_model.model.encoder import Encoder

BLOCK = 1024  # elements that a program of Adam takes: a tensor starts at a multiple of it
ALIGNED = 8  # half-precision numbers of 16 bytes: what products like rows to be a multiple of
LOOKED_UP = ("items.weight", "weeks.weight", "users.weight", "ratings.weight")
PRODUCTS = ("query", "key", "value", "pointwise_1", "pointwise_2")  # key and value are neighbours


def aligned(n: int) -> int:
    """The least multiple of `ALIGNED` that is at least n.

    >>> [aligned(n) for n in (1, 8, 9)]
    [8, 8, 16]
    """
    return -(-n // ALIGNED) * ALIGNED


@dataclass(frozen=True)
class Place:
    """Where a tensor lies: its shape, the elements from row to row, and the first of them."""

    shape: tuple[int, ...]
    stride: int
    offset: int

    def view(self, flat: Tensor) -> Tensor:
        """The tensor within `flat` (P,)."""
        strides = (self.stride, 1)[: len(self.shape)]
        return flat.as_strided(self.shape, strides, flat.storage_offset() + self.offset)


class Weights:
    """A model's parameters, their gradients and Adam's moments, each one flat tensor.

    The model's parameters become views of `params`: what changes here changes the model.

    Args:
        model: on the device.
        half: type of the rounded copy.

    Attributes:
        params, grads, moments, squares: (P,) float32.
        rounded: (P,) `half`, what products read.
        places: by the name in the model's state dict.
        scattered: elements of looked-up tables and vectors, first; their gradients are scattered.
        o_products: first element of the products' matrices, which are last.
        columns: K, of every matrix that goes through the blocks.
    """

    def __init__(self, model: Encoder, half: torch.dtype) -> None:
        self.columns = aligned(model.config.width + 1)
        self.places: dict[str, Place] = {}
        self.size = 0
        shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
        self._place_looked_up(shapes)
        self.scattered = self.size
        self._place_tables(shapes)
        self.o_products = self.size
        self._place_products(model.config.blocks, model.config.width)
        device = next(model.parameters()).device
        self.params, self.grads, self.moments, self.squares = (
            torch.zeros(self.size, device=device) for _ in range(4)
        )
        self.rounded = torch.zeros(self.size, device=device, dtype=half)
        for name, parameter in model.named_parameters():
            view = self.places[name].view(self.params)
            view.copy_(parameter.data)
            parameter.data = view
        self.round()

    def _place_looked_up(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name in LOOKED_UP:
            if name in shapes:
                self._add(name, shapes[name], aligned(shapes[name][1]))
        for name, shape in shapes.items():
            if "norm" in name:
                self._add(name, shape, 1)

    def _place_tables(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name, shape in shapes.items():
            if name.startswith(("positions", "intervals")):
                self._add(name, shape, self.columns, rows=aligned(shape[0]))

    def _place_products(self, blocks: int, width: int) -> None:
        for block in range(blocks):
            first = self.size
            for number, part in enumerate(PRODUCTS):
                offset = first + number * self.columns**2
                name = f"blocks.{block}.{part}"
                self.places[f"{name}.weight"] = Place((width, width), self.columns, offset)
                self.places[f"{name}.bias"] = Place((width,), self.columns, offset + width)
            self.size += _blocks(len(PRODUCTS) * self.columns**2)

    def _add(self, name: str, shape: tuple[int, ...], stride: int, rows: int = 0) -> None:
        self.places[name] = Place(shape, stride, self.size)
        self.size += _blocks(max(rows, shape[0]) * stride)

    def round(self) -> None:
        """Renew the rounded copy."""
        self.rounded.copy_(self.params)

    def offset(self, name: str) -> int:
        """First element of a tensor; 0 for one that the model lacks."""
        return self.places[name].offset if name in self.places else 0

    def product(self, block: int, part: str, count: int = 1) -> Tensor:
        """The rounded matrix of a product and of those after it, (count · K, K)."""
        offset = self.o_product(block, part)
        size = count * self.columns**2
        return self.rounded[offset : offset + size].view(-1, self.columns)

    def o_product(self, block: int, part: str) -> int:
        """First element of a product's matrix."""
        return self.offset(f"blocks.{block}.{part}.weight")

    def moments_by_name(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Views of Adam's first and second moment of every parameter."""
        for name, place in self.places.items():
            yield name, place.view(self.moments), place.view(self.squares)

    def penalised(self, model: Encoder) -> list[tuple[int, int]]:
        """First and last block, exclusive, of every table whose norm is penalised."""
        owned = {id(tensor) for tensor in model.regularised()}
        names = [name for name, value in model.named_parameters() if id(value) in owned]
        spans = []
        for name in names:
            first = self.places[name].offset // BLOCK
            rows = self.places[name].shape[0] * self.places[name].stride
            spans.append((first, first + _blocks(rows) // BLOCK))
        return spans


def _blocks(elements: int) -> int:
    """So many elements, rounded up to whole blocks."""
    return -(-elements // BLOCK) * BLOCK
