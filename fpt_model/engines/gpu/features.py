"""The inputs as kernels take them: of each a tuple, whose places have names here.

Plain tuples of numbers: what is compiled ahead goes through JSON, which knows no named ones.
"""

import triton
import triton.language as tl
from torch import Tensor

from fpt_model.engines.gpu.layout import Layout, power_of_two
from fpt_model.features import Feature
from fpt_model.model.encoder import Encoder

Input = tuple[int, ...]
PER, AT, WIDTH, STRIDE, PADDED, ROWS, COUNT, SLOTS = (tl.constexpr(n) for n in range(8))
TOKEN, SEQUENCE, PER_ITEM = (tl.constexpr(n) for n in range(3))  # what PER may be
_PER = ("token", "sequence", "item")


def inputs_of(model: Encoder, layout: Layout) -> tuple[Input, ...]:
    """Of each input what has numbers; the first column of its vectors, their width, the elements
    from row to row, and a width that tiles have; the rows, 0 where only the data tell and no kernel
    asks; of an item how many numbers, and a power of two of them.
    """
    found, first = [], 0
    for feature, table in model.tables():
        rows, width = feature.rows, table.shape[1]
        count = of_items(model, feature).shape[1] if feature.per == "item" else 0
        if count:
            rows = len(table) - 1
        stride = layout.slots[feature.table].stride
        shape = first, width, stride, power_of_two(width), rows, count, power_of_two(count)
        found.append((_PER.index(feature.per), *shape))
        first += width
    return tuple(found)


def of_items(model: Encoder, feature: Feature) -> Tensor:
    """(I + 1, COUNT) int32: of each item its numbers."""
    numbers: Tensor = getattr(model, f"{feature.name}_of_items")
    return numbers.int()


@triton.jit
def summed_rows(table, of_items, items, columns, mask, INPUT: tl.constexpr):
    """The vectors of items' numbers, summed.

    Args:
        table: where the input's table begins.
        of_items: (I + 1, COUNT) int32, of each item its numbers, 0 for none.
        items: (M,) ids.
        columns: of the table, of the shape of a tile (M, ·) or (1, ·).
        mask: (M, ·), which are there.
    """
    total = tl.zeros(mask.shape, tl.float32)
    for slot in range(INPUT[COUNT]):
        numbers = tl.load(of_items + items * INPUT[COUNT] + slot)
        total += tl.load(table + numbers[:, None] * INPUT[STRIDE] + columns, mask=mask, other=0.0)
    return total
