"""What kernels read and write besides weights: windows on the device, and scratch.

Letters: S seeds, B batch, T sequence, D width, R interval rows, L blocks; n = S·B sequences.
"""

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.sequences import SequenceBatch
from fpt_model.engines.multiseed import activations
from fpt_model.engines.multiseed.layout import PaddedLayout
from fpt_model.features import token_inputs, widths

OPERANDS = torch.float16  # of products: the significand of TF32, and half its size


class Batch:
    """Windows as kernels read them: int32 on the device.

    Args:
        config: settings.
        windows: (N, T) of one set of users, or of S sets one after the other (S·N, T).
        targets: same shape; None to rank.
        buckets: see `fpt_model.engines.multiseed.intervals`; None without intervals.
        shared: whether all seeds use the same windows.

    Attributes:
        tokens: (N, T) each, of the inputs that have a number of each token; items are the first.
        real: (N,), positions of a window that are no padding.
    """

    def __init__(
        self,
        config: Config,
        windows: SequenceBatch,
        targets: Tensor | None,
        buckets: Tensor | None,
        *,
        shared: bool,
    ) -> None:
        self.tokens = tuple(getattr(windows, name).int() for name in token_inputs(config))
        items = self.tokens[0]
        self.targets = items if targets is None else targets.int()
        self.users = windows.users.int()
        self.real = (windows.items > 0).sum(1, dtype=torch.int32)
        self.buckets = items if buckets is None else buckets
        self.shared = shared

    def tensors(self) -> tuple[Tensor, ...]:
        """All of them."""
        return *self.tokens, self.targets, self.users, self.real, self.buckets


class Drawn:
    """What is drawn for a step of n sequences, and what its windows look up.

    Attributes:
        tokens: as of `Batch`, (n, T) each.
        targets, negatives: (n, T).
        users, window_index: (n,), of the sequences; `window_index` is the number of the window.
        first_real: (n,), the first position of a sequence that is no padding.
        masks: (n, mask_size) bytes, what dropout keeps.
    """

    def __init__(
        self, layout: PaddedLayout, config: Config, n: int, mask_size: int, device: torch.device
    ) -> None:
        def zeros(*shape: int, kind: torch.dtype = torch.int32) -> Tensor:
            return torch.zeros(shape, device=device, dtype=kind)

        self.tokens = tuple(zeros(n, layout.length) for _ in token_inputs(config))
        self.targets, self.negatives = zeros(n, layout.length), zeros(n, layout.length)
        self.users, self.window_index, self.first_real = (zeros(n) for _ in range(3))
        self.masks = zeros(n, mask_size, kind=torch.uint8)
        tokens = iter(self.tokens)
        others = {"users": self.users, **layout.item_features}
        # of each input, as kernels look them up
        self.ids = tuple(
            next(tokens) if feature.per == "token" else others[feature.name]
            for feature, _ in widths(config)
        )


class Workspace:
    """What the kernels of n sequences write: on the way forward, and back if `train`.

    What is drawn has two places, taken in turn: the next step's is drawn beside a step.
    """

    def __init__(self, layout: PaddedLayout, config: Config, n: int, *, train: bool, like: Tensor):
        T, D, R, layers = layout.length, layout.width, layout.rows, config.blocks
        trained = layers if train else 1

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, device=like.device)

        def fp16_zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, device=like.device, dtype=OPERANDS)

        # of dropout: on the input, and on each layer's weights, hidden layer and output
        self.mask_size = T * D + layers * (T * T + 2 * T * D) if train else 2
        own = layout, config, n, self.mask_size, like.device
        self.drawn = [Drawn(*own) for _ in range(1 + train)]
        self.x = zeros(n, T, D)
        kinds = activations.TO_TRAIN if train else activations.TO_RANK
        self.tiles = fp16_zeros(
            kinds, layers + 1, n, T, D
        )  # the last norm's lie above the last block
        self.sums = fp16_zeros(2 if train else 1, trained, n, T, R)
        if not train:
            return
        self.rsd = zeros(2, layers, n, T)
        self.attn = fp16_zeros(2, layers, n, T, T)
        self.dx, self.losses = zeros(n, T, D), zeros(n, T)
