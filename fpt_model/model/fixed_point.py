"""Gathers whose gradients are sums, and a sum whose gradient is a gather, the same to the bit.

PyTorch has them all. But on a GPU it adds the floats of such a gradient in any order, which changes
bits from run to run, or sorts them first, which takes longer than the rest of attention. Whole
numbers have the same sum in any order, so sums are taken in fixed point here.

Letters: B batch, H heads, N queries, T keys, R interval buckets, D width.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

UNIT = 2.0**-48  # sums are exact to this, up to 2^15


def embedding(table: Tensor, ids: Tensor) -> Tensor:
    """Rows of a table (R, D): ids (…) to (…, D). Row 0 is padding and gets no gradient."""
    found: Tensor = _Embedding.apply(table, ids)
    return found


def by_bucket(x: Tensor, buckets: Tensor) -> Tensor:
    """What each pair finds in its bucket: (B, H, N, R) and buckets (B, 1, N, T) to (B, H, N, T)."""
    found: Tensor = _ByBucket.apply(x, buckets)
    return found


def bucket_sums(x: Tensor, buckets: Tensor, n_buckets: int) -> Tensor:
    """Pairs (B, H, N, T) added up by their buckets (B, 1, N, T): (B, H, N, R)."""
    sums: Tensor = _BucketSums.apply(x, buckets, n_buckets)
    return sums


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.shape = table.shape
        return table.index_select(0, ids.flatten()).view(*ids.shape, -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (ids,) = ctx.saved_tensors
        rows, place = grad.flatten(0, -2), ids.flatten()
        of_table = _sums(rows, ctx.shape, lambda sums, x: sums.index_add_(0, place, x))
        of_table[0] = 0
        return of_table, None


class _ByBucket(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, buckets: Tensor) -> Tensor:
        ctx.save_for_backward(buckets)
        ctx.n_buckets = x.shape[3]
        return x.gather(3, _of_heads(buckets, x))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (buckets,) = ctx.saved_tensors
        return _sums_by_bucket(grad, buckets, ctx.n_buckets), None


class _BucketSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, buckets: Tensor, n_buckets: int) -> Tensor:
        ctx.save_for_backward(buckets)
        return _sums_by_bucket(x, buckets, n_buckets)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (buckets,) = ctx.saved_tensors
        return grad.gather(3, _of_heads(buckets, grad)), None, None


def _sums_by_bucket(x: Tensor, buckets: Tensor, n_buckets: int) -> Tensor:
    index = _of_heads(buckets, x)
    return _sums(x, (*x.shape[:3], n_buckets), lambda sums, x: sums.scatter_add_(3, index, x))


def _of_heads(buckets: Tensor, x: Tensor) -> Tensor:
    return buckets.expand(-1, x.shape[1], -1, -1)


def _sums(x: Tensor, shape: Sequence[int], add: Callable[[Tensor, Tensor], object]) -> Tensor:
    """Zeros of a shape, to which `add` adds x."""
    whole = (x / UNIT).long()
    sums = whole.new_zeros(shape)
    with in_any_order():
        add(sums, whole)
    return sums * x.new_full((), UNIT)


@contextmanager
def in_any_order() -> Iterator[None]:
    """Deterministic algorithms would sort, though whole numbers need no order, nor rows of which
    each is written once."""
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode(0)
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
