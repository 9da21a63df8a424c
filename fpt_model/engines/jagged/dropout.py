"""What a dropout leaves, by counter: a hash of (seed, step, site, place), see `multiseed.chance`.

Half the price of the hash there: one round of Wellons' lowbias32 with the second word of the key in
its middle, and whole numbers compared. Rates are in units of 2^-32.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from fpt_model.engines.multiseed.chance import mix, torch_mix

ALL = 2**32
WHOLE: tl.constexpr = tl.constexpr(4294967296.0)


def in_parts(rate: float) -> int:
    """A rate in units of 2^-32."""
    return round(rate * ALL)


@triton.jit
def left(key1, key2, site, place, RATE: tl.constexpr):
    """Which places of a site stay.

    Args:
        key1, key2: uint32, words of the step's key.
        site: what the draw is for.
        place: int32, any shape.
        RATE: in units of 2^-32.
    """
    x = place.to(tl.uint32) + mix(key1 + site)
    x = (x ^ (x >> 16)) * 0x7FEB352D ^ key2
    x = (x ^ (x >> 15)) * 0x846CA68B
    return (x ^ (x >> 16)) >= RATE


@triton.jit
def times_left(x, key1, key2, site, place, RATE: tl.constexpr):
    """x after a dropout."""
    return tl.where(left(key1, key2, site, place, RATE), x * (WHOLE / (WHOLE - RATE)), 0.0)


def torch_left(key: Tensor, step: int, site: int, place: Tensor, rate: float) -> Tensor:
    """`left` of int64 places for a seed whose `key` is (2,) int64."""
    key1 = torch_mix((key[0] + torch_mix(torch.tensor(step & 0xFFFFFFFF))) & 0xFFFFFFFF)
    key2 = torch_mix(key[1] ^ key1)
    x = (place + torch_mix((key1 + site) & 0xFFFFFFFF)) & 0xFFFFFFFF
    x = (((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF) ^ key2
    x = (x ^ (x >> 15)) * 0x846CA68B & 0xFFFFFFFF
    return (x ^ (x >> 16)) >= in_parts(rate)
