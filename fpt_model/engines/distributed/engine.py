"""The encoder on several ranks: each has some of a batch's users, and gradients are averaged.

Every rank has all weights. Loss and gradients are those of the whole batch: a rank's part counts
by its share of all positions that have a target.

Letters: B users of a step, b of them on this rank, T sequence.
"""

from inspect import signature
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fpt_model.data.negatives import seed_step
from fpt_model.data.sequences import SequenceBatch, Split
from fpt_model.data.training_windows import training_windows
from fpt_model.engines.capturing import tf32_products
from fpt_model.engines.contract import Moments
from fpt_model.engines.distributed.group import (
    BUILD,
    LOAD,
    RANK,
    RESTORE,
    STEP,
    Group,
    lost_contact,
)
from fpt_model.engines.distributed.shares import Shares
from fpt_model.engines.module import ModuleEngine
from fpt_model.engines.shared import Training
from fpt_model.errors import ModelError
from fpt_model.evaluation.ranks import Protocol, Ranks, compare, evaluated, joined, scored
from fpt_model.evaluation.scorer import scorer
from fpt_model.model.losses import bce_loss, softmax_loss

# no buffer changes while it trains; PyTorch 2.13 has another name for it
_NAMES = signature(DistributedDataParallel).parameters
_NO_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers": False
}
_LEADING: "WeakValueDictionary[int, Distributed]" = WeakValueDictionary()


class Batch(NamedTuple):
    """What a rank has of a step.

    Attributes:
        windows: of b users, some ids replaced.
        targets: (b, T).
        owners: (b,) whose windows they are.
    """

    windows: SequenceBatch
    targets: Tensor
    owners: Tensor


