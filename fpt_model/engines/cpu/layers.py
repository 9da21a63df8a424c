"""Layers that know their way back.

Each is used once: `forward`, then `back` with the slopes of its output, which returns those of its
input and leaves those of its weights in `slopes`. All tensors are (tokens, width).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model.engines.cpu.chance import Chance

EPSILON = 1e-8


def by_place(slopes: Tensor, table: Tensor) -> Tensor:
    """Slopes (B, T, …) of the latest places, as those of a table of at least T."""
    missing = len(table) - slopes.shape[1]
    return F.pad(slopes.sum(0), (0, 0, missing, 0)) if missing else slopes.sum(0)


class Product:
    """x Wᵀ."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        """(N, in) to (N, out)."""
        self.x = x
        return x @ self.weight.T

    def back(self, slopes: Tensor, beside: Tensor | None = None) -> Tensor:
        """Slopes of x, added to those `beside` them, which reach x on another way."""
        self.slope = slopes.T @ self.x
        return slopes @ self.weight if beside is None else beside.addmm_(slopes, self.weight)


class Affine(Product):
    """x Wᵀ + b."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__(weight)
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """(N, in) to (N, out)."""
        # `addmm` would copy the bias to every token first
        return super().forward(x).add_(self.bias)

    def back(self, slopes: Tensor, beside: Tensor | None = None) -> Tensor:
        """See `Product`."""
        below = super().back(slopes, beside)
        self.slopes = self.slope, slopes.sum(0)
        return below


class Placed(Product):
    """x Wᵀ + what its place adds to each token."""

    def __init__(self, weight: Tensor, places: Tensor) -> None:
        super().__init__(weight)
        self.places = places

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in) to (B, T, out), T the latest of the table's places."""
        out = super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.placed(out)

    def placed(self, out: Tensor) -> Tensor:
        """What places add, upon (B, T, out)."""
        return out.add_(self.places[-out.shape[1] :])

    def back(self, slopes: Tensor, beside: Tensor | None = None) -> Tensor:
        """Slopes (B, T, out) to (B·T, in); see `Product`."""
        below = super().back(slopes.flatten(0, 1), beside)
        self.slopes = self.slope, by_place(slopes, self.places)
        return below


class Norm:
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

    def back(self, slopes: Tensor) -> Tensor:
        """Slopes of x."""
        x, weight, bias = torch.ops.aten.native_layer_norm_backward(
            slopes,
            self.x,
            self.weight.shape,
            self.mean,
            self.scale,
            self.weight,
            self.bias,
            [True, True, True],
        )
        self.slopes = weight, bias
        return x


class Dropout:
    """Zeros by chance; what is left is scaled by the weights around it (`weights.py`)."""

    def __init__(self, chance: Chance | None) -> None:
        self.chance = chance if chance is not None and chance.dropped else None

    def forward(self, x: Tensor) -> Tensor:
        """In place."""
        return x if self.chance is None else self.copied(x, out=x)

    def copied(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """What `forward` gives, x being kept; x itself when nothing is dropped."""
        if self.chance is None:
            return x
        self.kept = self.chance.keep_mask(x)
        return torch.mul(x, self.kept, out=out)

    def back(self, slopes: Tensor) -> Tensor:
        """Slopes of x; those given are kept."""
        return slopes if self.chance is None else slopes * self.kept
