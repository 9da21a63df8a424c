"""An HSTU-like block (Zhai et al., "Actions Speak Louder than Words", ICML 2024, eq. 1 to 3).

    U, V, Q, K = SiLU(f1(norm(x)))
    A = SiLU(Q Kᵀ + bias of the distance + bias of the time gap) / T
    output = f2(norm(A V) * U) + x

No softmax: weights say how much, not only which share of it; the gate U stands in place of the
pointwise layers. What differs from the authors' code:

- gaps have the buckets of the other variants (multiples of the user's shortest gap, clipped), not
  logarithms of seconds;
- each head has biases of its own, norms have weights, all linear layers have biases;
- dropout falls on the weights as well, not on f2's input alone;
- f1 is four layers of the encoder's width, so Q and K are as wide as U and V.

Letters: B batch, T sequence, N latest positions, D width, H heads, W = D / H, R interval buckets.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpt_model.config import Config
from fpt_model.model.fixed_point import by_bucket
from fpt_model.model.layer_norm import LayerNorm


class HstuBlock(nn.Module):
    """SiLU attention without softmax, and a gate.

    Args:
        config: sizes; with `intervals` time gaps have biases.
        n_buckets: R.
    """

    def __init__(self, config: Config, n_buckets: int) -> None:
        super().__init__()
        width = config.width
        self.heads, self.max_length = config.heads, config.max_length
        self.norm_input = LayerNorm(width, eps=1e-6)
        self.gate, self.value, self.query, self.key = (nn.Linear(width, width) for _ in range(4))
        # a row a head; flat, so that they start at zero: Xavier is for matrices
        self.distance_bias = nn.Parameter(torch.zeros(config.heads * config.max_length))
        self.interval_bias = (
            nn.Parameter(torch.zeros(config.heads * n_buckets)) if config.intervals else None
        )
        self.norm_attended = LayerNorm(width, eps=1e-6)
        self.output = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        buckets: Tensor | None,
        drop: Callable[[Tensor, str], Tensor],
    ) -> Tensor:
        """(B, T, D) to (B, N, D), of the latest N positions.

        Args:
            x: (B, T, D).
            mask: (B or 1, 1, N, T), 0 where i may look at j, else minus infinity.
            buckets: (B, 1, N, T), of the time gaps; None without intervals.
            drop: see `encoder.Dropout`.
        """
        n = mask.shape[2]
        normal = self.norm_input(x)
        latest = normal[:, -n:]  # (B, N, D)
        gate, q = F.silu(self.gate(latest)), self._split(F.silu(self.query(latest)))
        k, v = (self._split(F.silu(layer(normal))) for layer in (self.key, self.value))

        scores = q @ k.transpose(2, 3) + self._bias(mask, buckets)  # (B, H, N, T)
        weights = torch.where(mask == 0, F.silu(scores) / self.max_length, 0.0)
        attended = drop(weights, "attention") @ v  # (B, H, N, W)

        attended = self.norm_attended(attended.transpose(1, 2).flatten(2))  # (B, N, D)
        return x[:, -n:] + self.output(drop(attended * gate, "gated"))

    def _bias(self, mask: Tensor, buckets: Tensor | None) -> Tensor:
        """(B or 1, H, N, T)."""
        n, length = mask.shape[2:]
        places = torch.arange(length, device=mask.device)
        distances = (places[-n:, None] - places).clamp(min=0)  # (N, T)
        bias = self._found(self.distance_bias, distances[None, None])
        if buckets is None or self.interval_bias is None:
            return bias
        return bias + self._found(self.interval_bias, buckets)

    def _found(self, table: Tensor, rows: Tensor) -> Tensor:
        """Of a table (H · R,), what each head has in rows (B, 1, N, T): (B, H, N, T)."""
        heads = table.view(1, self.heads, 1, -1)
        return by_bucket(heads.expand(len(rows), -1, rows.shape[2], -1), rows)

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, H, T, W)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)
