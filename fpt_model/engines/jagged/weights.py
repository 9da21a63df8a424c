"""All weights of a model in one tensor, so that one kernel updates and rounds them.

A product's input carries a column of ones, and its weight the bias in that column: the product
adds the bias, and its gradient is the bias's too.

What attention works on has columns by head, each of which begins where 16 bytes do: tensor cores
and wide loads ask for that. So heads of 52 lie 56 apart, and what is between is zero. Only the
rounded copy of the matrices of queries, keys and values has such rows, from which such columns
come; weights, gradients and moments have no gaps.

Letters: D width, H heads, W width of a head, K columns, KH columns by head, P elements.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.engines.gpu.features import inputs_of
from fpt_model.engines.gpu.layout import BLOCK, EMBEDDINGS, Layout, Slot, aligned
from fpt_model.model.encoder import Encoder

BY_HEAD = ("query", "key", "value")  # their products' columns lie by head
PRODUCTS = (*BY_HEAD, "pointwise_1", "pointwise_2")  # key and value are neighbours


def columns_of(config: Config) -> int:
    """K: of every matrix that goes through the blocks."""
    return aligned(config.width + 1)


def head_width(config: Config) -> int:
    """W, width of a head."""
    return config.width // config.heads


def head_stride(config: Config) -> int:
    """Columns from a head's first one to the next head's; those past W are zero."""
    return aligned(head_width(config))


def has_gaps(config: Config) -> bool:
    """Whether something lies between heads."""
    return config.heads > 1 and head_stride(config) > head_width(config)


def columns_by_head(config: Config) -> int:
    """KH: of what attention works on; K where there are no gaps, so that both are one memory."""
    return config.heads * head_stride(config) if has_gaps(config) else columns_of(config)


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
        o_norms: first element of the LayerNorms, which end where those end.
        o_products: first element of the products' matrices, which are last.
        block_size: elements from a block's matrices to the next one's.
        columns: K, of every matrix that goes through the blocks.
        columns_by_head: KH.
        inputs: as kernels take them.
    """

    def __init__(self, model: Encoder, half: torch.dtype) -> None:
        super().__init__()
        self.config = model.config
        self.columns, self.columns_by_head = columns_of(self.config), columns_by_head(self.config)
        shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
        self._add_embeddings(shapes)
        self.inputs = inputs_of(model, self)
        self.embedding_size = self.size
        self._add_tables(shapes)
        self.o_products = self.size
        self._add_products(model.config.blocks, model.config.width)
        self.block_size = (self.size - self.o_products) // model.config.blocks
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
        self.o_norms = self.size
        for name, shape in shapes.items():
            if "norm" in name:
                self.add(name, shape, 1)

    def _add_tables(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name, shape in shapes.items():
            if name.startswith(("positions", "intervals")):
                self.add(name, shape, self.columns, aligned(shape[0]))

    def _add_products(self, blocks: int, width: int) -> None:
        for block in range(blocks):
            offset = self.size
            for part in PRODUCTS:
                name, size = f"blocks.{block}.{part}", self.rows_of(part) * self.columns
                self.slots[f"{name}.weight"] = Slot((width, width), self.columns, offset, size)
                bias = Slot((width,), self.columns, offset + width, size)
                self.slots[f"{name}.bias"] = bias
                offset += size
            self.size = aligned(offset, BLOCK)

    def rows_of(self, part: str) -> int:
        """Rows that a product's matrix has, those of zeros included."""
        return self.columns_by_head if part in BY_HEAD else self.columns

    def refresh_fp16(self) -> None:
        """Renew the rounded copy."""
        self.fp16.copy_(self.params)
        if has_gaps(self.config):
            for block in range(self.config.blocks):
                self._part_heads(block)

    def _part_heads(self, block: int) -> None:
        """Move rows of the rounded copy to where their heads begin."""
        heads, width = self.config.heads, head_width(self.config)
        for part in BY_HEAD:
            offset, rows = self.o_product(block, part), self.columns_by_head
            matrix = self.params[offset : offset + self.config.width * self.columns]
            copy = self.fp16[offset : offset + rows * self.columns].zero_()
            copy.view(heads, -1, self.columns)[:, :width] = matrix.view(heads, width, -1)

    def product(self, block: int, part: str, count: int = 1) -> Tensor:
        """The rounded matrix of a product and of those after it, (count · rows, K)."""
        offset = self.o_product(block, part)
        size = count * self.rows_of(part) * self.columns
        return self.fp16[offset : offset + size].view(-1, self.columns)

    def o_product(self, block: int, part: str) -> int:
        """First element of a product's matrix."""
        return self.offset(f"blocks.{block}.{part}.weight")
