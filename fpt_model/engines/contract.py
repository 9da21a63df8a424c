"""What an engine must do.

An engine trains one seed of one configuration and ranks by its weights. The encoder
(`fpt_model/model/encoder.py`) says what is right, `reference.py` trains it as it is, and every
other engine is held to it by `tests/fpt_model/test_engine_contract.py`: the same gradients for the
same draws, the same weights after a resumption, the same ranks.
"""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.sequences import Split
from fpt_model.engines.shared import Training
from fpt_model.evaluation.ranks import Protocol, Ranks
from fpt_model.files.checkpoints import load_weights
from fpt_model.model.encoder import Encoder

Moments = dict[str, Tensor]
"""What Adam keeps: `step.`, `exp_avg.` and `exp_avg_sq.`, each with the parameter's name.

Steps are float32 scalars, the others have the parameter's shape. Empty before the first step. With
a sampled softmax also `last.items.weight`, of each row of items the step that its moments and
weights are of, 0 where it was never looked up; see `item_rows.py`.
"""


class Refusal(NamedTuple):
    """Why an engine can't train something: what it was given, and what it needs, in words."""

    got: str
    expected: str


class Engine(ABC):
    """What trains one seed, step by step; several may share launches underneath.

    Args:
        training: its own.

    Attributes:
        own_passes: whether its forward and backward passes are its own. Then it never asks the
            encoder, neither in a step nor to rank: what is measured is what was trained.
    """

    own_passes = True

    def __init__(self, training: Training) -> None:
        self.training, self.config = training, training.config
        self.model, self.sequences = training.model, training.sequences

    @abstractmethod
    def train(self) -> None:
        """One step of the epoch, or all that are left of it.

        What is drawn depends on settings, seed and step alone. Before an epoch's first step
        `training.loss_sum` becomes 0 and the groups of users are refreshed. Each step adds its
        loss, penalties included, to `training.loss_sum`, and `training.progress.step` counts it.
        """

    def start_epoch(self) -> None:
        """What comes before an epoch's first step, for engines that take one at a time."""
        self.training.loss_sum.zero_()
        self.training.refresh_groups(lambda: self.weights()["users.weight"])

    def weights(self) -> dict[str, Tensor]:
        """The model's state dict as it is now; a later step may change it."""
        return {name: value.detach() for name, value in self.model.state_dict().items()}

    @property
    def weights_device(self) -> torch.device:
        """Where `weights` are."""
        return self.training.rows.device

    def on_own_stream(self) -> AbstractContextManager[object]:
        """Within it launches wait for its own alone, not for those of trainings beside it.

        All that launches what reads or writes its memory does so within, or after `wait`.
        """
        return nullcontext()

    def wait(self) -> None:
        """Until all that it has launched is done."""
        return

    def encoder(self) -> Encoder:
        """The encoder with the weights as they are now."""
        self.model.load_state_dict(self.weights())
        return self.model

    def load(self, weights: dict[str, Tensor], source: str = "The weights") -> None:
        """Take weights; the next step and ranking are by them.

        Args:
            weights: a state dict of the model.
            source: what they are called where they don't fit.

        Raises:
            ModelError: they are another model's, or none.
        """
        load_weights(self.model, weights, source)

    @abstractmethod
    def moments(self) -> Moments:
        """Adam's moments as they are now."""

    @abstractmethod
    def restore(self, moments: Moments) -> None:
        """Go on from a state, of whatever engine.

        The weights were loaded just before, and `training` holds groups, losses and progress.
        """

    @abstractmethod
    def rank(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """See `evaluation.ranks.rank`. Everybody who is ranked was trained."""


def refused(*needs: tuple[bool, object, str]) -> Refusal | None:
    """The needs that are not seen: each is whether it is, what there is, and what is needed.

    >>> refused((True, "mask keys", "mask keys"), (False, "heads 2", "one head"))
    Refusal(got='heads 2', expected='one head')
    """
    lacking = [(str(got), expected) for met, got, expected in needs if not met]
    return Refusal(*map(", ".join, zip(*lacking, strict=True))) if lacking else None


def needs_of_kernels(config: Config, device: torch.device) -> list[tuple[bool, object, str]]:
    """What engines of Triton kernels need, all of them."""
    there = device.type == "cuda" and find_spec("triton") is not None
    return [(there, f"device {device.type}", "a GPU with Triton"), *needs_of_passes(config)]


def needs_of_passes(config: Config) -> list[tuple[bool, object, str]]:
    """What engines need whose forward and backward pass is their own."""
    return [
        (config.mask == "keys", f"mask {config.mask}", "mask keys"),
        (config.block == "attention", f"block {config.block}", "block attention"),
    ]


def next_items_alone(config: Config) -> tuple[bool, object, str]:
    """What engines need that teach the next item and no other."""
    return not config.teacher_share, f"teacher_share {config.teacher_share}", "teacher_share 0"


def all_items_or_one(config: Config) -> tuple[bool, object, str]:
    """What engines need that have neither a sampled softmax nor several negatives."""
    return config.loss in ("bce", "softmax"), f"loss {config.loss}", "loss bce or softmax"
