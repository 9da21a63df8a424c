"""Chance for one part of a step, so that threads never wait for each other's draws."""

import numpy as np
import torch
from torch import Tensor


class Rng:
    """Draws that depend on the key alone.

    Args:
        rate: of dropout.
        key: numbers from 0, such as seed, step and part.
    """

    def __init__(self, rate: float, *key: int) -> None:
        self.threshold = dropout_threshold(rate)
        # its 64 bits take half the time of PyTorch's
        self._bits = np.random.SFC64(key)

    def keep_mask(self, like: Tensor) -> Tensor:
        """Ones where an element stays, zeros where it is dropped."""
        words = self._bits.random_raw(-(-like.numel() // 4))
        bits = torch.from_numpy(words.view(np.int16))[: like.numel()].view(like.shape)
        return torch.ge(bits, self.threshold - 2**15, out=torch.empty_like(like))

    def uniform(self, shape: torch.Size) -> Tensor:
        """Float64 in [0, 1)."""
        return torch.from_numpy(np.random.Generator(self._bits).random(tuple(shape)))


def dropout_threshold(rate: float) -> int:
    """A rate of dropout as whole 2^-16: sixteen bits decide."""
    return round(rate * 2**16)


def dropout_scale(rate: float) -> float:
    """What is left is multiplied by this."""
    return 2**16 / (2**16 - dropout_threshold(rate))


def dropout_factors(like: Tensor, rate: float) -> Tensor:
    """What PyTorch's dropout multiplies by, of its own generator, of which sixteen bits decide
    instead of a double."""
    words = torch.empty(-(-like.numel() // 4), dtype=torch.int64, device=like.device)
    words.random_(-(2**63), None)  # 64 random bits each
    bits = words.view(torch.int16)[: like.numel()].view(like.shape)
    keep_mask = torch.ge(bits, dropout_threshold(rate) - 2**15, out=torch.empty_like(like))
    return keep_mask.mul_(dropout_scale(rate))
