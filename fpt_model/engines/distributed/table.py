"""An item table that is cut by row over ranks.

A rank keeps every row whose number leaves its own as the remainder, so that popular items, which
often stand first, are spread. A step fetches the rows it needs from those who have them, and sends
their gradients back. Adam's moments are cut likewise: a rank has 12 bytes for each number of its
rows.

PyTorch's own ways do not save that memory. FSDP2 gathers the whole table for each step. DTensor
looks up rows of a table that is cut, but the gradient of its lookup is whole, on every rank
(PyTorch 2.13).

Letters: I items, U rows asked for by this rank, D width.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from fpt_model.config import Config
from fpt_model.engines.item_rows import ItemRows, LookedUp

SENT = 1 << 26  # numbers at a time, where a whole table goes from rank to rank


class CutRows(ItemRows):
    """Rows of a table, of which this rank keeps some.

    Attributes:
        most: rows of the rank that keeps most; the same on all.

    Args:
        n_items: I.
        config: settings.
        group: of the ranks.
        device: where rows are kept.
        learning_rate_of: see `ItemRows`.
    """

    def __init__(
        self,
        n_items: int,
        config: Config,
        group: Any,
        device: torch.device,
        learning_rate_of: Callable[[int], float] | None = None,
    ) -> None:
        self.group, self.count = group, n_items + 1
        self.world, self.number = dist.get_world_size(group), dist.get_rank(group)
        own = len(range(self.number, self.count, self.world))
        self.most = -(-self.count // self.world)
        own_rows = torch.zeros(own, config.item_width, device=device)
        super().__init__(own_rows, config, learning_rate_of)

    def fetched(self, numbers: Tensor) -> Tensor:
        """See `ItemRows`; ranks may ask for unlike many. All ranks call it."""
        owner = numbers % self.world
        self.order = owner.argsort(stable=True)
        asked = owner.bincount(minlength=self.world)
        given = torch.empty_like(asked)
        dist.all_to_all_single(given, asked, group=self.group)
        self.asked_of, self.given_to = asked.tolist(), given.tolist()
        wanted = (numbers // self.world)[self.order]
        self.wanted = self._exchanged(wanted, self.given_to, self.asked_of)
        self.stop_coasting(self.wanted.unique())
        rows = self.weight.index_select(0, self.wanted)
        return self._exchanged(rows, self.asked_of, self.given_to)[self.order.argsort()]

    def collected(self, looked: LookedUp) -> tuple[Tensor, Tensor]:
        """See `ItemRows`: of the latest look-up, the mean of all ranks' gradients, added rank by
        rank."""
        _, own = super().collected(looked)
        gradient = self._exchanged(own[self.order], self.given_to, self.asked_of)
        places = self.wanted.unique()
        summed = gradient.new_zeros(len(places), gradient.shape[1])
        parts = self.wanted.split(self.given_to), gradient.split(self.given_to)
        for some, of_rank in zip(*parts, strict=True):  # a rank asks for a row once
            at = torch.searchsorted(places, some)
            summed[at] = summed[at] + of_rank
        return places, summed / self.world

    def summed(self, value: Tensor) -> Tensor:
        """Over all ranks."""
        total = value.clone()
        dist.all_reduce(total, group=self.group)
        return total

    def joined(self, columns: Tensor) -> Tensor:
        """Columns (B, K) of all ranks side by side."""
        parts = [torch.empty_like(columns) for _ in range(self.world)]
        dist.all_gather(parts, columns.contiguous(), group=self.group)
        return torch.cat(parts, 1)

    def is_own(self, numbers: Tensor) -> Tensor:
        """Which rows this rank keeps."""
        return numbers % self.world == self.number

    def place_of(self, numbers: Tensor) -> Tensor:
        """Where it keeps them."""
        return numbers // self.world

    def give(self, whole: Tensor | None, own: Tensor) -> None:
        """The first rank's table (I + 1, D), on a CPU, to those who keep its rows.

        Args:
            whole: on the first rank.
            own: rows like `weight`, which are written. All ranks call it.
        """
        for rank, some, rows in self._parts(own):
            if rank == 0:
                if whole is not None:
                    own[rows] = whole[some].to(own.device)
            elif whole is not None:
                dist.send(whole[some].to(own.device).contiguous(), rank, group=self.group)
            elif rank == self.number:
                part = torch.empty_like(own[rows])
                dist.recv(part, 0, group=self.group)
                own[rows] = part

    def taken(self, own: Tensor) -> Tensor | None:
        """The whole table, (I + 1, D) on a CPU, on the first rank. All ranks call it."""
        shape = self.count, *own.shape[1:]
        whole = torch.empty(shape, dtype=own.dtype) if self.number == 0 else None
        for rank, some, rows in self._parts(own):
            if rank == 0:
                if whole is not None:
                    whole[some] = own[rows].cpu()
            elif whole is not None:
                part = own.new_empty(rows.stop - rows.start, *own.shape[1:])
                dist.recv(part, rank, group=self.group)
                whole[some] = part.cpu()
            elif rank == self.number:
                dist.send(own[rows].contiguous(), 0, group=self.group)
        return whole

    def _parts(self, own: Tensor) -> Iterator[tuple[int, slice, slice]]:
        """Of each rank some rows at a time: where in the whole, and where among its own."""
        size = max(1, SENT // own[:1].numel())
        for rank in range(self.world):
            count = len(range(rank, self.count, self.world))
            for first in range(0, count, size):
                last = min(first + size, count)
                whole = slice(rank + first * self.world, rank + last * self.world, self.world)
                yield rank, whole, slice(first, last)

    def _exchanged(self, rows: Tensor, received: list[int], sent: list[int]) -> Tensor:
        found = rows.new_empty((sum(received), *rows.shape[1:]))
        dist.all_to_all_single(found, rows.contiguous(), received, sent, group=self.group)
        return found
