"""Trainings side by side in the kernels on tiles; each is an engine of its own to its trainer."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fpt_model.data.sequences import Sequences, Split
from fpt_model.data.training_windows import random_ends, training_windows
from fpt_model.engines import contract
from fpt_model.engines.contract import Moments
from fpt_model.engines.gpu.ranks import Candidates, compare
from fpt_model.engines.multiseed.engine import Engine
from fpt_model.engines.multiseed.workspace import Batch
from fpt_model.engines.schedule import learning_rate
from fpt_model.engines.shared import Training
from fpt_model.evaluation.ranks import Protocol, Ranks, evaluated, joined

RANKED = 8192  # users whose scores of all items are held at a time,
SCORES = 1 << 31  # unless these are more


class MultiseedEngine(contract.Engine):
    """One seed of a group; to train it is to run the rest of the epoch, of all seeds."""

    def __init__(self, training: Training, number: int, group: "Group") -> None:
        super().__init__(training)
        self.number, self.group = number, group
        self.kernels, self.layout = group.kernels, group.kernels.layout

    def train(self) -> None:
        """See `Engine`."""
        self.group.run_epoch()

    def begin(self) -> None:
        """Prepare an epoch: groups of users."""
        if self.training.refresh_groups(lambda: self.weights()["users.weight"]):
            self.kernels.groups[self.number] = self.training.groups.int()

    def ended(self) -> None:
        """Take over what the epoch left."""
        self.training.loss_sum.copy_(self.kernels.record[self.number].double().sum())
        self.training.progress.step = self.training.steps

    def kept(self) -> list[Tensor]:
        """Rows of the kernels' tensors that an epoch changes."""
        kernels = self.kernels
        return [x[self.number] for x in (kernels.params, kernels.exp_avg, kernels.exp_avg_sq)]

    def weights(self) -> dict[str, Tensor]:
        """See `Engine`."""
        return self.layout.unpack(self.kernels.params[self.number]) | {"edges": self.model.edges}

    def load(self, weights: dict[str, Tensor], source: str = "The weights") -> None:
        """See `Engine`."""
        super().load(weights, source)
        self.layout.pack(self.model.state_dict(), self.kernels.params[self.number])
        self.kernels.refresh_derived()

    def moments(self) -> Moments:
        """See `Engine`."""
        kernels, number, steps = self.kernels, self.number, self.training.steps_before
        return self.layout.moments(kernels.exp_avg[number], kernels.exp_avg_sq[number], steps)

    def restore(self, moments: Moments) -> None:
        """See `Engine`."""
        kernels, number = self.kernels, self.number
        self.layout.restore_moments(kernels.exp_avg[number], kernels.exp_avg_sq[number], moments)
        kernels.groups[number] = self.training.groups.int()

    def rank(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """See `Engine`; the features are computed for the whole group at once."""
        candidates = self.group.candidates(split)
        features = self.group.features(split)[self.number]
        items = self.layout.slots["items.weight"].view(self.kernels.params[self.number])
        # A copy: by where in memory factors begin cuBLAS picks a kernel, and so last digits. Where
        # a seed's features begin depends on the seeds beside it.
        own = features[:, : items.shape[1]].clone(memory_format=torch.contiguous_format)
        parts = own.split(users_at_once(self.sequences))
        return joined(
            [
                compare(some, part @ items.T, protocols)
                for some, part in zip(candidates, parts, strict=True)
            ]
        )


def users_at_once(sequences: Sequences) -> int:
    """How many users' scores of all items are held at a time."""
    return max(1, min(RANKED, SCORES // (sequences.n_items + 1)))


class Group:
    """Trainings of the same settings, one a seed, that share every launch.

    A seed's weights do not depend on the seeds beside it.

    Args:
        trainings: on one device; see `limits.refuses`.

    Attributes:
        kernels: of all.
        members: the engine of each.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        first = trainings[0]
        self.config, self.sequences = first.config, first.sequences
        keys = torch.stack([training.key() for training in trainings])
        models = [training.model for training in trainings]
        self.kernels = Engine(models, keys, self.sequences, len(first.rows))
        self.members = [MultiseedEngine(one, number, self) for number, one in enumerate(trainings)]
        self._batches: dict[Split, Batch] = {}
        self._candidates: dict[Split, list[Candidates]] = {}
        self._features: tuple[tuple[Split, int], Tensor] | None = None
        self._prepared: list[int] = []
        latest = self.config.windows == "latest"
        self.latest = self.kernels.windows(*first.latest, shared=True) if latest else None

    def features(self, split: Split) -> Tensor:
        """Every member's features of all users with a held-out item, before it, (S, N, D).

        Kept until the weights change: the members ask one after the other.
        """
        if split not in self._batches:
            rows = evaluated(self.sequences)
            ends = self.sequences.held_out(rows, split)
            windows = self.sequences.windows(rows, ends, self.config.max_length)
            self._batches[split] = self.kernels.windows(windows, None, shared=True)
        if self._features is None or self._features[0] != (split, self.kernels.version):
            found = self.kernels.features(self._batches[split])
            self._features = (split, self.kernels.version), found
        return self._features[1]

    def candidates(self, split: Split) -> list[Candidates]:
        """Whom those users' items are compared with, some users at a time."""
        if split not in self._candidates:
            parts = evaluated(self.sequences).split(users_at_once(self.sequences))
            self._candidates[split] = [Candidates(self.sequences, rows, split) for rows in parts]
        return self._candidates[split]

    def run_epoch(self) -> None:
        """One epoch of every member but those that wait for the end of theirs.

        Who is over takes part, since all share their launches; what becomes of it is not used.
        """
        remaining = [member for member in self.members if not member.training.over]
        waiting = [one for one in remaining if one.training.progress.step == one.training.steps]
        going = [one for one in remaining if one not in waiting]
        before = [[x.clone() for x in member.kept()] for member in waiting]
        self._run_epoch(going)
        for member, kept in zip(waiting, before, strict=True):
            for value, own in zip(member.kept(), kept, strict=True):
                value.copy_(own)
        if waiting:
            self.kernels.refresh_derived()

    def _run_epoch(self, going: Sequence[MultiseedEngine]) -> None:
        for member in going:
            member.begin()
        self._prepare([one.training.progress.epoch for one in self.members])
        self.kernels.run(self.latest or self._random_batch())
        for member in going:
            member.ended()
        # behind the epoch that the GPU is at work on
        trainings = [one.training for one in self.members]
        self._prepare([one.progress.epoch + (not one.over) for one in trainings])

    def _prepare(self, epochs: list[int]) -> None:
        """Give the kernels an epoch's order of users and place in time, unless they have them."""
        if epochs != self._prepared:
            pairs = zip(self.members, epochs, strict=True)
            orders = [one.training.epoch_permutation(epoch) for one, epoch in pairs]
            step_counter = torch.tensor(epochs) * self.kernels.steps
            self.kernels.prepare(torch.stack(orders), step_counter, self._rates(epochs))
            self._prepared = epochs

    def _rates(self, epochs: list[int]) -> Tensor | None:
        """(S, steps) learning rates; what lies past the end of a training is not used."""
        if not self.config.scheduled:
            return None
        steps = self.kernels.steps
        return torch.tensor(
            [
                [learning_rate(self.config, steps, epoch * steps + step) for step in range(steps)]
                for epoch in epochs
            ]
        )

    def _random_batch(self) -> Batch:
        """Windows that each member draws for this epoch, one member's after the other's."""
        length, ends = self.config.max_length, []
        for member in self.members:
            last = member.training.last
            uniform = member.training.window_draws().to(last.device)
            ends.append(random_ends(last, length, uniform))
        rows = self.members[0].training.rows.repeat(len(ends))
        drawn = training_windows(self.sequences, rows, torch.cat(ends), length)
        return self.kernels.windows(*drawn, shared=len(ends) == 1)
