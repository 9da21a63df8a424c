"""Random bits by counter: a hash of (seed, step, site, place), so that nothing has to be stored.

The backward pass asks again for the bits of the forward pass; a resumed training asks for those
that an uninterrupted one would have used; seed k among many draws what it draws alone. The hash is
Wellons' lowbias32, three times; `fast_bits` has half its price, for the many elements of a dropout.
On tensors of PyTorch both are the same, for tests.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# Sites: what a draw is for. A layer's sites start at `LAYER + LAYER_STREAMS * layer`.
DROPOUT, NEGATIVE, ITEM, ITEM_ID, USER, USER_ID, FIRST, SECOND, EMBEDDING = (
    tl.constexpr(n) for n in range(9)
)
LAYER, LAYER_STREAMS = tl.constexpr(16), tl.constexpr(8)
KEY_TABLE, VALUE_TABLE, KEY_POSITION, VALUE_POSITION, WEIGHTS, HIDDEN, OUT = (
    tl.constexpr(n) for n in range(7)
)


@triton.jit
def mix(x):
    """uint32 to uint32, one to one, each bit by all."""
    x = x ^ (x >> 16)
    x = x * 0x7FEB352D
    x = x ^ (x >> 15)
    x = x * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def step_key(keys, step_counter, seed, step):
    """Two uint32 for a step of a seed.

    Args:
        keys: (S, 2) int64, 32 bits each.
        step_counter: (S,) int64, steps before.
        seed: number of the seed.
        step: after those.
    """
    mixed = (tl.load(step_counter + seed) + step).to(tl.uint32)
    first = mix(tl.load(keys + 2 * seed).to(tl.uint32) + mix(mixed))

    # the second word depends on the first, so that two steps share neither
    return first, mix(tl.load(keys + 2 * seed + 1).to(tl.uint32) ^ first)


@triton.jit
def bits(first, second, stream, counter):
    """uint32 for every place of one site.

    Args:
        first, second: the step's key.
        stream: what the draw is for.
        counter: int32, any shape.
    """
    # one key a site, so that sites draw apart
    key = mix(first + stream)
    return mix(mix(counter.to(tl.uint32) + key) ^ second)


@triton.jit
def below(drawn, n):
    """uint32 bits to whole numbers from 0, below n."""
    # the high word of a product: no division, and the bias is below n / 2^32
    return ((drawn.to(tl.uint64) * n) >> 32).to(tl.int32)


@triton.jit
def fast_bits(first, second, stream, counter):
    """`bits` by two rounds, with the second word of the key in the middle of the last."""
    x = counter.to(tl.uint32) + mix(first + stream)
    x = (x ^ (x >> 16)) * 0x7FEB352D ^ second
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.constexpr_function
def threshold(rate: float) -> int:
    """Random bits below this one drop an element."""
    return round(rate * 2**32)


@triton.jit
def keep_mask(drawn, RATE: tl.constexpr):
    """Which elements a dropout keeps, by 32 random bits of each."""
    return drawn >= threshold(RATE)


@triton.jit
def dropout(x, drawn, RATE: tl.constexpr):
    """x after a dropout, by 32 random bits of each element."""
    return tl.where(keep_mask(drawn, RATE), x * (1 / (1 - RATE)), 0.0)


def torch_mix(x: Tensor) -> Tensor:
    """`mix` on int64 tensors that hold 32 bits."""
    x = x ^ (x >> 16)
    x = x * 0x7FEB352D & 0xFFFFFFFF
    x = x ^ (x >> 15)
    x = x * 0x846CA68B & 0xFFFFFFFF
    return x ^ (x >> 16)


def torch_step_key(key: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """`step_key` of a seed whose key is (2,) int64."""
    first = torch_mix((key[0] + torch_mix(torch.tensor(step & 0xFFFFFFFF))) & 0xFFFFFFFF)
    return first, torch_mix(key[1] ^ first)


def torch_bits(words: tuple[Tensor, Tensor], stream: int, counter: Tensor) -> Tensor:
    """`bits` of places (int64, any shape)."""
    own = torch_mix((words[0] + stream) & 0xFFFFFFFF)
    return torch_mix(torch_mix((counter + own) & 0xFFFFFFFF) ^ words[1])


def torch_fast_bits(words: tuple[Tensor, Tensor], stream: int, counter: Tensor) -> Tensor:
    """`fast_bits` of places (int64, any shape)."""
    x = (counter + torch_mix((words[0] + stream) & 0xFFFFFFFF)) & 0xFFFFFFFF
    x = (x ^ (x >> 16)) * 0x7FEB352D & 0xFFFFFFFF ^ words[1]
    x = (x ^ (x >> 15)) * 0x846CA68B & 0xFFFFFFFF
    return x ^ (x >> 16)