class Distributed(ModuleEngine):
    """What rank 0 has; the others have the same, and do what it tells (`follow.py`).

    Args:
        training: its own.
    """

    own_passes = False

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self.group = Group.current
        rank, world = (self.group.rank, self.group.world) if self.group else (0, 1)
        self.world, self.rank_number = world, rank
        self.shares = Shares(rank, world, training.rows.device)
        self._announce()
        self.losses: nn.Module = _Losses(self)
        if self.group:
            with lost_contact():
                self.losses = DistributedDataParallel(
                    self.losses, process_group=self.group.data, **_NO_BUFFERS
                )

    def _announce(self) -> None:
        """Have the others build the same; what nobody trains any more they forget."""
        if self.group is None or self.rank_number:
            return
        self.number = max(_LEADING, default=-1) + 1
        _LEADING[self.number] = self
        loaded = self.training.loaded
        sequences = None if loaded is self.group.sent else loaded.to(torch.device("cpu"))
        self.group.sent = loaded
        self.group.tell(BUILD, self.number)
        training = self.training
        self.group.share_object((training.config, training.seed, sequences, set(_LEADING)))

    def _tell(self, code: int, *numbers: int) -> Group | None:
        if self.group is not None and self.rank_number == 0:
            self.group.tell(code, self.number, *numbers)
        return self.group

    def train(self) -> None:
        """See `Engine`: one step."""
        training, progress = self.training, self.training.progress
        group = self._tell(STEP, progress.epoch, progress.step)
        if progress.step == 0:
            self.start_epoch()
            if group is not None and self.config.grouped:
                group.share([training.groups])  # the same everywhere, to the bit
        users = self.users_of_step()
        self.model.train()
        try:
            self.step_on(users)
        except Exception:
            if group is not None:
                group.out_of_step = True
            raise
        progress.step += 1

    def step_on(self, users: Tensor) -> None:
        """A step on users (B,), of whom this rank has some."""
        training, length = self.training, self.config.max_length
        seed_step(training.seed, training.steps_before)
        ends = self.ends(users)  # of all, on each rank
        own = self.shares.begin(training.seed, training.steps_before, len(users))
        rows = training.rows[users[own]]
        with lost_contact():
            windows, targets = training_windows(self.sequences, rows, ends[own], length)
            training.loss_sum += self.differentiate(windows, targets)
        self.optimizer.step()

    def differentiate(self, windows: SequenceBatch, targets: Tensor) -> Tensor:
        """See `ModuleEngine`; of this rank's b users, the loss is that of all B."""
        self.optimizer.zero_grad()
        with tf32_products(targets.device):
            loss = self._own_share(windows, targets)
            # drawn with the same seed on each rank
            seed_step(self.training.seed, -1 - self.training.steps_before)
            penalties = self.penalties()
            (loss * self.world + penalties).backward()  # DDP takes the mean over ranks
        return self._summed(loss.detach()) + penalties.detach()

    def _own_share(self, windows: SequenceBatch, targets: Tensor) -> Tensor:
        """Of the mean over all positions that have a target."""
        count = (targets > 0).sum()
        everywhere = self._summed(count)
        if not len(targets):
            loss: Tensor = self.losses(None)
            return loss
        owners = windows.users
        windows = self.shares.apply_sse(windows, self.config, self.sequences)
        mean: Tensor = self.losses(Batch(windows, targets, owners))
        return mean * (count / everywhere)

    def _summed(self, value: Tensor) -> Tensor:
        """Over all ranks."""
        if self.group is None:
            return value
        total = value.clone()
        dist.all_reduce(total, group=self.group.data)
        return total

    def loss(self, batch: Batch) -> Tensor:
        """Mean over this rank's positions that have a target."""
        config, model, targets = self.config, self.model, batch.targets
        features = model(
            batch.windows, dropout=lambda x, site: self.shares.dropout(x, config.dropout, site)
        )
        if config.loss == "softmax":
            seen = self.seen(batch.windows, batch.owners, self.longest)
            return softmax_loss(model, features, targets, seen)
        shape = tuple(targets.shape)
        chance = self.shares.uniform(shape, targets.device)
        return bce_loss(model, features, targets, self.negatives.draw(batch.owners, shape, chance))

    def load(self, weights: dict[str, Tensor], source: str = "The weights") -> None:
        """See `Engine`."""
        super().load(weights, source)
        if self._tell(LOAD):
            self.share_weights()

    def share_weights(self) -> None:
        """The leader's, to all."""
        if self.group is not None:
            self.group.share(list(self.weights().values()))

    def restore(self, moments: Moments) -> None:
        """See `Engine`."""
        super().restore(moments)
        if (group := self._tell(RESTORE)) is not None:
            group.share_object({name: tuple(x.shape) for name, x in moments.items()})
            self.share_state(moments)

    def share_state(self, moments: Moments) -> None:
        """The leader's moments and groups, to all."""
        device = self.training.rows.device
        moved = {name: x.to(device) for name, x in moments.items()}
        if self.group is not None:
            self.group.share([*moved.values(), self.training.groups, self.training.loss_sum])
        if self.rank_number:
            super().restore(moved)

    def rank(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """See `Engine`; each rank has some of the users."""
        if (group := self._tell(RANK)) is None:
            return self.own_ranks(split, protocols)
        group.share_object((split, protocols))
        parts = self.gathered_ranks(split, protocols)
        wrong = [part for part in parts if isinstance(part, ModelError)]
        if wrong:
            raise wrong[0]
        return _on(joined([part for part in parts if part is not None]), self.training.rows.device)

    def gathered_ranks(self, split: Split, protocols: tuple[Protocol, ...]) -> list[Any]:
        """Each rank's part, on the CPU, or why there is none; of the leader alone."""
        found: Any
        try:
            found = _on(self.own_ranks(split, protocols), torch.device("cpu"))
        except ModelError as error:
            found = error
        except _NobodyError:
            found = None
        return (self.group.gather(found) if self.group else [found]) or []

    def own_ranks(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """Of this rank's users."""
        rows = evaluated(self.sequences).tensor_split(self.world)[self.rank_number]
        if not len(rows):
            raise _NobodyError
        score, length = scorer(self.model, self.sequences), self.config.max_length
        batches = scored(score, self.sequences, rows, split, length)
        return compare(batches, self.sequences, split, protocols)


class _NobodyError(Exception):
    """There are fewer users than ranks."""


class _Losses(nn.Module):
    """What DDP sees: a batch in, its loss out."""

    def __init__(self, engine: Distributed) -> None:
        super().__init__()
        self.model = engine.model
        self.of = engine.loss

    def forward(self, batch: Batch | None) -> Tensor:
        """Without a batch zero, by all parameters."""
        if batch is None:
            return 0.0 * torch.stack([own.sum() for own in self.model.parameters()]).sum()
        found: Tensor = self.of(batch)
        return found


def _on(ranks: Ranks, device: torch.device) -> Ranks:
    return Ranks(
        ranks.users.to(device),
        {name: x.to(device) for name, x in ranks.ranks.items()},
        {name: x.to(device) for name, x in ranks.n_candidates.items()},
        None if ranks.lists is None else ranks.lists.to(device),
    )
