"""What kernels read and write besides weights: windows on the device, and scratch.

Letters: S seeds, B batch, T sequence, D width, R interval rows, L blocks; n = S·B sequences.
"""

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data import Windows
from fpt_model.fused import saved
from fpt_model.fused.layout import Layout

OPERANDS = torch.float16  # of products: the significand of TF32, and half its size


class Batch:
    """Windows as kernels read them: int32 on the device.

    Args:
        windows: (N, T) of one set of users, or of S sets one after the other (S·N, T).
        targets: same shape; None to rank.
        look_ups: see `fpt_model.fused.intervals`; None without intervals.
        shared: whether all seeds use the same windows.

    Attributes:
        real: (N,), positions of a window that are no padding.
    """

    def __init__(
        self, windows: Windows, targets: Tensor | None, look_ups: Tensor | None, *, shared: bool
    ) -> None:
        self.items, self.weeks = windows.items.int(), windows.weeks.int()
        self.targets = self.items if targets is None else targets.int()
        self.users = windows.users.int()
        self.real = (windows.items > 0).sum(1, dtype=torch.int32)
        self.look_ups = self.items if look_ups is None else look_ups
        self.shared = shared


class Scratch:
    """What the kernels of n sequences write: on the way forward, and back if `train`.

    What is drawn at random has two places, taken in turn: the next step's is drawn beside a step.
    """

    def __init__(self, layout: Layout, config: Config, n: int, *, train: bool, like: Tensor):
        T, D, R, layers = layout.length, layout.width, layout.rows, config.blocks
        trained = layers if train else 1

        def zeros(*shape: int, kind: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, device=like.device, dtype=kind)

        def halves(*shape: int) -> Tensor:
            return zeros(*shape, kind=OPERANDS)

        ids = ("items", "weeks", "targets")
        self.ids = {name: zeros(n, T, kind=torch.int32) for name in ids}
        self.users, self.chosen = (zeros(n, kind=torch.int32) for _ in range(2))
        self.x = zeros(n, T, D)
        kinds = saved.TO_TRAIN if train else saved.TO_RANK
        self.tiles = halves(kinds, layers + 1, n, T, D)  # the last norm's lie above the last block
        self.sums = halves(2 if train else 1, trained, n, T, R)
        # of dropout: on the input, and on each layer's weights, hidden layer and output
        self.mask_size = T * D + layers * (T * T + 2 * T * D) if train else 2
        self.masks = [zeros(n, self.mask_size, kind=torch.uint8) for _ in range(2)]
        if not train:
            return
        self.negatives = [zeros(n, T, kind=torch.int32) for _ in range(2)]
        self.rsd = zeros(2, layers, n, T)
        self.squares = halves(2, layers, n, T, T)
        self.dx, self.losses = zeros(n, T, D), zeros(n, T)
