"""Chance of a step, which does not depend on how many ranks there are.

A batch is cut into eight shares, and each share draws from generators seeded by seed, step and
share. A rank has some shares in a row, so that more or fewer ranks draw the same for each user.
"""

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.negatives import generator, seed_step
from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.data.training_windows import apply_sse
from fpt_model.engines.distributed.limits import SHARES

_SHARE, _WHOLE = 101, 102  # purposes of `generator`
_TABLES = ("key_intervals", "value_intervals", "key_positions", "value_positions")


class Shares:
    """The shares of one rank.

    Args:
        rank: which.
        world: how many ranks there are.
        device: to draw on.
    """

    def __init__(self, rank: int, world: int, device: torch.device) -> None:
        self.numbers = range(rank * SHARES // world, (rank + 1) * SHARES // world)
        self.whole = torch.Generator(device)
        self.own = [torch.Generator(device) for _ in self.numbers]
        self.sizes: list[int] = []

    def begin(self, seed: int, step: int, users: int) -> slice:
        """Take a step with so many users. Returns which of them are this rank's."""
        sizes = [len(part) for part in torch.empty(users).tensor_split(SHARES)]
        self.sizes = [sizes[number] for number in self.numbers]
        self.seeds = [_seed(seed, _SHARE, step * SHARES + number) for number in self.numbers]
        self.whole.manual_seed(_seed(seed, _WHOLE, step))
        for own, number in zip(self.own, self.seeds, strict=True):
            own.manual_seed(number)
        first = sum(sizes[: self.numbers.start])
        return slice(first, first + sum(self.sizes))

    def apply_sse(
        self, windows: SequenceBatch, config: Config, sequences: Sequences
    ) -> SequenceBatch:
        """See `training_windows.apply_sse`; each share by PyTorch's generators, seeded for it."""
        rows = torch.arange(len(windows.users), device=windows.users.device)
        parts = []
        for seed, chosen in zip(self.seeds, rows.split(self.sizes), strict=True):
            seed_step(seed, 0)
            parts.append(vars(apply_sse(windows.select(chosen), config, sequences)))
        return SequenceBatch(
            **{name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        )

    def uniform(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Float64 in [0, 1), whose first dimension are this rank's users."""
        drawn = torch.empty(shape, dtype=torch.float64, device=device)
        for part, own in zip(drawn.split(self.sizes), self.own, strict=True):
            part.uniform_(generator=own)
        return drawn

    def dropout(self, x: Tensor, rate: float, site: str) -> Tensor:
        """What is left of a tensor at a site of the encoder; tables are everybody's."""
        if not rate:
            return x
        kept = torch.empty_like(x, requires_grad=False)
        if site.rpartition(".")[2] in _TABLES:
            kept.bernoulli_(1 - rate, generator=self.whole)
        else:
            for part, own in zip(kept.split(self.sizes), self.own, strict=True):
                part.bernoulli_(1 - rate, generator=own)
        return x * kept.div_(1 - rate)


def _seed(seed: int, purpose: int, number: int) -> int:
    return generator(seed, purpose, number).initial_seed()
