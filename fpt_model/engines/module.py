"""Steps of PyTorch's Adam on the encoder's own parameters, by PyTorch's generators.

Letters: B users of a step, T sequence, I items.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from fpt_model.data.negatives import NegativeSampler, seed_step
from fpt_model.data.seen import seen_before
from fpt_model.data.sequences import SequenceBatch
from fpt_model.data.training_windows import random_ends, training_windows
from fpt_model.engines.adam import Adam
from fpt_model.engines.contract import Engine, Moments
from fpt_model.engines.item_rows import OF_ROWS, ItemRows
from fpt_model.engines.sampled import Sampled
from fpt_model.engines.shared import Training
from fpt_model.model.losses import bce_loss, gbce_loss, group_loss, softmax_loss

ITEMS = "items.weight"


class ModuleEngine(Engine):
    """How a step's gradients come about is left open.

    Attributes:
        sampled: with a sampled softmax: its draws, and the item table, whose rows it steps itself.
        optimizer: of all other parameters.
    """

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        config = self.config
        self.sampled: Sampled | None = None
        if config.loss == "sampled_softmax":
            self.model.items.weight.requires_grad_(False)
            self.sampled = Sampled(config, self.sequences, self.item_rows())
        self.optimizer = Adam(
            (one for one in self.model.parameters() if one.requires_grad),
            config.learning_rate,
            (config.beta1, config.beta2),
            capturable=training.rows.device.type == "cuda",
            weight_decay=config.weight_decay,
        )
        if config.scheduled and self.optimizer.capturable:
            self.optimizer.learning_rate = torch.zeros((), device=training.rows.device)
        self.order: tuple[int, Tensor] | None = None  # an epoch's, on the device
        self.taught: Tensor | None = None  # what an epoch learns after each interaction

    def item_rows(self) -> ItemRows:
        """The item table of a sampled softmax."""
        return ItemRows(self.model.items.weight, self.config, self.training.learning_rate_of)

    @abstractmethod
    def differentiate(self, windows: SequenceBatch, targets: Tensor) -> Tensor:
        """Leave each parameter's gradient where Adam looks for it; returns the loss.

        Args:
            windows: of B users, before ids are replaced.
            targets: (B, T).
        """

    def train(self) -> None:
        """See `Engine`: one step."""
        training = self.training
        if training.progress.step == 0:
            self.start_epoch()
        users = self.users_of_step()
        self.model.train()
        self.set_learning_rate()
        work = self.work(users)
        seed_step(training.seed, training.steps_before)
        work(users)
        self.end_step()

    def set_learning_rate(self) -> None:
        """Give Adam that of the next step, where a captured one reads it, too."""
        if not self.config.scheduled:
            return
        known = self.optimizer.learning_rate
        if isinstance(known, Tensor):
            known.fill_(self.training.learning_rate)
        else:
            self.optimizer.learning_rate = self.training.learning_rate

    def end_step(self) -> None:
        """Count it; after an epoch's last all weights are those of now."""
        progress = self.training.progress
        progress.step += 1
        if self.sampled is not None and progress.step == self.training.steps:
            self.sampled.rows.settle()

    def start_epoch(self) -> None:
        """See `Engine`."""
        self.training.loss_sum.zero_()
        users = self.model.users
        if users is not None:
            self.training.refresh_groups(users.weight.detach)

    def users_of_step(self) -> Tensor:
        """(B,) places in `training.rows`; an epoch's order goes to the device once."""
        training, size = self.training, self.config.batch_size
        epoch = training.progress.epoch
        if self.order is None or self.order[0] != epoch:
            self.order = epoch, training.epoch_permutation(epoch).to(training.rows.device)
            self._teach(training.targets())
        first = training.progress.step * size
        return self.order[1][first : first + size]

    def _teach(self, targets: Tensor | None) -> None:
        """Take what an epoch learns to where captured steps look for it."""
        if self.taught is None or targets is None:
            self.taught = targets
        else:
            self.taught.copy_(targets)

    def work(self, _: Tensor, /) -> Callable[[Tensor], object]:
        """What makes a step for so many users, by what generators are seeded with when it runs."""
        return self.step_on

    def step_on(self, users: Tensor) -> None:
        """A step on users (B,), who decide all shapes: nothing here waits for a GPU."""
        self.training.loss_sum += self.differentiate(*self._windows(users))
        self.optimizer.step()

    def _windows(self, users: Tensor) -> tuple[SequenceBatch, Tensor]:
        training = self.training
        if self.config.windows == "latest" and self.taught is None:
            inputs, targets = training.latest
            return inputs.select(users), targets[users]
        rows, ends, length = training.rows[users], self.ends(users), self.config.max_length
        return training_windows(self.sequences, rows, ends, length, self.taught)

    def ends(self, users: Tensor) -> Tensor:
        """(B,) where the windows of a step's users end."""
        last = self.training.last[users]
        if self.config.windows == "latest":
            return last
        uniform = torch.rand(last.shape, device=last.device, dtype=torch.float64)
        return random_ends(last, self.config.max_length, uniform)

    @cached_property
    def negatives(self) -> NegativeSampler:
        """Draws items that are new to a user."""
        return NegativeSampler(self.sequences)

    @cached_property
    def longest(self) -> int:
        """Of all training parts."""
        return int(self.sequences.n_train.max())

    def seen(
        self, windows: SequenceBatch, owners: Tensor, longest: int | None = None
    ) -> Tensor | None:
        """What a softmax leaves out, of `owners` (B,), whoever else is the user of a window now.

        Returns:
            (B, T, I + 1) bool, see `seen_before`, also for `longest`; None where nothing is.
        """
        if not self.config.exclude_seen:
            return None
        return seen_before(self.sequences, owners, windows.next_positions, longest)

    def next_item_loss(
        self, features: Tensor, targets: Tensor, negatives: Tensor | None, seen: Tensor | None
    ) -> Tensor:
        """Mean over positions that have a target, by what was drawn, or is left out.

        Args:
            features: (B, T, D).
            targets: (B, T).
            negatives: see `shape_of_negatives`.
            seen: (B, T, I + 1), see `seen`.
        """
        config, model = self.config, self.model
        if negatives is None:
            return softmax_loss(model, features, targets, seen, config.smoothing)
        if config.loss == "gbce":
            return gbce_loss(model, features, targets, negatives, config.calibration)
        return bce_loss(model, features, targets, negatives)

    def shape_of_negatives(self, targets: Tensor) -> tuple[int, ...]:
        """Of those that positions (B, T) draw: (B, T), or with several (B, T, K)."""
        shape = tuple(targets.shape)
        return (*shape, self.config.negatives) if self.config.loss == "gbce" else shape

    def penalties(self) -> Tensor:
        """What the loss has besides that of the next items, and of rows that step by themselves."""
        tables = [one for one in self.model.regularised() if one.requires_grad]
        norms = torch._foreach_norm(tables)
        loss = self.config.l2 * torch.stack(norms).sum()
        groups = self.group_penalty()
        return loss if groups is None else loss + groups

    def group_penalty(self) -> Tensor | None:
        """0 while nobody has a group, None where the loss knows of none."""
        config, users, groups = self.config, self.model.users, self.training.groups
        if not (config.group_weight and users is not None):
            return None
        pairs = torch.randint(1, len(groups), (2, config.group_pairs), device=groups.device)
        same = groups[pairs[0]] == groups[pairs[1]]
        loss = group_loss(users.weight, pairs[0], pairs[1], same, config.group_margin)
        return torch.where(groups[1] >= 0, config.group_weight * loss, 0.0)

    def moments(self) -> Moments:
        """See `Engine`."""
        found = {
            f"{kind}.{name}": value
            for name, parameter in self.model.named_parameters()
            for kind, value in self.optimizer.state[parameter].items()
        }
        if self.sampled is not None:
            kept = self.sampled.rows.moments()
            found |= {f"{kind}.{ITEMS}": value for kind, value in kept.items()}
        return found

    def restore(self, moments: Moments) -> None:
        """See `Engine`."""
        for name, parameter in self.model.named_parameters():
            if not parameter.requires_grad:
                continue
            own = self.optimizer.state[parameter]
            for kind in ("step", "exp_avg", "exp_avg_sq"):
                value = moments.get(f"{kind}.{name}")
                if kind in own:  # captured steps know its address
                    own[kind].copy_(torch.zeros(()) if value is None else value)
                elif value is not None:
                    own[kind] = value.to(parameter.device, copy=True)
        if self.sampled is not None:
            kinds = {kind: moments.get(f"{kind}.{ITEMS}") for kind in ("step", *OF_ROWS)}
            self.sampled.rows.restore({kind: x for kind, x in kinds.items() if x is not None})
