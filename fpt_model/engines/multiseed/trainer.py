"""Trainings side by side in one engine, each with the interface of `training.trainer.Trainer`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.negatives import generator
from fpt_model.data.sequences import Sequences, Split
from fpt_model.data.training_windows import examples, random_ends
from fpt_model.engines.gpu.ranks import Rivals, compare
from fpt_model.engines.multiseed.engine import Engine
from fpt_model.engines.multiseed.scratch import Batch
from fpt_model.evaluation.ranks import Protocol, Ranks, evaluated, joined
from fpt_model.files.checkpoints import State
from fpt_model.training.trainer import Trainer, under

RANKED = 8192  # users whose scores of all items are held at a time
_KEYS, _WINDOWS = 4, 5  # purposes of draws, beside those of the plain trainer


class FusedTrainer(Trainer):
    """One seed of a group; a step of it is the rest of the epoch, of all seeds.

    Its checkpoints are those of the plain trainer.
    """

    engine: Engine
    number: int
    group: "FusedGroup"

    def step(self) -> None:
        """Run the epoch of the whole group."""
        self.group.run_epoch()

    def begin(self) -> None:
        """Prepare an epoch: groups of users."""
        if not self.finished and self.refresh_groups():
            self.engine.groups[self.number] = self.groups.int()

    def ended(self) -> None:
        """Take over what the epoch left."""
        self.loss_sum.copy_(self.engine.record[self.number].double().sum())
        self.progress.step = self.steps

    def weights(self) -> dict[str, Tensor]:
        """The model's state dict as it is now."""
        flat = self.engine.layout.unpack(self.engine.params[self.number])
        return flat | {"edges": self.model.edges}

    def state(self) -> State:
        """See `Trainer.state`; later epochs leave it as it is."""
        state = super().state()
        own = {name: state.tensors[name].clone() for name in ("groups", "loss_sum")}
        return State(state.tensors | own, {"progress": dict(state.facts["progress"])})

    def _moments(self) -> dict[str, Tensor]:
        layout, number = self.engine.layout, self.number
        count = torch.tensor(float(self.progress.epoch * self.steps))
        if not count:
            return {}
        first = layout.unpack(self.engine.moments[number])
        second = layout.unpack(self.engine.squares[number])
        tensors = {f"adam.step.{name}": count.clone() for name in first}  # no file holds one twice
        tensors |= {f"adam.exp_avg.{name}": value for name, value in first.items()}
        return tensors | {f"adam.exp_avg_sq.{name}": value for name, value in second.items()}

    def restore(self, state: State) -> None:
        """See `Trainer.restore`.

        Raises:
            ModelError: it is of another model.
        """
        engine, layout = self.engine, self.engine.layout
        self.restore_all_but_moments(state)
        layout.pack(self.model.state_dict(), engine.params[self.number])
        for kind, flat in (("exp_avg", engine.moments), ("exp_avg_sq", engine.squares)):
            kept = under(f"adam.{kind}.", state.tensors)
            if kept:
                layout.pack(kept, flat[self.number])
        engine.groups[self.number] = self.groups.int()
        engine.take_over()

    def use(self, weights: dict[str, Tensor]) -> None:
        """See `Trainer.use`."""
        super().use(weights)
        self.engine.layout.pack(self.model.state_dict(), self.engine.params[self.number])
        self.engine.take_over()

    def _ranked(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """See `Trainer.ranked`; the features are computed for the whole group at once."""
        rivals = self.group.rivals(split)
        features = self.group.features(split)[self.number]
        items = self.engine.layout.places["items.weight"].view(self.engine.params[self.number])
        width, parts = items.shape[1], features.split(RANKED)
        return joined(
            [
                compare(some, own[:, :width] @ items.T, protocols)
                for some, own in zip(rivals, parts, strict=True)
            ]
        )


class FusedGroup:
    """Trainings of the same settings, one a seed, that share every launch.

    A seed's weights do not depend on the seeds beside it.

    Args:
        config: settings; see `fpt_model.engines.multiseed.engine.fits`.
        seeds: one a training.
        sequences: on the device.

    Attributes:
        members: the trainings, in the order of the seeds.
    """

    def __init__(self, config: Config, seeds: Sequence[int], sequences: Sequences) -> None:
        self.members = [FusedTrainer(config, seed, sequences) for seed in seeds]
        keys = torch.stack(
            [torch.randint(2**32, (2,), generator=generator(seed, _KEYS, 0)) for seed in seeds]
        )
        models = [member.model for member in self.members]
        self.config, self.sequences = config, self.members[0].sequences
        self.engine = Engine(models, keys, self.sequences, len(self.members[0].rows))
        for number, member in enumerate(self.members):
            member.engine, member.number, member.group = self.engine, number, self
        self._batches: dict[Split, Batch] = {}
        self._rivals: dict[Split, list[Rivals]] = {}
        self._features: tuple[tuple[Split, int], Tensor] | None = None
        self._prepared: list[int] = []
        latest = config.windows == "latest"
        windows = self.members[0].latest if latest else None
        self.latest = self.engine.windows(*windows, shared=True) if windows else None

    def features(self, split: Split) -> Tensor:
        """Every member's features of all users with a held-out item, before it, (S, N, D).

        Kept until the weights change: the members ask one after the other.
        """
        if split not in self._batches:
            rows = evaluated(self.sequences)
            ends = self.sequences.held_out(rows, split)
            windows = self.sequences.windows(rows, ends, self.config.max_length)
            self._batches[split] = self.engine.windows(windows, None, shared=True)
        if self._features is None or self._features[0] != (split, self.engine.version):
            found = self.engine.features(self._batches[split])
            self._features = (split, self.engine.version), found
        return self._features[1]

    def rivals(self, split: Split) -> list[Rivals]:
        """Whom those users' items are compared with, `RANKED` users at a time."""
        if split not in self._rivals:
            parts = evaluated(self.sequences).split(RANKED)
            self._rivals[split] = [Rivals(self.sequences, rows, split) for rows in parts]
        return self._rivals[split]

    def run_epoch(self) -> None:
        """One epoch of every member but those that wait for the end of theirs.

        Who is finished takes part, since all share their launches; what becomes of it is not used.
        """
        going = [member for member in self.members if not member.finished]
        waiting = [member for member in going if member.progress.step == member.steps]
        kept = [member.state() for member in waiting]
        self._run_epoch()
        for member, state in zip(waiting, kept, strict=True):
            member.restore(state)

    def _run_epoch(self) -> None:
        for member in self.members:
            member.begin()
        self._prepare([member.progress.epoch for member in self.members])
        self.engine.run(self.latest or self._random_batch())
        for member in self.members:
            member.ended()
        # behind the epoch that the GPU is at work on
        self._prepare([member.progress.epoch + (not member.finished) for member in self.members])

    def _prepare(self, epochs: list[int]) -> None:
        """Give the engine an epoch's order of users and place in time, unless it has them."""
        if epochs != self._prepared:
            orders = [m.order_of(epoch) for m, epoch in zip(self.members, epochs, strict=True)]
            self.engine.prepare(torch.stack(orders), torch.tensor(epochs) * self.engine.steps)
            self._prepared = epochs

    def _random_batch(self) -> Batch:
        """Windows that each member draws for this epoch, one member's after the other's."""
        length = self.config.max_length
        ends = []
        for member in self.members:
            draw = generator(member.seed, _WINDOWS, member.progress.epoch)
            chance = torch.rand(member.last.shape, dtype=torch.float64, generator=draw)
            ends.append(random_ends(member.last, length, chance.to(member.last.device)))
        rows = self.members[0].rows.repeat(len(ends))
        drawn = examples(self.sequences, rows, torch.cat(ends), length)
        return self.engine.windows(*drawn, shared=len(ends) == 1)
