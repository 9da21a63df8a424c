"""One training: its epochs, its validations, and the state that makes it resumable."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.sequences import Sequences, Split
from fpt_model.engines.choose import engines_of, items_of
from fpt_model.engines.contract import Engine
from fpt_model.engines.shared import Training
from fpt_model.errors import ModelError
from fpt_model.evaluation.metrics import ndcg, recall
from fpt_model.evaluation.ranks import PROTOCOLS, Protocol, Ranks, rank
from fpt_model.evaluation.scorer import scorer
from fpt_model.files.checkpoints import State
from fpt_model.model.cold_start_users import has_cold_start_users


@dataclass(frozen=True)
class SelectedEpoch:
    """What a training that validates has chosen for one that can't: its data hold the answers.

    Attributes:
        epoch: the one to stop at.
        ndcg: NDCG@10 on validation of that epoch.
        seconds: spent on choosing.
        epochs: one record an epoch, as JSON lines.
    """

    epoch: int
    ndcg: float
    seconds: float
    epochs: str


P = ParamSpec("P")
T = TypeVar("T")


def _on_own_stream(
    work: Callable[Concatenate["Trainer", P], T],
) -> Callable[Concatenate["Trainer", P], T]:
    """What reads and writes the engine's memory, done when it returns."""

    @wraps(work)
    def done(self: "Trainer", /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.engine.on_own_stream():
            found = work(self, *args, **kwargs)
        self.engine.wait()
        return found

    return done


class Trainer:
    """Trains by an engine, validates, and knows when to stop.

    Args:
        training: what is trained.
        engine: of that training.

    Attributes:
        selected: where to stop, without validating; None where validation decides.
        seconds_before: spent on its teachers.
        best: the weights of the epoch that validation put first.
        ema_weights: the weights' average over epochs, empty without `Config.ema_decay`.
    """

    selected: SelectedEpoch | None = None
    seconds_before: float = 0.0

    def __init__(self, training: Training, engine: Engine) -> None:
        self.training, self.engine = training, engine
        self.config, self.seed = training.config, training.seed
        self.sequences, self.model = training.sequences, training.model
        self.progress = training.progress
        self.best: dict[str, Tensor] = {}
        self.ema_weights: dict[str, Tensor] = {}

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.training.steps

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or validation has stopped improving."""
        progress, config = self.progress, self.config
        if self.selected:
            return progress.epoch >= self.selected.epoch
        waited = progress.epoch - progress.best_epoch
        patient = waited < config.patience * config.validate_every
        return progress.epoch >= config.epochs or (progress.best_epoch > 0 and not patient)

    def step(self) -> None:
        """One step of the current epoch, or all that are left of it; see `Engine.train`."""
        with self.engine.on_own_stream():
            self.engine.train()

    def wait(self) -> None:
        """Until the steps that were begun are done."""
        self.engine.wait()

    @_on_own_stream
    def end_epoch(self) -> dict[str, Any]:
        """Close the epoch, validating when it is time. Returns its record.

        Raises:
            ModelError: the loss is not a finite number.
        """
        progress, config = self.progress, self.config
        loss = float(self.training.loss_sum) / self.steps
        progress.epoch += 1
        progress.step = 0
        self._update_ema()
        if not math.isfinite(loss):
            raise ModelError(
                f"The loss of epoch {progress.epoch} is {loss}",
                to_do="Train again with a lower learning_rate",
            )
        record: dict[str, Any] = {"epoch": progress.epoch, "train_loss": loss}
        record |= {"valid_recall_10": None, "valid_ndcg_10": None}
        if self.selected:
            if self.finished:
                self._select(self.selected.ndcg)
        elif progress.epoch % config.validate_every == 0 or progress.epoch == config.epochs:
            record |= self._validate()
        progress.epochs.append(record)
        self.training.over = self.finished
        return record

    @_on_own_stream
    def state(self) -> State:
        """All that another process needs to go on from here to the same weights, to the bit."""
        training = self.training
        parts = {
            "model": self.engine.weights(),
            "best": self.best,
            "averaged": self.ema_weights,
            "adam": self.engine.moments(),
        }
        tensors = {f"{part}.{name}": x for part, own in parts.items() for name, x in own.items()}
        tensors |= {"groups": training.groups, "loss_sum": training.loss_sum}
        return State(tensors, {"progress": asdict(self.progress)})

    @_on_own_stream
    def restore(self, state: State) -> None:
        """Go on from a state, of whatever engine.

        Raises:
            ModelError: it is of another model.
        """
        training, tensors = self.training, state.tensors
        self.engine.load(_strip_prefix("model.", tensors), "The checkpoint")
        self.best = _strip_prefix("best.", tensors)
        ema_weights = _strip_prefix("averaged.", tensors)
        self.ema_weights = {
            name: value.to(self.engine.weights_device) for name, value in ema_weights.items()
        }
        training.groups.copy_(tensors["groups"])
        training.loss_sum.copy_(tensors["loss_sum"])
        vars(self.progress).update(copy.deepcopy(state.facts["progress"]))
        training.over = self.finished
        self.engine.restore(_strip_prefix("adam.", tensors))

    def _validate(self) -> dict[str, float]:
        ranks = self.ranked("valid", ("uniform_100",)).ranks["uniform_100"]
        found = {"valid_recall_10": recall(ranks, 10), "valid_ndcg_10": ndcg(ranks, 10)}
        if found["valid_ndcg_10"] > self.progress.best_ndcg:
            self._select(found["valid_ndcg_10"])
        return found

    def _select(self, valid_ndcg: float) -> None:
        """Take the weights of this epoch for the best so far."""
        self.progress.best_ndcg, self.progress.best_epoch = valid_ndcg, self.progress.epoch
        weights = self.ema_weights or self.engine.weights()
        # beside a training's own there is no room on a GPU for another table of millions of items
        self.best = {name: value.to("cpu", copy=True) for name, value in weights.items()}

    def _update_ema(self) -> None:
        """Take the epoch's weights into their average; the first epoch's are its beginning."""
        share = self.config.ema_decay
        if not share:
            return
        weights = self.engine.weights()
        if not self.ema_weights:
            self.ema_weights = _copied(weights)
        for name, mean in self.ema_weights.items():
            if mean.is_floating_point():
                mean.lerp_(weights[name], 1 - share)

    @_on_own_stream
    def weights(self) -> dict[str, Tensor]:
        """The model's state dict as it is now."""
        return self.engine.weights()

    @_on_own_stream
    def ranked(self, split: Split, protocols: tuple[Protocol, ...] = PROTOCOLS) -> Ranks:
        """Ranks by the averaged weights where there are such, else those of now; see `rank`."""
        ranks = self._ranked_by_encoder if self.ranks_cold_start_users else self.engine.rank
        if not self.ema_weights:
            return ranks(split, protocols)
        now = _copied(self.engine.weights())
        self.engine.load(self.ema_weights)
        found = ranks(split, protocols)
        self.engine.load(now)
        return found

    @cached_property
    def ranks_cold_start_users(self) -> bool:
        """See `has_cold_start_users`."""
        return has_cold_start_users(self.config, self.sequences)

    def _ranked_by_encoder(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """By the encoder, which knows of cold-start users, whatever engine trains."""
        model, sequences = self.engine.encoder(), self.sequences
        if sequences.device != self.engine.weights_device:
            sequences = sequences.to(self.engine.weights_device)
        score = scorer(model, sequences)
        return rank(score, sequences, split, self.config.max_length, protocols)

    @_on_own_stream
    def use_best(self) -> None:
        """Take the chosen weights. It is trained no further."""
        self.engine.load(self.best)
        self.ema_weights = {}


def trainers_of(
    config: Config, seeds: Sequence[int], sequences: Sequences, engine: str = "reference"
) -> list[Trainer]:
    """A trainer for each seed.

    Args:
        config: settings.
        seeds: one a training.
        sequences: on the device to train on.
        engine: a key of `ENGINES`, which does not refuse the settings.

    Raises:
        ModelError: see `Training`.
    """
    items = items_of(engine, config)
    trainings = [Training(config, seed, sequences, items) for seed in seeds]
    engines = engines_of(engine, trainings)
    return [Trainer(*pair) for pair in zip(trainings, engines, strict=True)]


def trainer_of(
    config: Config, seed: int, sequences: Sequences, engine: str = "reference"
) -> Trainer:
    """`trainers_of` of one seed."""
    return trainers_of(config, [seed], sequences, engine)[0]


def _copied(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in weights.items()}


def _strip_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of the tensors whose names begin so, without the beginning."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
