"""What the trainer and the engine of one training share.

Letters: N trainable users, B users of a step.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fpt_model.config import Config
from fpt_model.data.negatives import generator, seed_step
from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.data.targets import drawn_targets
from fpt_model.data.training_windows import training_windows
from fpt_model.engines.schedule import learning_rate
from fpt_model.errors import ModelError
from fpt_model.features import widths
from fpt_model.model.encoder import Encoder
from fpt_model.model.intervals import overflow_edges
from fpt_model.model.user_groups import cluster

# What a draw is for: keys of `generator` and of `seed_step`
_WEIGHTS, _ORDER, _GROUPS, _KEY, _WINDOWS, _TARGETS = range(1, 7)


@dataclass
class Progress:
    """How far a training is; what JSON holds of its state.

    Attributes:
        epoch: finished epochs.
        step: finished steps of the epoch after those.
        best_ndcg: best validation NDCG@10 (uniform_100) so far.
        best_epoch: the epoch it was reached in; 0 before the first validation.
        seconds: spent so far, over all attempts.
        epochs: one record a finished epoch.
    """

    epoch: int = 0
    step: int = 0
    best_ndcg: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0
    epochs: list[dict[str, Any]] = field(default_factory=list)


class Training:
    """One model with one seed on its way.

    Args:
        config: settings.
        seed: of everything random.
        sequences: on the device to train on.
        items: where the item table is: `here`, within the model; `apart`, in `first_items`, or
            `elsewhere`, with another process. Then the model has a row for padding alone.

    Attributes:
        first_items: (I + 1, D), on a CPU; the first vectors of a table that is apart.
        loaded: the sequences as they were given.
        sequences: as the model looks back at them, see `Sequences.as_seen_by`.
        model: with its first weights, on the device.
        rows: (N,) users to train on.
        last: (N,) where inputs of their latest windows end.
        groups: (users + 1,) int64, -1 while there are none.
        loss_sum: float64, losses of the epoch's steps so far.
        progress: the engine counts steps, the trainer epochs.
        over: it is trained no further.
        taught: (L, M) items that a teacher drew for what comes after each interaction.
        say: gets a sentence for people, about what is not as they would expect.

    Raises:
        ModelError: nobody has two interactions to train on; the settings don't fit the data.
    """

    over = False
    taught: Tensor | None = None
    first_items: Tensor | None = None
    say: Callable[[str], None] = staticmethod(warnings.warn)

    def __init__(
        self,
        config: Config,
        seed: int,
        sequences: Sequences,
        items: Literal["here", "apart", "elsewhere"] = "here",
    ) -> None:
        refuse_unfit(config, sequences)
        self.loaded, sequences = sequences, sequences.as_seen_by(config)
        self.config, self.seed, self.sequences = config, seed, sequences
        device = sequences.device
        seed_step(seed, -_WEIGHTS)
        edges = overflow_edges(sequences, config).cpu()
        sizes = 0 if items == "elsewhere" else sequences.n_items, sequences.n_users
        model = Encoder(config, *sizes, edges, sequences.item_features)
        if items == "apart":
            self.first_items = model.items.weight.detach()
        if items != "here":
            model.items = nn.Embedding.from_pretrained(torch.zeros(1, config.item_width))
        self.model = model.to(device)
        self.rows = sequences.trainable()
        if not len(self.rows):
            raise ModelError(
                "Not enough data: nobody to train on",
                got=f"{int(sequences.lengths.max())} interactions of one user at most",
                expected="somebody with 4: two are held out, and one is predicted after another",
                to_do="Prepare a larger source",
            )
        self.last = sequences.n_train[self.rows] - 1
        self.groups = torch.full((sequences.n_users + 1,), -1, device=device)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.progress = Progress()

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.rows) // self.config.batch_size)

    @property
    def steps_before(self) -> int:
        """Finished steps of all epochs."""
        return self.progress.epoch * self.steps + self.progress.step

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return self.learning_rate_of(self.steps_before)

    def learning_rate_of(self, before: int) -> float:
        """Of the step that has so many others before it."""
        return learning_rate(self.config, self.steps, before)

    @cached_property
    def latest(self) -> tuple[SequenceBatch, Tensor]:
        """Every user's latest window and its targets; see `training_windows`."""
        return training_windows(self.sequences, self.rows, self.last, self.config.max_length)

    def epoch_permutation(self, epoch: int) -> Tensor:
        """An epoch's order of the trainable users, (N,) int64 on the CPU."""
        return torch.randperm(len(self.rows), generator=generator(self.seed, _ORDER, epoch))

    def key(self) -> Tensor:
        """(2,) int64, 32 bits each: of all that an engine draws by counter."""
        return torch.randint(2**32, (2,), generator=generator(self.seed, _KEY, 0))

    def window_draws(self) -> Tensor:
        """(N,) float64 on the CPU: where this epoch's windows lie, see `random_ends`."""
        draw = generator(self.seed, _WINDOWS, self.progress.epoch)
        return torch.rand(len(self.rows), dtype=torch.float64, generator=draw)

    def targets(self) -> Tensor | None:
        """(L,) the item to be learnt after each interaction in this epoch; None: the next one."""
        if self.taught is None:
            return None
        epoch, share = self.progress.epoch, self.config.teacher_share
        draw = generator(self.seed, _TARGETS, epoch)
        return drawn_targets(self.sequences, self.taught, share, epoch, draw)

    def refresh_groups(self, users: Callable[[], Tensor]) -> bool:
        """Cluster the users anew, if it is time. Returns whether it was.

        Args:
            users: gives (users + 1, user_width), as they are now.
        """
        config, epoch = self.config, self.progress.epoch
        if not (config.grouped and epoch and epoch % config.group_refresh == 0):
            return False
        draw = generator(self.seed, _GROUPS, epoch)
        self.groups[1:] = cluster(users()[1:], config.groups, draw)
        return True


def refuse_unfit(config: Config, sequences: Sequences) -> None:
    """Refuse settings that ask of data what it has not.

    Raises:
        ModelError: so.
    """
    for feature, width in widths(config):
        if not sequences.knows(feature):
            raise ModelError(
                f"There are no {feature.name} to learn from",
                got=f"{feature.width}={width}",
                expected=f"{feature.width}=0",
                to_do=f"Add --set {feature.width}=0",
            )
    if config.exclude_seen and sequences.comes_again:
        raise ModelError(
            "Items come again, so those that a user has had must stay candidates",
            got="exclude_seen=true",
            expected="exclude_seen=false",
            to_do="Add --set exclude_seen=false",
        )
