"""Layers that know their way back.

Each is used once: `forward`, then `backward` with the gradients of its output, which returns those
of its input and leaves those of its weights in `grads`. All tensors are (tokens, width).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model.engines.cpu.products import linear, linear_onto, outer_sum
from fpt_model.engines.cpu.rng import Rng

EPSILON = 1e-8


def sum_over_batch(grad: Tensor, table: Tensor) -> Tensor:
    """Gradients (B, T, …) of the latest places, as those of a table of at least T."""
    missing = len(table) - grad.shape[1]
    return F.pad(grad.sum(0), (0, 0, missing, 0)) if missing else grad.sum(0)


class MatMul:
    """x Wᵀ."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        """(N, in) to (N, out)."""
        self.x = x
        return linear(x, self.weight)

    def backward(self, grad: Tensor, into: Tensor | None = None) -> Tensor:
        """Gradients of x, and with them those in `into`, which reach x on another way."""
        self.weight_grad = outer_sum(grad, self.x)
        weight = self.weight.T
        return linear(grad, weight) if into is None else linear_onto(grad, weight, into)


class Linear(MatMul):
    """x Wᵀ + b, and ReLU of it if so asked, whose way back is not here."""

    def __init__(self, weight: Tensor, bias: Tensor, *, relu: bool = False) -> None:
        super().__init__(weight)
        self.bias, self.relu = bias, relu

    def forward(self, x: Tensor) -> Tensor:
        """(N, in) to (N, out)."""
        self.x = x
        return linear(x, self.weight, self.bias, relu=self.relu)

    def backward(self, grad: Tensor, into: Tensor | None = None) -> Tensor:
        """See `MatMul`."""
        d_x = super().backward(grad, into)
        self.grads = self.weight_grad, grad.sum(0)
        return d_x


class PositionalLinear(MatMul):
    """x Wᵀ + what its place adds to each token."""

    def __init__(self, weight: Tensor, positions: Tensor) -> None:
        super().__init__(weight)
        self.positions = positions

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in) to (B, T, out), T the latest of the table's places."""
        out = super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.add_positions(out)

    def add_positions(self, out: Tensor) -> Tensor:
        """What places add, upon (B, T, out)."""
        return out.add_(self.positions[-out.shape[1] :])

    def backward(self, grad: Tensor, into: Tensor | None = None) -> Tensor:
        """Gradients (B, T, out) to (B·T, in); see `MatMul`."""
        d_x = super().backward(grad.flatten(0, 1), into)
        self.grads = self.weight_grad, sum_over_batch(grad, self.positions)
        return d_x


class LayerNorm:
    """LayerNorm."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) to (N, D)."""
        self.x = x
        out, self.mean, self.scale = torch.native_layer_norm(
            x, self.weight.shape, self.weight, self.bias, EPSILON
        )
        return out

    def backward(self, grad: Tensor) -> Tensor:
        """Gradients of x."""
        x, weight, bias = torch.ops.aten.native_layer_norm_backward(
            grad,
            self.x,
            self.weight.shape,
            self.mean,
            self.scale,
            self.weight,
            self.bias,
            [True, True, True],
        )
        self.grads = weight, bias
        return x


class Dropout:
    """Zeros at random; what is left is scaled by the weights around it (`weights.py`)."""

    def __init__(self, rng: Rng | None) -> None:
        self.rng = rng if rng is not None and rng.threshold else None

    def forward(self, x: Tensor) -> Tensor:
        """In place."""
        return x if self.rng is None else self.applied(x, out=x)

    def onto(self, x: Tensor, others: Tensor) -> Tensor:
        """What `forward` gives, and others with it; x is used up."""
        if self.rng is None:
            return x.add_(others)
        self.keep_mask = self.rng.keep_mask(x)
        return torch.addcmul(others, x, self.keep_mask, out=x)

    def applied(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """What `forward` gives, x being kept; x itself when nothing is dropped."""
        if self.rng is None:
            return x
        self.keep_mask = self.rng.keep_mask(x)
        return torch.mul(x, self.keep_mask, out=out)

    def backward(self, grad: Tensor) -> Tensor:
        """Gradients of x; those given are kept."""
        return grad if self.rng is None else grad * self.keep_mask
