"""Random bits by counter: a hash of (seed, step, site, place), so that nothing has to be stored.

The backward pass asks again for the bits of the forward pass; a resumed training asks for those
that an uninterrupted one would have used; seed k among many draws what it draws alone. The hash is
Wellons' lowbias32, three times; on tensors of PyTorch it is the same, for tests.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# Sites: what a draw is for. A layer's sites start at `LAYER + LAYER_SITES * layer`.
DROPOUT, NEGATIVE, ITEM, ITEM_ID, USER, USER_ID, FIRST, SECOND, EMBEDDING = range(9)
LAYER, LAYER_SITES = 16, 8
KEY_TABLE, VALUE_TABLE, KEY_PLACE, VALUE_PLACE, WEIGHTS, HIDDEN, OUT = range(7)


@triton.jit
def mix(x):
    """uint32 to uint32, one to one, each bit by all."""
    x = x ^ (x >> 16)
    x = x * 0x7FEB352D
    x = x ^ (x >> 15)
    x = x * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def step_key(keys, clock, seed, step):
    """Two uint32 for a step of a seed: `keys` (S, 2) int64, `clock` (S,) int64 steps before."""
    moment = (tl.load(clock + seed) + step).to(tl.uint32)
    first = mix(tl.load(keys + 2 * seed).to(tl.uint32) + mix(moment))
    return first, mix(tl.load(keys + 2 * seed + 1).to(tl.uint32) ^ first)


@triton.jit
def bits(first, second, site, place):
    """uint32 for every place (int32), of one site."""
    key = mix(first + site)
    return mix(mix(place.to(tl.uint32) + key) ^ second)


@triton.jit
def below(drawn, n):
    """uint32 bits to whole numbers from 0, below n."""
    return ((drawn.to(tl.uint64) * n) >> 32).to(tl.int32)


@triton.jit
def kept(first, second, site, place, rate: tl.constexpr):
    """Factors of a dropout: 0, or 1 / (1 - rate)."""
    chance = (bits(first, second, site, place) >> 8).to(tl.float32) * (1.0 / 16777216)
    return tl.where(chance >= rate, 1.0 / (1.0 - rate), 0.0)


@triton.jit
def chosen(half, rate: tl.constexpr):
    """Whether 16 random bits, as uint32, spare an element from dropout."""
    return half.to(tl.float32) >= rate * 65536


def torch_mix(x: Tensor) -> Tensor:
    """`mix` on int64 tensors that hold 32 bits."""
    x = x ^ (x >> 16)
    x = x * 0x7FEB352D & 0xFFFFFFFF
    x = x ^ (x >> 15)
    x = x * 0x846CA68B & 0xFFFFFFFF
    return x ^ (x >> 16)


def torch_bits(key: Tensor, step: int, site: int, place: Tensor) -> Tensor:
    """The bits of `place` (int64, any shape) for a seed whose `key` is (2,) int64."""
    moment = torch_mix(torch.tensor(step & 0xFFFFFFFF))
    first = torch_mix((key[0] + moment) & 0xFFFFFFFF)
    second = torch_mix(key[1] ^ first)
    own = torch_mix((first + site) & 0xFFFFFFFF)
    return torch_mix(torch_mix((place + own) & 0xFFFFFFFF) ^ second)


def torch_chosen(key: Tensor, step: int, batch: int, count: int, rate: float) -> Tensor:
    """What `multiseed.inputs.draw` keeps of the elements, (B, count)."""
    drawn = torch_bits(key, step, DROPOUT, torch.arange(batch * count // 2).view(batch, -1))
    return torch.cat([drawn & 0xFFFF, drawn >> 16], 1) >= rate * 65536


def torch_kept(key: Tensor, step: int, site: int, shape: tuple[int, ...], rate: float) -> Tensor:
    """`kept` over a whole padded tensor."""
    place = torch.arange(torch.Size(shape).numel()).view(shape)
    chance = (torch_bits(key, step, site, place) >> 8).float() / 16777216
    return torch.where(chance >= rate, 1 / (1 - rate), 0.0)
