"""Memory that the launches of a step write, allocated once.

Inputs of products have K = D + 1 columns or some more: column D is one (see weights.py), the others
are zero, and no kernel ever writes there.

Letters: N tokens, T sequence, K columns, H heads, R interval rows, L blocks, I items.
"""

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.graphed.weights import aligned


class Buffers:
    """What steps of up to N tokens need.

    Args:
        config: settings.
        n_tokens: N.
        batch: sequences.
        rows: R, 0 without intervals.
        half: type of what products read.
        device: of all.
        train: whether blocks keep what the way back needs.
        splits: partial sums of the items' gradient.
        n_items: I.
        programs: partial sums of a LayerNorm's gradients.
    """

    def __init__(
        self, config: Config, n_tokens: int, batch: int, rows: int, half: torch.dtype,
        device: torch.device, *, train: bool, splits: int, n_items: int, programs: int,
    ) -> None:  # fmt: skip
        self.n_tokens = N = n_tokens
        self.half, self.device, self.width = half, device, config.width
        K, H, T, L = aligned(config.width + 1), config.heads, config.max_length, config.blocks
        R = max(rows, 8)
        self.items, self.weeks, self.users, self.times = (self._ints(N) for _ in range(4))
        self.targets, self.owners, self.negatives = (self._ints(N) for _ in range(3))
        self.counts = self._ints(N if rows else 1, R, torch.int16)
        self.tables, self.places = self._zeros(L, 2, R, K), self._zeros(L, 2, T, K)
        # without a way back, blocks write over each other
        self.x = self._kept(L + 1, train, N, K, ones=True)
        self.normal, self.y, self.hidden = (
            self._kept(L, train, N, K, ones=True) for _ in range(3)
        )
        self.q, self.attended, self.summed = (self._kept(L, train, N, K) for _ in range(3))
        self.kv = self._kept(L, train, N, 2 * K)
        self.weights = self._kept(L, train, H, N, T)
        self.on_rows = self._kept(L, train, H, N if rows else 1, R)
        self.by_row = self._zeros(H, N if rows else 1, R)
        self.sums = self._floats(H, N if rows else 1, T)
        self.one, self.features = self._zeros(N, K), self._zeros(N, K)
        if not train:
            return
        self.dfeatures, self.dx, self.dz, self.dsum, self.dq = (
            self._zeros(N, K) for _ in range(5)
        )
        self.dkv = self._zeros(L, N, 2 * K)
        self.slopes = self._zeros(H, N, T)
        self.row_slopes = torch.zeros_like(self.by_row)
        self.table_slopes = self._floats(L, 2, R, K)
        self.norm_parts = self._floats(2 * L + 1, programs, 2, K)
        self.logs, self.losses = self._floats(N), self._floats(N // 16)
        softmax = config.loss == "softmax"
        self.parts = self._floats(
            splits if softmax else 1, (n_items + 1) if softmax else 1, aligned(config.item_width)
        )

    def _ints(self, rows: int, columns: int = 1, kind: torch.dtype = torch.int32) -> Tensor:
        return torch.zeros(rows, columns, dtype=kind, device=self.device)

    def _floats(self, *shape: int) -> Tensor:
        return torch.zeros(shape, device=self.device)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self.half, device=self.device)

    def _kept(self, count: int, train: bool, *shape: int, ones: bool = False) -> Tensor:
        """One for each block, or one for all of them."""
        values = self._zeros(count if train else 1, *shape)
        if ones:
            values[..., self.width] = 1
        return values if train else values.expand(count, *shape)
