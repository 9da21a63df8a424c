"""Steps in parts, side by side on a CPU's threads.

Which user is in which part, what each part draws and the order in which gradients are added depend
on settings, seed and step alone: any number of threads gives the same weights to the bit.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.sequences import SequenceBatch, Split
from fpt_model.data.training_windows import apply_sse
from fpt_model.engines.cpu.forward_backward import ForwardBackward
from fpt_model.engines.cpu.loss import bce, softmax
from fpt_model.engines.cpu.ranking import rank
from fpt_model.engines.cpu.rng import Rng
from fpt_model.engines.cpu.threads import parallel_map, single_threaded, threads_now
from fpt_model.engines.cpu.weights import Weights, assign_grads, table_factors, weights_of
from fpt_model.engines.module import ModuleEngine
from fpt_model.engines.shared import Training
from fpt_model.evaluation.ranks import Protocol, Ranks

# Scores of a part, at most: operations are long beside the moments between them, when threads wait
# for each other, and the papers' batch still keeps two threads busy
SCORES = 64 * 50 * 50
FEWEST = 8  # users of a part, however long their windows are
LENGTHS = 16  # that parts have: products of a new shape are compiled first


class MicroBatch(NamedTuple):
    """Some users of a batch; B of them.

    Attributes:
        number: of the part.
        windows: (B, T), T the longest of them.
        targets: (B, T).
        owners: (B,) ids of those whose windows they are; some have another user's vector.
    """

    number: int
    windows: SequenceBatch
    targets: Tensor
    owners: Tensor


class MicroBatchGrads(NamedTuple):
    """What a part finds: its share of the loss, and gradients."""

    loss: Tensor
    grads: Weights


class CpuEngine(ModuleEngine):
    """The encoder on a CPU, with a forward and backward pass of its own."""

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self.threads = threads_now()

    def train(self) -> None:
        """See `Engine`: one step."""
        self.threads = threads_now()
        with single_threaded():
            super().train()

    def rank(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """See `Engine`."""
        return rank(self.model, self.sequences, split, protocols)

    def differentiate(self, windows: SequenceBatch, targets: Tensor) -> Tensor:
        """See `ModuleEngine`."""
        owners, windows = windows.users, apply_sse(windows, self.config, self.sequences)

        # what all parts share
        factors = table_factors(self.model)
        weights, count = weights_of(self.model, True, factors), int((targets > 0).sum())

        def grads_of(part: MicroBatch) -> MicroBatchGrads:
            return self._micro_batch_grads(part, weights, count)

        # each part on a thread; gradients are added in the order of the parts
        found = parallel_map(
            grads_of, micro_batches(windows, targets, owners, self.config), self.threads
        )
        grads = found[0].grads
        for one in found[1:]:
            torch._foreach_add_(list(grads.tensors()), list(one.grads.tensors()))

        assign_grads(self.model, grads, factors)
        return self._add_penalties() + sum(one.loss for one in found)

    def _add_penalties(self) -> Tensor:
        """Gradients of the penalties, beside those that are there; returns the penalties.

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
    def _micro_batch_grads(self, part: MicroBatch, weights: Weights, count: int) -> MicroBatchGrads:
        training = self.training
        rng = Rng(self.config.dropout, training.seed, training.steps_before, part.number)
        forward_backward = ForwardBackward(self.model, weights, part.windows, rng)
        features = forward_backward.forward()

        # loss, and gradients by features and items
        targets = part.targets.flatten()
        if self.config.loss == "softmax":
            seen = self.seen(part.windows, part.owners)
            excluded = None if seen is None else seen.flatten(0, 1)
            smoothing = self.config.smoothing
            loss, grads, items = softmax(
                features, weights.items, targets, count, excluded, smoothing
            )
        else:
            shape = part.targets.shape
            drawn = self.negatives.draw(part.owners, shape, rng.uniform(shape))
            loss, grads, items = bce(features, weights.items, targets, drawn.flatten(), count)

        # back
        return MicroBatchGrads(loss, forward_backward.backward(grads, items))


def micro_batches(
    windows: SequenceBatch, targets: Tensor, owners: Tensor, config: Config
) -> list[MicroBatch]:
    """A batch in parts of users with windows of like length, the longest first."""
    # as many parts as settings ask for, of like size
    lengths = (windows.items > 0).sum(1)
    size = max(FEWEST, SCORES // (config.heads * config.max_length**2))
    size = -(-len(lengths) // -(-len(lengths) // size))

    # a part's windows are as long as its longest, which comes first, or a little longer
    parts, step = [], max(1, windows.items.shape[1] // LENGTHS)
    for number, members in enumerate(lengths.argsort(descending=True, stable=True).split(size)):
        length = -(-int(lengths[members[0]]) // step) * step
        some = windows.select(members).latest(length)
        parts.append(MicroBatch(number, some, targets[members][:, -length:], owners[members]))
    return parts
