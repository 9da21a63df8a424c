"""The inputs as kernels take them: of each a tuple, whose places have names here.

Plain tuples of numbers: what is compiled ahead goes through JSON, which knows no named ones.
"""

import triton.language as tl

from fpt_model.config import Config
from fpt_model.engines.gpu.layout import Layout, power_of_two
from fpt_model.features import widths

Input = tuple[int, ...]
PER, AT, WIDTH, STRIDE, PADDED, ROWS = (tl.constexpr(n) for n in range(6))
TOKEN, SEQUENCE = tl.constexpr(0), tl.constexpr(1)  # what PER may be
_PER = ("token", "sequence")


def inputs_of(config: Config, layout: Layout) -> tuple[Input, ...]:
    """What has numbers, and the first column of its vectors, their width, the elements from row to
    row, a width that tiles have, and the rows, 0 where the data tell.
    """
    found, first = [], 0
    for feature, width in widths(config):
        stride = layout.places[feature.table].stride
        shape = first, width, stride, power_of_two(width), feature.rows
        found.append((_PER.index(feature.per), *shape))
        first += width
    return tuple(found)
