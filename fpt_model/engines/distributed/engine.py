"""The encoder on several ranks: each has some of a batch's users, and gradients are averaged.

Every rank has all weights, but of the item table of a sampled softmax: that is cut over the ranks
(`table.py`). Loss and gradients are those of the whole batch: a rank's part counts
by its share of all positions that have a target.

Letters: B users of a step, b of them on this rank, T sequence.
"""

from contextlib import nullcontext
from inspect import signature
from typing import Any, NamedTuple
from weakref import WeakMethod, WeakValueDictionary

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from fpt_model.data.negatives import seed_step
from fpt_model.data.sequences import SequenceBatch, Split
from fpt_model.data.training_windows import training_windows
from fpt_model.engines.capturing import tf32_products
from fpt_model.engines.contract import Moments
from fpt_model.engines.distributed.cut_ranks import CutRanks
from fpt_model.engines.distributed.group import (
    BUILD,
    LOAD,
    MOMENTS,
    RANK,
    RESTORE,
    STEP,
    WEIGHTS,
    Group,
    lost_contact,
)
from fpt_model.engines.distributed.limits import cuts
from fpt_model.engines.distributed.shares import Shares
from fpt_model.engines.distributed.table import CutRows
from fpt_model.engines.item_rows import OF_ROWS, ItemRows
from fpt_model.engines.module import ITEMS, ModuleEngine
from fpt_model.engines.sampled import SampledBatch, loss_of
from fpt_model.engines.shared import Training
from fpt_model.errors import ModelError
from fpt_model.evaluation.ranks import Protocol, Ranks, evaluated, joined, rank
from fpt_model.evaluation.scorer import scorer
from fpt_model.files.checkpoints import load_weights
from fpt_model.model.encoder import Encoder

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
        sampled: what a sampled softmax has looked up.
    """

    windows: SequenceBatch
    targets: Tensor
    owners: Tensor
    sampled: SampledBatch | None = None


class Distributed(ModuleEngine):
    """What rank 0 has; the others have the same, and do what it tells (`follow.py`).

    Args:
        training: its own; see `items_of` in `choose.py`.

    Attributes:
        table: the item table, where it is cut; then weights are on the CPU, of the leader alone.
    """

    own_passes = False

    def __init__(self, training: Training) -> None:
        self.table: CutRows | None = None
        super().__init__(training)
        self.group = Group.current
        rank, world = (self.group.rank, self.group.world) if self.group else (0, 1)
        self.world, self.rank_number = world, rank
        self.shares = Shares(rank, world, training.rows.device)
        self._announce()
        self.losses: nn.Module = _Losses(self)
        if self.group:
            with self.group.together():
                self.losses = DistributedDataParallel(
                    self.losses, process_group=self.group.data, **_NO_BUFFERS
                )
                if self.table is not None:
                    self.table.give(training.first_items, self.table.weight)
                    training.first_items = None

    def item_rows(self) -> ItemRows:
        """See `ModuleEngine`."""
        group, training = Group.current, self.training
        if group is None or not cuts(self.config):
            return super().item_rows()
        n_items, device = self.sequences.n_items, training.rows.device
        self.table = CutRows(n_items, self.config, group.data, device, training.learning_rate_of)
        return self.table

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
        self.set_learning_rate()
        with self.group.together() if self.group else nullcontext():
            self.step_on(users)
            self.end_step()

    def step_on(self, users: Tensor) -> None:
        """A step on users (B,), of whom this rank has some."""
        training, length = self.training, self.config.max_length
        seed_step(training.seed, training.steps_before)
        ends = self.ends(users)  # of all, on each rank
        own = self.shares.begin(training.seed, training.steps_before, len(users))
        rows = training.rows[users[own]]
        windows, targets = training_windows(self.sequences, rows, ends[own], length)
        training.loss_sum += self.differentiate(windows, targets)
        self.optimizer.step()

    def differentiate(self, windows: SequenceBatch, targets: Tensor) -> Tensor:
        """See `ModuleEngine`; of this rank's b users, the loss is that of all B."""
        self.optimizer.zero_grad()
        batch = self._batch(windows, targets)
        with tf32_products(targets.device):
            loss = self._own_share(batch)
            # drawn with the same seed on each rank
            seed_step(self.training.seed, -1 - self.training.steps_before)
            penalties = self.penalties()
            (loss * self.world + penalties).backward()  # DDP takes the mean over ranks
        total = self._summed(loss.detach()) + penalties.detach()
        if self.sampled is not None and batch.sampled is not None:
            total = total + self.sampled.rows.step(batch.sampled.looked)
        return total

    def _batch(self, windows: SequenceBatch, targets: Tensor) -> Batch:
        owners = windows.users
        if len(targets):
            windows = self.shares.apply_sse(windows, self.config, self.sequences)
        if self.sampled is None:
            return Batch(windows, targets, owners)
        # the same items on each rank
        sampled = self.sampled.look_up(windows, targets, owners, self.shares.whole)
        return Batch(windows, targets, owners, sampled)

    def _own_share(self, batch: Batch) -> Tensor:
        """Of the mean over all positions that have a target."""
        count = (batch.targets > 0).sum()
        everywhere = self._summed(count)
        if not len(batch.targets):
            loss: Tensor = self.losses(None)
            return loss
        mean: Tensor = self.losses(batch)
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

        def dropout(x: Tensor, site: str) -> Tensor:
            return self.shares.dropout(x, config.dropout, site)

        if batch.sampled is not None:
            return loss_of(model, batch.sampled, dropout)
        features = model(batch.windows, dropout=dropout)
        negatives = seen = None
        if config.loss == "softmax":
            seen = self.seen(batch.windows, batch.owners, self.longest)
        else:
            shape = self.shape_of_negatives(targets)
            chance = self.shares.uniform(shape, targets.device)
            negatives = self.negatives.draw(batch.owners, shape, chance)
        return self.next_item_loss(features, targets, negatives, seen)

    @property
    def weights_device(self) -> torch.device:
        """See `Engine`."""
        return super().weights_device if self.table is None else torch.device("cpu")

    def weights(self) -> dict[str, Tensor]:
        """See `Engine`; of a table that is cut, on the leader alone."""
        found = super().weights()
        if self.table is None or self.group is None:
            return found
        self._tell(WEIGHTS)
        with self.group.together():
            whole = self.table.taken(self.table.weight)
        found = {name: value.cpu() for name, value in found.items()}
        return found if whole is None else {**found, ITEMS: whole}

    def encoder(self) -> Encoder:
        """See `Engine`; where the table is cut, another one on the CPU."""
        if self.table is None:
            return super().encoder()
        sequences = self.sequences.to(self.weights_device)
        sizes = sequences.n_items, sequences.n_users
        model = Encoder(self.config, *sizes, self.model.edges.cpu(), sequences.item_features)
        model.load_state_dict(self.weights())
        return model

    def load(self, weights: dict[str, Tensor], source: str = "The weights") -> None:
        """See `Engine`."""
        if self.table is None:
            super().load(weights, source)
            items = None
        else:
            shapes = {ITEMS: (self.table.count, self.config.item_width)}
            load_weights(self.model, weights, source, elsewhere=shapes)
            items = weights[ITEMS]
        if self._tell(LOAD):
            self.share_weights(items)

    def share_weights(self, items: Tensor | None) -> None:
        """The leader's, to all."""
        if self.group is None:
            return
        with self.group.together():
            self.group.share(list(super().weights().values()))
            if self.table is not None:
                self.table.give(items, self.table.weight)

    def moments(self) -> Moments:
        """See `Engine`; of a table that is cut, on the leader alone."""
        found = super().moments()
        if self.table is None or self.group is None:
            return found
        self._tell(MOMENTS)
        with self.group.together():
            for name in filter(self._is_cut, list(found)):
                whole = self.table.taken(found[name])
                found[name] = found[name] if whole is None else whole
        return found

    def restore(self, moments: Moments) -> None:
        """See `Engine`."""
        if (group := self._tell(RESTORE)) is None:
            super().restore(moments)
            return
        group.share_object({name: (tuple(x.shape), x.dtype) for name, x in moments.items()})
        self.share_state(moments)

    def share_state(self, moments: Moments) -> None:
        """The leader's moments and groups, to all."""
        assert self.group is not None
        device = self.training.rows.device
        own = {name: x.to(device) for name, x in moments.items() if not self._is_cut(name)}
        with self.group.together():
            self.group.share([*own.values(), self.training.groups, self.training.loss_sum])
            cut = {name: x for name, x in moments.items() if self._is_cut(name)}
            own |= {name: self._given(x) for name, x in cut.items()}
        super().restore(own)

    def blank(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """What the leader's moment of that name will be written to."""
        device = "meta" if self._is_cut(name) else self.training.rows.device
        return torch.empty(shape, dtype=dtype, device=device)

    def _is_cut(self, name: str) -> bool:
        """Whether a moment is cut by row."""
        return self.table is not None and name in [f"{kind}.{ITEMS}" for kind in OF_ROWS]

    def _given(self, whole: Tensor) -> Tensor:
        """This rank's rows of a table that the leader has; the others know its shape and type."""
        assert self.table is not None
        weight = self.table.weight
        rows = weight.new_empty(len(weight), *whole.shape[1:], dtype=whole.dtype)
        self.table.give(whole if self.rank_number == 0 else None, rows)
        return rows

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
        if self.table is not None:
            return [self._cut_ranks(self.table, split, protocols)]
        try:
            found = _on(self.own_ranks(split, protocols), torch.device("cpu"))
        except ModelError as error:
            found = error
        except _NobodyError:
            found = None
        return (self.group.gather(found) if self.group else [found]) or []

    def _cut_ranks(
        self, table: CutRows, split: Split, protocols: tuple[Protocol, ...]
    ) -> Ranks | ModelError:
        """Of all users, or why there are none, on each rank."""
        assert self.group is not None
        try:
            with lost_contact():
                return CutRanks(self.model, table, self.sequences).rank(split, protocols)
        except ModelError as error:  # a score that is no number is seen by all
            return error
        except Exception:
            self.group.out_of_step = True  # the others wait in the middle of it
            raise

    def own_ranks(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """Of this rank's users."""
        rows = evaluated(self.sequences).tensor_split(self.world)[self.rank_number]
        if not len(rows):
            raise _NobodyError
        score, length = scorer(self.model, self.sequences), self.config.max_length
        return rank(score, self.sequences, split, length, protocols, rows)


class _NobodyError(Exception):
    """There are fewer users than ranks."""


class _Losses(nn.Module):
    """What DDP sees: a batch in, its loss out."""

    def __init__(self, engine: Distributed) -> None:
        super().__init__()
        self.model = engine.model
        # no circle: a training that is over leaves its table's memory at once
        self.loss_of = WeakMethod(engine.loss)

    def forward(self, batch: Batch | None) -> Tensor:
        """Without a batch zero, by all parameters."""
        if batch is None:
            trained = (own for own in self.model.parameters() if own.requires_grad)
            return 0.0 * torch.stack([own.sum() for own in trained]).sum()
        loss = self.loss_of()
        assert loss is not None
        found: Tensor = loss(batch)
        return found


def _on(ranks: Ranks, device: torch.device) -> Ranks:
    return Ranks(
        ranks.users.to(device),
        {name: x.to(device) for name, x in ranks.ranks.items()},
        {name: x.to(device) for name, x in ranks.n_candidates.items()},
        None if ranks.lists is None else ranks.lists.to(device),
    )
