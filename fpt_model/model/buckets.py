"""Two sums over interval buckets, each of which is the other's gradient.

PyTorch has both, `gather` and `scatter_add`. On a GPU it adds floats in any order, which changes
bits from run to run, or sorts them first, which takes longer than the rest of a step. Whole numbers
have the same sum in any order, so sums are taken in fixed point here.

Letters: B batch, H heads, N queries, T keys, R interval buckets.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

UNIT = 2.0**-48  # sums are exact to this, up to 2^15


def by_bucket(x: Tensor, buckets: Tensor) -> Tensor:
    """What each pair finds in its bucket: (B, H, N, R) and buckets (B, 1, N, T) to (B, H, N, T)."""
    found: Tensor = _ByBucket.apply(x, buckets)
    return found


def bucket_sums(x: Tensor, buckets: Tensor, n_buckets: int) -> Tensor:
    """Pairs (B, H, N, T) added up by their buckets (B, 1, N, T): (B, H, N, R)."""
    sums: Tensor = _BucketSums.apply(x, buckets, n_buckets)
    return sums


class _ByBucket(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, buckets: Tensor) -> Tensor:
        ctx.save_for_backward(buckets)
        ctx.n_buckets = x.shape[3]
        return x.gather(3, _of_heads(buckets, x))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (buckets,) = ctx.saved_tensors
        return _sums(grad, buckets, ctx.n_buckets), None


class _BucketSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, buckets: Tensor, n_buckets: int) -> Tensor:
        ctx.save_for_backward(buckets)
        return _sums(x, buckets, n_buckets)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (buckets,) = ctx.saved_tensors
        return grad.gather(3, _of_heads(buckets, grad)), None, None


def _sums(x: Tensor, buckets: Tensor, n_buckets: int) -> Tensor:
    whole = (x / UNIT).long()
    sums = whole.new_zeros(*x.shape[:3], n_buckets)
    with _in_any_order():
        sums.scatter_add_(3, _of_heads(buckets, x), whole)
    return sums * x.new_full((), UNIT)


def _of_heads(buckets: Tensor, x: Tensor) -> Tensor:
    return buckets.expand(-1, x.shape[1], -1, -1)


@contextmanager
def _in_any_order() -> Iterator[None]:
    """Deterministic algorithms would sort, though whole numbers need no order."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode(0)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
