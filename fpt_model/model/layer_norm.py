"""LayerNorm whose weights' gradients are summed in parts.

PyTorch's kernel for them takes 103 µs for the 25,600 positions of a large step on an H200 (torch
2.11), five times a step; these sums take about 80 (docs/performance.md). On a CPU it is PyTorch's.
"""

from typing import Any

import torch
from torch import Tensor, nn

PARTS = 64  # at most, of the positions: enough for a GPU to have something to do


class LayerNorm(nn.LayerNorm):
    """`nn.LayerNorm` over the last dimension."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) to (…, D)."""
        if not x.is_cuda:
            return super().forward(x)
        return in_parts(x, self.weight, self.bias, self.eps)


def in_parts(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """x (…, D), weight (D,) and bias (D,) to (…, D)."""
    normalised: Tensor = _InParts.apply(x, weight, bias, eps)
    return normalised


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        out, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], weight, bias, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # type: ignore[override]
        x, weight, bias, mean, rstd = ctx.saved_tensors
        grad = grad.contiguous()
        of_x, _, _ = torch.ops.aten.native_layer_norm_backward(
            grad, x, x.shape[-1:], mean, rstd, weight, bias, [True, False, False]
        )
        return of_x, _sum_in_parts(grad * ((x - mean) * rstd)), _sum_in_parts(grad), None


def _sum_in_parts(x: Tensor) -> Tensor:
    """(…, D) to (D,)."""
    rows = x.flatten(0, -2)
    parts = PARTS
    while len(rows) % parts:
        parts //= 2
    return rows.unflatten(0, (parts, -1)).sum(1).sum(0)
