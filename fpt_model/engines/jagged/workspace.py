"""Memory that the launches of a step write, allocated once.

Inputs of products have K = D + 1 columns or some more: column D is one (see weights.py), the others
are zero, and no kernel ever writes there. What attention works on has KH columns, by head; nobody
writes anything but zeros between two heads.

Letters: N tokens, T sequence, K columns, KH columns by head, H heads, R interval rows, L blocks, I
items.
"""

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.engines.gpu.layout import aligned
from fpt_model.engines.jagged.weights import columns_by_head, columns_of, has_gaps
from fpt_model.features import widths

WITH_ONES = ("x", "normal", "y", "hidden")


class Workspace:
    """What steps of up to N tokens need.

    Args:
        config: settings.
        n_tokens: N.
        rows: R, 0 without intervals.
        half: type of what products read.
        device: of all.
        train: whether blocks keep what the way back needs; else they write over each other.
        item_parts: shape of the partial sums of the items' gradient.

    Attributes:
        arena: all that products read, one after the other.
    """

    x: Tensor  # inputs of blocks, the last one's output
    normal: Tensor  # the first norm's output
    y: Tensor  # the second norm's output
    hidden: Tensor  # behind dropout and ReLU
    q: Tensor  # queries
    kv: Tensor  # keys and values with their positions', side by side
    attn_out: Tensor  # what attention gives
    summed: Tensor  # with the residual, what the second norm takes
    weights: Tensor  # of attention, negative where dropped
    weights_by_bucket: Tensor  # weights summed by interval row
    by_bucket: Tensor  # products of queries with interval rows
    one: Tensor  # what is needed up to the next launch
    features: Tensor  # the last norm's output
    tables: Tensor  # interval vectors by block, keys and values
    positions: Tensor  # position vectors likewise
    dfeatures: Tensor  # gradient of the features
    dx: Tensor  # gradient of a block's output
    two: Tensor  # as `one`, on the way back
    du: Tensor  # gradient of the first pointwise layer's output
    dz: Tensor  # of the second one's
    dsum: Tensor  # of `summed`
    dout: Tensor  # the same by head
    dq: Tensor  # of queries
    dkv: Tensor  # of keys and values
    bucket_grads: Tensor  # gradients of scores summed by interval row
    d_scores: Tensor  # of scores, `attention.LARGER` times

    def __init__(
        self, config: Config, n_tokens: int, rows: int, half: torch.dtype,
        device: torch.device, *, train: bool, item_parts: tuple[int, ...] = (1, 1),
    ) -> None:  # fmt: skip
        self.n_tokens = N = n_tokens
        self.device = device
        H, T, R = config.heads, config.max_length, max(rows, 8)

        # what products read
        shapes = self._forward_shapes(config, rows, kept=train)
        if train:
            shapes |= self._backward_shapes(config, rows)
        self._carve(shapes, half)
        for name in WITH_ONES:
            getattr(self, name)[..., config.width] = 1

        # nothing is kept to rank: all blocks write to one place
        if not train:
            for name in (
                *WITH_ONES,
                "q",
                "kv",
                "attn_out",
                "summed",
                "weights",
                "weights_by_bucket",
            ):
                shared = getattr(self, name)
                setattr(self, name, shared.expand(config.blocks + 1, *shared.shape[1:]))

        if train and not has_gaps(config):
            self.dout = self.dsum

        # tokens
        self.numbers = tuple(self._ints(N) for _ in widths(config))  # of each input
        self.times, self.query_times = (self._ints(N) for _ in range(2))
        self.targets, self.sequence, self.negatives = (self._ints(N) for _ in range(3))

        # intervals, norms, losses
        self.counts = self._ints(N if rows else 1, R, torch.int16)
        kind = torch.int16 if rows <= 1 << 15 else torch.int32
        self.pair_rows = self._ints(N if rows else 1, aligned(T), kind)
        self.sums = self._floats(H, N, aligned(T))
        self.means, self.scales = (self._floats(2 * config.blocks + 1, N) for _ in range(2))
        smoothed = config.loss == "softmax" and config.smoothing > 0
        self.logs = self._floats(N, 2) if smoothed else self._floats(N)
        self.losses = self._floats(N // 16)
        self.item_parts = self._floats(*item_parts)

    def _forward_shapes(
        self, config: Config, rows: int, *, kept: bool
    ) -> dict[str, tuple[int, ...]]:
        N, K, H, T = self.n_tokens, columns_of(config), config.heads, config.max_length
        L, R, KH = config.blocks if kept else 1, max(rows, 8), columns_by_head(config)
        by_bucket = (H, N if rows else 1, R)
        names = ("normal", "y", "hidden", "summed")
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(names, (L, N, K))
        return shapes | {
            "x": (L + 1 if kept else 1, N, K),
            "q": (L, N, KH),
            "kv": (L, N, 2 * KH),
            "attn_out": (L, N, KH),
            "weights": (L, H, N, aligned(T)),
            "weights_by_bucket": (L, *by_bucket),
            "by_bucket": by_bucket,
            "one": (N, K),
            "features": (N, K),
            "tables": (config.blocks, 2, R, KH),
            "positions": (config.blocks, 2, T, KH),
        }

    def _backward_shapes(self, config: Config, rows: int) -> dict[str, tuple[int, ...]]:
        N, K, H, T = self.n_tokens, columns_of(config), config.heads, config.max_length
        L, R, KH = config.blocks, max(rows, 8), columns_by_head(config)
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("dfeatures", "dx", "two"), (N, K))
        # of all blocks, since the gradients of all weights are summed at once
        shapes |= dict.fromkeys(("du", "dz", "dsum"), (L, N, K))
        shapes |= {"dout": (L, N, KH)} if has_gaps(config) else {}
        return shapes | {
            "dq": (L, N, KH),
            "dkv": (L, N, 2 * KH),
            "bucket_grads": (L, H, N if rows else 1, R),
            "d_scores": (H, N, aligned(T)),
        }

    def _carve(self, shapes: dict[str, tuple[int, ...]], half: torch.dtype) -> None:
        sizes = {name: -(-torch.Size(shape).numel() // 64) * 64 for name, shape in shapes.items()}
        self.arena = torch.zeros(sum(sizes.values()), dtype=half, device=self.device)
        parts = self.arena.split(list(sizes.values()))
        for (name, shape), part in zip(shapes.items(), parts, strict=True):
            setattr(self, name, part[: torch.Size(shape).numel()].view(shape))

    def _ints(self, rows: int, columns: int = 1, kind: torch.dtype = torch.int32) -> Tensor:
        return torch.zeros(rows, columns, dtype=kind, device=self.device)

    def _floats(self, *shape: int) -> Tensor:
        return torch.zeros(shape, device=self.device)
