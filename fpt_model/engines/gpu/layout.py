"""All weights as one flat tensor, so that one kernel updates them: where each of them lies.

Every tensor begins at a multiple of `BLOCK`. Padding is zero, its gradient is zero, so Adam leaves
it zero. Letters: P elements.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fpt_model.features import FEATURES

BLOCK = 1024  # elements that a program of Adam takes
EMBEDDINGS = tuple(feature.table for feature in FEATURES)
ALIGNED = 8  # half-precision numbers of 16 bytes: what products like rows to be a multiple of


def power_of_two(n: int) -> int:
    """The least one that is at least n and at least 16.

    >>> [power_of_two(n) for n in (1, 16, 17, 100)]
    [16, 16, 32, 128]
    """
    return max(16, 1 << (n - 1).bit_length())


def aligned(n: int, to: int = ALIGNED) -> int:
    """The least multiple of `to` that is at least n.

    >>> [aligned(n) for n in (1, 8, 9)]
    [8, 8, 16]
    """
    return -(-n // to) * to


@dataclass(frozen=True)
class Slot:
    """Where a tensor lies within a flat one.

    Attributes:
        shape: of the tensor.
        stride: elements from row to row.
        offset: the first element of its padded form.
        size: elements of that, a multiple of `BLOCK`.
        before: rows of padding before the first.
    """

    shape: tuple[int, ...]
    stride: int
    offset: int
    size: int
    before: int = 0

    def view(self, flat: Tensor) -> Tensor:
        """The tensor within `flat` (P,)."""
        strides = (self.stride, 1)[: len(self.shape)]
        first = self.offset + self.before * self.stride
        return flat.as_strided(self.shape, strides, flat.storage_offset() + first)


class Layout:
    """Places of a model's tensors.

    Attributes:
        slots: by the name in the model's state dict.
        size: P.
    """

    def __init__(self) -> None:
        self.slots: dict[str, Slot] = {}
        self.size = 0

    def add(
        self, name: str, shape: tuple[int, ...], stride: int, rows: int = 0, before: int = 0
    ) -> None:
        """Place a tensor behind the others, of so many rows with its padding."""
        size = aligned(max(rows, shape[0]) * stride, BLOCK)
        self.slots[name] = Slot(shape, stride, self.size, size, before)
        self.size += size

    def offset(self, name: str) -> int:
        """First element of a tensor; 0 for one that the model lacks."""
        return self.slots[name].offset if name in self.slots else 0

    @property
    def tables(self) -> tuple[int, ...]:
        """First element of the table of each input."""
        return tuple(self.slots[name].offset for name in EMBEDDINGS if name in self.slots)

    def pack(self, tensors: Mapping[str, Tensor], flat: Tensor) -> None:
        """Write a state dict into `flat`, (P,)."""
        for name, slot in self.slots.items():
            slot.view(flat).copy_(tensors[name])

    def unpack(self, flat: Tensor) -> dict[str, Tensor]:
        """The tensors of `flat`, (P,), by name."""
        return {name: slot.view(flat).clone() for name, slot in self.slots.items()}

    def moments(self, exp_avg: Tensor, exp_avg_sq: Tensor, steps: int) -> dict[str, Tensor]:
        """Adam's moments, (P,) each, as checkpoints have them; none before the first step."""
        if not steps:
            return {}
        found = {f"step.{name}": torch.tensor(float(steps)) for name in self.slots}
        for kind, flat in (("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)):
            found |= {f"{kind}.{name}": value for name, value in self.unpack(flat).items()}
        return found

    def restore_moments(
        self, exp_avg: Tensor, exp_avg_sq: Tensor, moments: Mapping[str, Tensor]
    ) -> None:
        """Write what `moments` gave into both tensors, (P,); zeros where it gave nothing."""
        for kind, flat in (("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)):
            flat.zero_()
            if moments:
                self.pack({name: moments[f"{kind}.{name}"] for name in self.slots}, flat)

    def index_blocks(self, names: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor]:
        """Of these tables: first and last block, exclusive, of each, (tables, 2) int32; and the
        table of each block, (P / BLOCK,) int32, -1 where it is none of them.
        """
        table_of = torch.full((self.size // BLOCK,), -1, dtype=torch.int32)
        spans = []
        for number, slot in enumerate(self.slots[name] for name in names):
            spans.append((slot.offset // BLOCK, (slot.offset + slot.size) // BLOCK))
            table_of[slice(*spans[-1])] = number
        return torch.tensor(spans, dtype=torch.int32, device=device), table_of.to(device)
