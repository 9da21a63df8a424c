"""Trainings side by side in one engine, each with the interface of `fpt_model.trainer.Trainer`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fpt_model.checkpoint import State, load_weights
from fpt_model.config import Config
from fpt_model.data import Sequences, Windows
from fpt_model.evaluate import Scorer
from fpt_model.fused.engine import Batch, Engine
from fpt_model.sampling import generator
from fpt_model.trainer import Progress, Trainer, under

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

    def begin(self) -> tuple[Tensor, int]:
        """Prepare an epoch: groups of users. Returns the order (N,) and the steps before."""
        progress, config = self.progress, self.config
        due = progress.epoch > 0 and progress.epoch % config.group_refresh == 0
        if config.group_weight and config.user_width and due:
            self.groups[1:] = self.cluster_users(self.weights()["users.weight"][1:])
        self.engine.groups[self.number] = self.groups.int()
        return self.epoch_order(), progress.epoch * self.steps

    def ended(self) -> None:
        """Take over what the epoch left."""
        self.loss_sum.copy_(self.engine.record[self.number].double().sum())
        self.progress.step = self.steps

    def weights(self) -> dict[str, Tensor]:
        """The model's state dict as it is now."""
        flat = self.engine.layout.unpack(self.engine.params[self.number])
        return flat | {"edges": self.model.edges}

    def state(self) -> State:
        """See `Trainer.state`."""
        layout, number = self.engine.layout, self.number
        count = torch.tensor(float(self.progress.epoch * self.steps))
        tensors = {f"model.{name}": value for name, value in self.weights().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        moments = layout.unpack(self.engine.moments[number])
        squares = layout.unpack(self.engine.squares[number])
        for name in moments if count else ():
            tensors[f"adam.step.{name}"] = count.clone()  # files hold no tensor twice
            tensors[f"adam.exp_avg.{name}"] = moments[name]
            tensors[f"adam.exp_avg_sq.{name}"] = squares[name]
        tensors |= {"groups": self.groups.clone(), "loss_sum": self.loss_sum.clone()}
        return State(tensors, {"progress": dict(vars(self.progress))})

    def restore(self, state: State) -> None:
        """See `Trainer.restore`.

        Raises:
            ModelError: it is of another model.
        """
        engine, layout = self.engine, self.engine.layout
        load_weights(self.model, under("model.", state.tensors), "The checkpoint")
        layout.pack(self.model.state_dict(), engine.params[self.number])
        for kind, flat in (("exp_avg", engine.moments), ("exp_avg_sq", engine.squares)):
            kept = under(f"adam.{kind}.", state.tensors)
            if kept:
                layout.pack(kept, flat[self.number])
        engine.refresh_squares()
        device = self.rows.device
        self.best = under("best.", state.tensors)
        self.groups = state.tensors["groups"].to(device)
        self.loss_sum = state.tensors["loss_sum"].to(device)
        self.progress = Progress(**state.facts["progress"])

    def _scorer(self) -> Scorer:
        width = self.config.item_width
        items = self.weights()["items.weight"]

        def score(windows: Windows) -> Tensor:
            features = self.engine.features(Batch(windows, None, shared=True))[self.number]
            return features[:, :width] @ items.T

        return score


class FusedGroup:
    """Trainings of the same settings, one a seed, that share every launch.

    A seed's weights do not depend on the seeds beside it.

    Args:
        config: settings; see `fpt_model.fused.engine.fits`.
        seeds: one a training.
        sequences: on the device.

    Attributes:
        members: the trainings, in the order of the seeds.
    """

    def __init__(self, config: Config, seeds: Sequence[int], sequences: Sequences) -> None:
        self.members = [FusedTrainer(config, seed, sequences) for seed in seeds]
        first = self.members[0]
        keys = torch.stack(
            [torch.randint(2**32, (2,), generator=generator(seed, _KEYS, 0)) for seed in seeds]
        )
        models = [member.model for member in self.members]
        self.engine = Engine(models, keys, sequences, len(first.rows))
        for number, member in enumerate(self.members):
            member.engine, member.number, member.group = self.engine, number, self
        self.config, self.sequences = config, sequences
        self.latest = self._batch([first.last]) if config.windows == "latest" else None

    def run_epoch(self) -> None:
        """One epoch of every member but those that wait for the end of theirs."""
        waiting = [member for member in self.members if member.progress.step == member.steps]
        kept = [member.state() for member in waiting]
        self._run_epoch()
        for member, state in zip(waiting, kept, strict=True):
            member.restore(state)

    def _run_epoch(self) -> None:
        begun = [member.begin() for member in self.members]
        batch = self.latest
        if batch is None:
            batch = self._batch([self._random_ends(member) for member in self.members])
        order = torch.stack([order for order, _ in begun]).int()
        self.engine.start_epoch(batch, order, torch.tensor([clock for _, clock in begun]))
        self.engine.run(0, self.engine.steps)
        for member in self.members:
            member.ended()

    def _random_ends(self, member: FusedTrainer) -> Tensor:
        """Where the epoch's window of each user ends; any place that fills it."""
        last = member.last
        first = last.clamp(max=self.config.max_length)
        draw = generator(member.seed, _WINDOWS, member.progress.epoch)
        chance = torch.rand(last.shape, dtype=torch.float64, generator=draw).to(last.device)
        return first + (chance * (last - first + 1)).long().clamp(max=last - first)

    def _batch(self, ends: Sequence[Tensor]) -> Batch:
        rows, length = self.members[0].rows, self.config.max_length
        every_row, every_end = rows.repeat(len(ends)), torch.cat(list(ends))
        inputs = self.sequences.windows(every_row, every_end, length)
        targets = self.sequences.windows(every_row, every_end + 1, length).items
        targets = torch.where(inputs.items > 0, targets, 0)
        return Batch(inputs, targets, shared=len(ends) == 1)
