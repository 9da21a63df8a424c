"""The encoder as it is, differentiated by PyTorch; on a GPU its steps are captured.

Letters: B users of a step, T sequence.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.sequences import SequenceBatch, Split
from fpt_model.data.training_windows import apply_sse
from fpt_model.engines.capturing import CapturedSteps, tf32_products
from fpt_model.engines.contract import Refusal
from fpt_model.engines.module import ModuleEngine
from fpt_model.engines.sampled import Sampled, loss_of
from fpt_model.engines.shared import Training
from fpt_model.evaluation.ranks import Protocol, Ranks, rank
from fpt_model.evaluation.scorer import scorer


class Reference(ModuleEngine):
    """What the other engines are held to."""

    own_passes = False

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        # how many rows a sampled softmax looks up is known in a step only
        captured = training.rows.device.type == "cuda" and self.sampled is None
        self.captured = CapturedSteps(self.step_on, self._changing) if captured else None

    def work(self, users: Tensor, /) -> Callable[[Tensor], object]:
        """See `ModuleEngine`."""
        if self.captured is None:
            return self.step_on
        return self.captured.of(users, self.training.say)

    def _changing(self) -> list[Tensor]:
        """All that a step changes; Adam's part is there from the first call on."""
        for parameter in self.model.parameters():
            self.optimizer.begin(parameter)
        moments = [value for own in self.optimizer.state.values() for value in own.values()]
        parameters = [value.detach() for value in self.model.parameters()]
        return [*parameters, *moments, self.training.loss_sum]

    def differentiate(self, windows: SequenceBatch, targets: Tensor) -> Tensor:
        """See `ModuleEngine`."""
        if self.sampled is not None:
            return self._differentiate_sampled(self.sampled, windows, targets)
        with tf32_products(targets.device):
            loss = self.loss(windows, targets) + self.penalties()
            self.optimizer.zero_grad()
            loss.backward()
        return loss.detach()

    def _differentiate_sampled(
        self, sampled: Sampled, windows: SequenceBatch, targets: Tensor
    ) -> Tensor:
        owners, windows = windows.users, apply_sse(windows, self.config, self.sequences)
        batch = sampled.look_up(windows, targets, owners)
        with tf32_products(targets.device):
            loss = loss_of(self.model, batch) + self.penalties()
            self.optimizer.zero_grad()
            loss.backward()
        return loss.detach() + sampled.rows.step(batch.looked)

    def loss(self, windows: SequenceBatch, targets: Tensor) -> Tensor:
        """Mean over the positions of some users that have a target."""
        features = self.model(apply_sse(windows, self.config, self.sequences))
        negatives = seen = None
        if self.config.loss == "softmax":
            seen = self.seen(windows, windows.users, self.longest)
        else:
            negatives = self.negatives.draw(windows.users, self.shape_of_negatives(targets))
        return self.next_item_loss(features, targets, negatives, seen)

    def rank(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """See `Engine`."""
        score = scorer(self.model, self.sequences)
        return rank(score, self.sequences, split, self.config.max_length, protocols)


def refuses(_config: Config, _device: torch.device) -> Refusal | None:
    """It trains all that there is."""
    return None
