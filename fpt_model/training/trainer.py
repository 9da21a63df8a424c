"""One training: its steps, its validations, and the state that makes it resumable."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.negatives import NegativeSampler, generator, seed_step
from fpt_model.data.seen import met_before
from fpt_model.data.sequences import Sequences, Split, Windows
from fpt_model.data.training_windows import examples, random_ends, replaced
from fpt_model.engines.capturing import CapturedSteps, rounded_products
from fpt_model.errors import ModelError
from fpt_model.evaluation.metrics import ndcg, recall
from fpt_model.evaluation.ranks import PROTOCOLS, Protocol, Ranks, Scorer, rank
from fpt_model.files.checkpoints import State, load_weights
from fpt_model.model.cold_users import Unseen, has_strangers
from fpt_model.model.encoder import Encoder
from fpt_model.model.intervals import overflow_edges
from fpt_model.model.losses import bce_loss, group_loss, softmax_loss
from fpt_model.model.user_groups import cluster

# What a draw is for: keys of `sampling.generator` and of `seed_step`
_WEIGHTS, _ORDER, _GROUPS = 1, 2, 3


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


@dataclass(frozen=True)
class Chosen:
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


def refuse_unfit(config: Config, sequences: Sequences) -> None:
    """Refuse settings that ask of data what it has not.

    Raises:
        ModelError: so.
    """
    if config.rating_width and not bool(sequences.ratings.any()):
        raise ModelError(
            "There are no ratings to learn from",
            got=f"rating_width={config.rating_width}",
            expected="rating_width=0",
            to_do="Add --set rating_width=0",
        )
    if config.exclude_seen and sequences.comes_again:
        raise ModelError(
            "Items come again, so those that a user has had must stay candidates",
            got="exclude_seen=true",
            expected="exclude_seen=false",
            to_do="Add --set exclude_seen=false",
        )


class Trainer:
    """A model on its way.

    Args:
        config: settings.
        seed: of everything random.
        sequences: on the device to train on.

    Attributes:
        chosen: where to stop, without validating; None where validation decides.
        say: gets a sentence for people, about what is not as they would expect.

    Raises:
        ModelError: nobody has two interactions to train on; the settings don't fit the data.
    """

    chosen: Chosen | None = None
    say: Callable[[str], None] = staticmethod(warnings.warn)

    def __init__(self, config: Config, seed: int, sequences: Sequences) -> None:
        refuse_unfit(config, sequences)
        sequences = sequences.seen_at(config.time_reference)
        self.config, self.seed, self.sequences = config, seed, sequences
        device = sequences.items.device
        seed_step(seed, -_WEIGHTS)
        edges = overflow_edges(sequences, config).cpu()
        self.model = Encoder(config, sequences.n_items, sequences.n_users, edges).to(device)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            fused=True,  # one pass
            capturable=device.type == "cuda",
        )
        rows = sequences.trainable()
        if not len(rows):
            raise ModelError(
                "Not enough data: nobody to train on",
                got=f"{int(sequences.lengths.max())} interactions of one user at most",
                expected="somebody with 4: two are held out, and one is predicted after another",
                to_do="Prepare a larger source",
            )
        self.rows = rows
        self.last = sequences.n_train[rows] - 1  # inputs of the latest window end before it
        self.groups = torch.full((sequences.n_users + 1,), -1, device=device)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.order: tuple[int, Tensor] | None = None  # an epoch's, on the device
        self.captured = (
            CapturedSteps(self._train_on, self._changing) if device.type == "cuda" else None
        )
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self.averaged: dict[str, Tensor] = {}

    @cached_property
    def negatives(self) -> NegativeSampler:
        """Draws items that are new to a user."""
        return NegativeSampler(self.sequences)

    @cached_property
    def latest(self) -> tuple[Windows, Tensor]:
        """Every user's latest window and its targets; see `examples`."""
        return examples(self.sequences, self.rows, self.last, self.config.max_length)

    @cached_property
    def longest(self) -> int:
        """Of all training parts."""
        return int(self.sequences.n_train.max())

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.rows) // self.config.batch_size)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or validation has stopped improving."""
        progress, config = self.progress, self.config
        if self.chosen:
            return progress.epoch >= self.chosen.epoch
        waited = progress.epoch - progress.best_epoch
        patient = waited < config.patience * config.validate_every
        return progress.epoch >= config.epochs or (progress.best_epoch > 0 and not patient)

    def step(self) -> None:
        """One step of the current epoch."""
        progress = self.progress
        if progress.step == 0:
            self._begin_epoch()
        chosen = self._chosen()
        self.model.train()
        train_on = self.captured.of(chosen, self.say) if self.captured else self._train_on
        seed_step(self.seed, progress.epoch * self.steps + progress.step)
        train_on(chosen)
        progress.step += 1

    def _chosen(self) -> Tensor:
        """The users of the next step, (B,); an epoch's order goes to the device once."""
        epoch, size = self.progress.epoch, self.config.batch_size
        if self.order is None or self.order[0] != epoch:
            self.order = epoch, self.order_of(epoch).to(self.rows.device)
        first = self.progress.step * size
        return self.order[1][first : first + size]

    def _train_on(self, chosen: Tensor) -> None:
        """A step on users (B,), who decide all shapes: nothing here waits for a GPU."""
        with rounded_products(chosen.device):
            self.loss_sum += self._slopes(*self._windows(chosen))
        self.optimizer.step()

    def _changing(self) -> list[Tensor]:
        """All that a step changes; Adam's part is there from the first call on."""
        for parameter in self.model.parameters():
            moments = self.optimizer.state[parameter]
            if not moments:
                moments["step"] = torch.zeros((), device=parameter.device)
                moments["exp_avg"] = torch.zeros_like(parameter, requires_grad=False)
                moments["exp_avg_sq"] = torch.zeros_like(parameter, requires_grad=False)
        moments = [value for own in self.optimizer.state.values() for value in own.values()]
        return [*(x.detach() for x in self.model.parameters()), *moments, self.loss_sum]

    def end_epoch(self) -> dict[str, Any]:
        """Close the epoch, validating when it is time. Returns its record.

        Raises:
            ModelError: the loss is not a finite number.
        """
        progress, config = self.progress, self.config
        loss = float(self.loss_sum) / self.steps
        progress.epoch += 1
        progress.step = 0
        self._average()
        if not math.isfinite(loss):
            raise ModelError(
                f"The loss of epoch {progress.epoch} is {loss}",
                to_do="Train again with a lower learning_rate",
            )
        record: dict[str, Any] = {"epoch": progress.epoch, "train_loss": loss}
        record |= {"valid_recall_10": None, "valid_ndcg_10": None}
        if self.chosen:
            if self.finished:
                self._choose(self.chosen.ndcg)
        elif progress.epoch % config.validate_every == 0 or progress.epoch == config.epochs:
            record |= self._validate()
        progress.epochs.append(record)
        return record

    def state(self) -> State:
        """All that another process needs to go on from here to the same weights, to the bit."""
        tensors = {f"model.{name}": value for name, value in self.weights().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        tensors |= {f"averaged.{name}": value for name, value in self.averaged.items()}
        tensors |= self._moments() | {"groups": self.groups, "loss_sum": self.loss_sum}
        return State(tensors, {"progress": vars(self.progress)})

    def _moments(self) -> dict[str, Tensor]:
        """What Adam keeps of each parameter."""
        return {
            f"adam.{key}.{name}": value
            for name, parameter in self.model.named_parameters()
            for key, value in self.optimizer.state[parameter].items()
        }

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ModelError: it is of another model.
        """
        self.restore_all_but_moments(state)
        for name, parameter in self.model.named_parameters():
            moments = self.optimizer.state[parameter]
            for key in ("step", "exp_avg", "exp_avg_sq"):
                value = state.tensors.get(f"adam.{key}.{name}")
                if value is not None and key in moments:
                    moments[key].copy_(value)  # captured steps know its address
                elif value is not None:
                    moments[key] = value.to(parameter.device, copy=True)

    def restore_all_but_moments(self, state: State) -> None:
        """What a state holds besides the optimizer's.

        Raises:
            ModelError: it is of another model.
        """
        load_weights(self.model, under("model.", state.tensors), "The checkpoint")
        device = self.rows.device
        self.best = under("best.", state.tensors)
        averaged = under("averaged.", state.tensors)
        self.averaged = {name: value.to(device) for name, value in averaged.items()}
        self.groups.copy_(state.tensors["groups"])
        self.loss_sum.copy_(state.tensors["loss_sum"])
        self.progress = Progress(**state.facts["progress"])

    def _begin_epoch(self) -> None:
        self.loss_sum.zero_()
        self.refresh_groups()

    def refresh_groups(self) -> bool:
        """Cluster the users anew, if it is time. Returns whether it was."""
        progress, config = self.progress, self.config
        due = progress.epoch > 0 and progress.epoch % config.group_refresh == 0
        if not (config.grouped and due):
            return False
        vectors = self.weights()["users.weight"][1:]
        draw = generator(self.seed, _GROUPS, progress.epoch)
        self.groups[1:] = cluster(vectors, config.groups, draw)
        return True

    def order_of(self, epoch: int) -> Tensor:
        """An epoch's order of the trainable users, (N,) int64 on the CPU."""
        return torch.randperm(len(self.rows), generator=generator(self.seed, _ORDER, epoch))

    def _windows(self, chosen: Tensor) -> tuple[Windows, Tensor]:
        if self.config.windows == "latest":
            inputs, targets = self.latest
            return inputs.rows(chosen), targets[chosen]
        last = self.last[chosen]
        chance = torch.rand(last.shape, device=last.device, dtype=torch.float64)
        length = self.config.max_length
        ends = random_ends(last, length, chance)
        return examples(self.sequences, self.rows[chosen], ends, length)

    def _slopes(self, windows: Windows, targets: Tensor) -> Tensor:
        """Leave each parameter's slope where Adam looks for it; returns the loss."""
        loss = self._loss(windows, targets) + self._penalties()
        self.optimizer.zero_grad()
        loss.backward()
        return loss.detach()

    def _loss(self, windows: Windows, targets: Tensor) -> Tensor:
        config, model = self.config, self.model
        features = model(replaced(windows, config, self.sequences))
        if config.loss == "softmax":
            met = self._met(windows, windows.users, self.longest)
            return softmax_loss(model, features, targets, met)
        negatives = self.negatives.draw(windows.users, tuple(targets.shape))
        return bce_loss(model, features, targets, negatives)

    def _met(self, windows: Windows, owners: Tensor, longest: int | None = None) -> Tensor | None:
        """What a softmax leaves out, of `owners` (B,), whoever else is the user of a window now.

        See `met_before` for `longest`.
        """
        if not self.config.exclude_seen:
            return None
        return met_before(self.sequences, owners, windows.next_places, longest)

    def _penalties(self) -> Tensor:
        """What the loss has besides that of the next items."""
        norms = torch._foreach_norm(self.model.regularised())
        loss = self.config.l2 * torch.stack(norms).sum()
        groups = self._group_penalty()
        return loss if groups is None else loss + groups

    def _group_penalty(self) -> Tensor | None:
        """0 while nobody has a group, None where the loss knows of none."""
        config, model = self.config, self.model
        if not (config.group_weight and model.users is not None):
            return None
        loss = config.group_weight * self._group_loss(model.users.weight)
        return torch.where(self.groups[1] >= 0, loss, 0.0)

    def _group_loss(self, users: Tensor) -> Tensor:
        pairs = torch.randint(1, len(users), (2, self.config.group_pairs), device=users.device)
        same = self.groups[pairs[0]] == self.groups[pairs[1]]
        return group_loss(users, pairs[0], pairs[1], same, self.config.group_margin)

    def _validate(self) -> dict[str, float]:
        ranks = self.ranked("valid", ("uniform_100",)).ranks["uniform_100"]
        found = {"valid_recall_10": recall(ranks, 10), "valid_ndcg_10": ndcg(ranks, 10)}
        if found["valid_ndcg_10"] > self.progress.best_ndcg:
            self._choose(found["valid_ndcg_10"])
        return found

    def _choose(self, valid_ndcg: float) -> None:
        """Take the weights of this epoch for the best so far."""
        self.progress.best_ndcg, self.progress.best_epoch = valid_ndcg, self.progress.epoch
        weights = self.averaged or self.weights()
        self.best = {name: value.clone() for name, value in weights.items()}

    def _average(self) -> None:
        """Take the epoch's weights into their average; the first epoch's are its beginning."""
        share = self.config.ema_decay
        if not share:
            return
        weights = self.weights()
        if not self.averaged:
            self.averaged = {name: value.clone() for name, value in weights.items()}
        for name, mean in self.averaged.items():
            if mean.is_floating_point():
                mean.lerp_(weights[name], 1 - share)

    def weights(self) -> dict[str, Tensor]:
        """The model's state dict as it is now."""
        return {name: value.detach() for name, value in self.model.state_dict().items()}

    def ranked(self, split: Split, protocols: tuple[Protocol, ...] = PROTOCOLS) -> Ranks:
        """Ranks by the averaged weights where there are such, else those of now; see `rank`."""
        ranks = self._plainly_ranked if self.strangers else self._ranked
        if not self.averaged:
            return ranks(split, protocols)
        now = {name: value.clone() for name, value in self.weights().items()}
        self.use(self.averaged)
        found = ranks(split, protocols)
        self.use(now)
        return found

    @cached_property
    def strangers(self) -> bool:
        """See `has_strangers`."""
        return has_strangers(self.config, self.sequences)

    def _plainly_ranked(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """By the plain model, which knows of strangers, whatever engine trains."""
        self.model.load_state_dict(self.weights())
        score = scorer(self.model, self.sequences)
        return rank(score, self.sequences, split, self.config.max_length, protocols)

    def _ranked(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """Where all that are ranked were trained; engines have ways of their own."""
        return rank(self._scorer(), self.sequences, split, self.config.max_length, protocols)

    def _scorer(self) -> Scorer:
        return scorer(self.model, self.sequences)

    def use(self, weights: dict[str, Tensor]) -> None:
        """Take weights; what is ranked from here on is ranked by them.

        Raises:
            ModelError: they are another model's, or none.
        """
        load_weights(self.model, weights, "The weights")

    def use_best(self) -> None:
        """Take the chosen weights. It is trained no further."""
        self.use(self.best)
        self.averaged = {}


def scorer(model: Encoder, sequences: Sequences) -> Scorer:
    """Scores by the features of a window's last position; see `Unseen` for users without training.

    Args:
        model: its weights as they are now.
        sequences: what it was trained on.
    """
    unseen = Unseen(model, sequences)

    def score(windows: Windows) -> Tensor:
        model.eval()
        features = model(windows, latest=1, users=unseen.vectors(windows))
        return model.score_all(features[:, -1])

    return score


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of the tensors whose names begin so, without the beginning."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
