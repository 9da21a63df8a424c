"""All weights of a model in one tensor, so that one kernel updates and rounds them.

A product's input carries a column of ones, and its weight the bias in that column: the product
adds the bias, and its gradient is the bias's too. Letters: D width, K columns, P elements.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.engines.gpu.features import inputs_of
from fpt_model.engines.gpu.layout import BLOCK, EMBEDDINGS, Layout, Slot, aligned
from fpt_model.model.encoder import Encoder

PRODUCTS = ("query", "key", "value", "pointwise_1", "pointwise_2")  # key and value are neighbours


def columns_of(config: Config) -> int:
    """K: of every matrix that goes through the blocks."""
    return aligned(config.width + 1)


class Weights(Layout):
    """A model's parameters, their gradients and Adam's moments, each one flat tensor.

    The model's parameters become views of `params`: what changes here changes the model.

    Args:
        model: on the device.
        half: type of the rounded copy.

    Attributes:
        params, grads, exp_avg, exp_avg_sq: (P,) float32.
        fp16: (P,) `half`, what products read.
        embedding_grads: elements of looked-up tables and vectors, first; their gradients are
            scattered.
        o_products: first element of the products' matrices, which are last.
        columns: K, of every matrix that goes through the blocks.
        inputs: as kernels take them.
    """

    def __init__(self, model: Encoder, half: torch.dtype) -> None:
        super().__init__()
        self.columns = columns_of(model.config)
        shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
        self._add_embeddings(shapes)
        self.inputs = inputs_of(model, self)
        self.embedding_size = self.size
        self._add_tables(shapes)
        self.o_products = self.size
        self._add_products(model.config.blocks, model.config.width)
        device = next(model.parameters()).device
        self.params, self.grads, self.exp_avg, self.exp_avg_sq = (
            torch.zeros(self.size, device=device) for _ in range(4)
        )
        self.fp16 = torch.zeros(self.size, device=device, dtype=half)
        for name, parameter in model.named_parameters():
            view = self.slots[name].view(self.params)
            view.copy_(parameter.data)
            parameter.data = view
        self.refresh_fp16()

    def _add_embeddings(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name in EMBEDDINGS:
            if name in shapes:
                self.add(name, shapes[name], aligned(shapes[name][1]))
        for name, shape in shapes.items():
            if "norm" in name:
                self.add(name, shape, 1)

    def _add_tables(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name, shape in shapes.items():
            if name.startswith(("positions", "intervals")):
                self.add(name, shape, self.columns, aligned(shape[0]))

    def _add_products(self, blocks: int, width: int) -> None:
        for block in range(blocks):
            size = self.columns**2
            for number, part in enumerate(PRODUCTS):
                offset = self.size + number * size
                name = f"blocks.{block}.{part}"
                self.slots[f"{name}.weight"] = Slot((width, width), self.columns, offset, size)
                bias = Slot((width,), self.columns, offset + width, size)
                self.slots[f"{name}.bias"] = bias
            self.size += aligned(len(PRODUCTS) * size, BLOCK)

    def refresh_fp16(self) -> None:
        """Renew the rounded copy."""
        self.fp16.copy_(self.params)

    def product(self, block: int, part: str, count: int = 1) -> Tensor:
        """The rounded matrix of a product and of those after it, (count · K, K)."""
        offset = self.o_product(block, part)
        size = count * self.columns**2
        return self.fp16[offset : offset + size].view(-1, self.columns)

    def o_product(self, block: int, part: str) -> int:
        """First element of a product's matrix."""
        return self.offset(f"blocks.{block}.{part}.weight")
