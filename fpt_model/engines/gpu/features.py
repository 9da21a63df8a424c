"""The inputs as kernels take them: of each a tuple, whose places have names here.

Plain tuples of numbers: what is compiled ahead goes through JSON, which knows no named ones.
"""

from collections.abc import Callable

import triton.language as tl

from fpt_model.config import Config
from fpt_model.features import widths

Input = tuple[int, int, int, int]
PER, AT, WIDTH, STRIDE = (tl.constexpr(n) for n in range(4))
TOKEN, SEQUENCE = tl.constexpr(0), tl.constexpr(1)  # what PER may be
_PER = ("token", "sequence")


def inputs_of(config: Config, stride: Callable[[int], int]) -> tuple[Input, ...]:
    """What has numbers, the first column, the width, and the elements from row to row."""
    found, first = [], 0
    for feature, width in widths(config):
        found.append((_PER.index(feature.per), first, width, stride(width)))
        first += width
    return tuple(found)
