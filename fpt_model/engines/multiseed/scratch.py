"""What kernels read and write besides weights: windows on the device, and scratch.

Letters: S seeds, B batch, T sequence, D width, R interval rows, L blocks; n = S·B sequences.
"""

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.sequences import Windows
from fpt_model.engines.multiseed import saved
from fpt_model.engines.multiseed.layout import PaddedLayout
from fpt_model.features import token_inputs, widths

OPERANDS = torch.float16  # of products: the significand of TF32, and half its size


class Batch:
    """Windows as kernels read them: int32 on the device.

    Args:
        config: settings.
        windows: (N, T) of one set of users, or of S sets one after the other (S·N, T).
        targets: same shape; None to rank.
        look_ups: see `fpt_model.engines.multiseed.intervals`; None without intervals.
        shared: whether all seeds use the same windows.

    Attributes:
        tokens: (N, T) each, of the inputs that have a number of each token; items are the first.
        real: (N,), positions of a window that are no padding.
    """

    def __init__(
        self,
        config: Config,
        windows: Windows,
        targets: Tensor | None,
        look_ups: Tensor | None,
        *,
        shared: bool,
    ) -> None:
        self.tokens = tuple(getattr(windows, name).int() for name in token_inputs(config))
        items = self.tokens[0]
        self.targets = items if targets is None else targets.int()
        self.users = windows.users.int()
        self.real = (windows.items > 0).sum(1, dtype=torch.int32)
        self.look_ups = items if look_ups is None else look_ups
        self.shared = shared

    def tensors(self) -> tuple[Tensor, ...]:
        """All of them."""
        return *self.tokens, self.targets, self.users, self.real, self.look_ups


class Drawn:
    """What is drawn for a step of n sequences, and what its windows look up.

    Attributes:
        tokens: as of `Batch`, (n, T) each.
        targets, negatives: (n, T).
        users, chosen: (n,), of the sequences; `chosen` is the number of the window.
        begins: (n,), the first position of a sequence that is no padding.
        masks: (n, mask_size) bytes, what dropout keeps.
    """

    def __init__(
        self, config: Config, n: int, length: int, mask_size: int, device: torch.device
    ) -> None:
        def zeros(*shape: int, kind: torch.dtype = torch.int32) -> Tensor:
            return torch.zeros(shape, device=device, dtype=kind)

        self.tokens = tuple(zeros(n, length) for _ in token_inputs(config))
        self.targets, self.negatives = zeros(n, length), zeros(n, length)
        self.users, self.chosen, self.begins = (zeros(n) for _ in range(3))
        self.masks = zeros(n, mask_size, kind=torch.uint8)
        tokens = iter(self.tokens)
        # of each input, as kernels look them up
        self.ids = tuple(
            next(tokens) if feature.per == "token" else self.users for feature, _ in widths(config)
        )


class Scratch:
    """What the kernels of n sequences write: on the way forward, and back if `train`.

    What is drawn has two places, taken in turn: the next step's is drawn beside a step.
    """

    def __init__(self, layout: PaddedLayout, config: Config, n: int, *, train: bool, like: Tensor):
        T, D, R, layers = layout.length, layout.width, layout.rows, config.blocks
        trained = layers if train else 1

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, device=like.device)

        def halves(*shape: int) -> Tensor:
            return torch.zeros(shape, device=like.device, dtype=OPERANDS)

        # of dropout: on the input, and on each layer's weights, hidden layer and output
        self.mask_size = T * D + layers * (T * T + 2 * T * D) if train else 2
        self.drawn = [Drawn(config, n, T, self.mask_size, like.device) for _ in range(1 + train)]
        self.x = zeros(n, T, D)
        kinds = saved.TO_TRAIN if train else saved.TO_RANK
        self.tiles = halves(kinds, layers + 1, n, T, D)  # the last norm's lie above the last block
        self.sums = halves(2 if train else 1, trained, n, T, R)
        if not train:
            return
        self.rsd = zeros(2, layers, n, T)
        self.squares = halves(2, layers, n, T, T)
        self.dx, self.losses = zeros(n, T, D), zeros(n, T)
