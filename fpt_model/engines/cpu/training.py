"""Steps in parts, side by side on a CPU's threads.

Which user is in which part, what each part draws and the order in which slopes are added depend on
settings, seed and step alone: any number of threads gives the same weights to the bit.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.sequences import Split, Windows
from fpt_model.data.training_windows import replaced
from fpt_model.engines.cpu.chance import Chance
from fpt_model.engines.cpu.loss import bce, softmax
from fpt_model.engines.cpu.passage import Passage
from fpt_model.engines.cpu.ranking import rank
from fpt_model.engines.cpu.threads import each, undivided
from fpt_model.engines.cpu.weights import Weights, weights_of
from fpt_model.engines.module import ModuleEngine
from fpt_model.engines.shared import Training
from fpt_model.evaluation.ranks import Protocol, Ranks

# Scores of a part, at most: operations are long beside the moments between them, when threads wait
# for each other, and the papers' batch still keeps two threads busy
SCORES = 64 * 50 * 50
FEWEST = 8  # users of a part, however long their windows are


class Part(NamedTuple):
    """Some users of a batch; B of them.

    Attributes:
        number: of the part.
        windows: (B, T), T the longest of them.
        targets: (B, T).
        owners: (B,) ids of those whose windows they are; some have another user's vector.
    """

    number: int
    windows: Windows
    targets: Tensor
    owners: Tensor


class Learned(NamedTuple):
    """What a part finds: its share of the loss, and slopes."""

    loss: Tensor
    slopes: Weights


class CpuEngine(ModuleEngine):
    """The encoder on a CPU, with a forward and backward pass of its own."""

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self.threads = torch.get_num_threads()

    def train(self) -> None:
        """See `Engine`: one step."""
        with undivided():
            super().train()

    def rank(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """See `Engine`."""
        return rank(self.model, self.sequences, split, protocols)

    def differentiate(self, windows: Windows, targets: Tensor) -> Tensor:
        """See `ModuleEngine`."""
        owners, windows = windows.users, replaced(windows, self.config, self.sequences)

        # what all parts share
        weights = weights_of(self.model, training=True)
        plain, count = weights.detached(), int((targets > 0).sum())

        def learn(part: Part) -> Learned:
            return self._learn(part, plain, count)

        # each part on a thread; slopes are added in the order of the parts
        found = each(learn, divided(windows, targets, owners, self.config), self.threads)
        slopes = list(found[0].slopes.tensors())
        for one in found[1:]:
            torch._foreach_add_(slopes, list(one.slopes.tensors()))

        self._leave(weights, slopes)
        return self._add_penalties() + sum(one.loss for one in found)

    def _leave(self, weights: Weights, slopes: list[Tensor]) -> None:
        """Slopes of a pass's weights become those of the model's parameters."""
        self.optimizer.zero_grad()
        made, of_made = [], []
        for weight, slope in zip(weights.tensors(), slopes, strict=True):
            if weight.grad_fn is not None:
                made.append(weight)
                of_made.append(slope)
            elif weight.requires_grad:
                weight.grad = slope
        torch.autograd.backward(made, of_made)

    def _add_penalties(self) -> Tensor:
        """Slopes of the penalties, beside those that are there; returns the penalties.

        Left to PyTorch, they take eight passes over the items.
        """
        # norms of the tables: the gradient is table / norm
        tables, l2 = self.model.regularised(), self.config.l2
        with torch.no_grad():
            norms = torch.stack(torch._foreach_norm(tables))
            for table, norm in zip(tables, norms.tolist(), strict=True):
                cast(Tensor, table.grad).add_(table, alpha=l2 / norm if norm else 0.0)

        # groups of users, once there are any
        loss = l2 * norms.sum()
        groups = self.group_penalty() if int(self.training.groups[1]) >= 0 else None
        if groups is None:
            return loss
        groups.backward()
        return loss + groups.detach()

    @torch.no_grad()
    def _learn(self, part: Part, weights: Weights, count: int) -> Learned:
        training = self.training
        chance = Chance(self.config.dropout, training.seed, training.steps_before, part.number)
        passage = Passage(self.model, weights, part.windows, chance)
        features = passage.forward()

        # loss, and slopes by features and items
        targets = part.targets.flatten()
        if self.config.loss == "softmax":
            met = self.met(part.windows, part.owners)
            left_out = None if met is None else met.flatten(0, 1)
            loss, slopes, items = softmax(features, weights.items, targets, count, left_out)
        else:
            shape = part.targets.shape
            drawn = self.negatives.draw(part.owners, shape, chance.uniform(shape))
            loss, slopes, items = bce(features, weights.items, targets, drawn.flatten(), count)

        # back
        return Learned(loss, passage.back(slopes, items))


def divided(windows: Windows, targets: Tensor, owners: Tensor, config: Config) -> list[Part]:
    """A batch in parts of users with windows of like length, the longest first."""
    # as many parts as settings ask for, of like size
    lengths = (windows.items > 0).sum(1)
    size = max(FEWEST, SCORES // (config.heads * config.max_length**2))
    size = -(-len(lengths) // -(-len(lengths) // size))

    # a part's windows are as long as its longest, which comes first
    parts = []
    for number, chosen in enumerate(lengths.argsort(descending=True, stable=True).split(size)):
        length = int(lengths[chosen[0]])
        some = windows.rows(chosen).latest(length)
        parts.append(Part(number, some, targets[chosen][:, -length:], owners[chosen]))
    return parts
