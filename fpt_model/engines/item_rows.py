"""The item vectors that a step looks up, and Adam's step on these rows alone.

A row that a step does not look up stays as it is, its moments too. Adam on all rows would let a row
coast on its moments for many steps after each time that it is looked up, and read and write the
whole table at each step. The number of steps, which corrects the moments' bias, is everybody's.

Letters: U rows of a step, D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.model.fixed_point import in_any_order

_ADAM_EPS = 1e-8  # as of `torch.optim.Adam`


@dataclass(frozen=True)
class LookedUp:
    """Rows of a table.

    Attributes:
        numbers: (U,) theirs, ascending; the first is 0, of padding.
        vectors: (U, D), whose gradient is asked for.
    """

    numbers: Tensor
    vectors: Tensor

    def places(self, ids: Tensor) -> Tensor:
        """Where ids (…) are among them."""
        return torch.searchsorted(self.numbers, ids)


class ItemRows:
    """A table that is whole.

    Args:
        weight: (I + 1, D), changed by steps; row 0 is padding.
        config: settings of Adam, and of the penalty on rows.
    """

    def __init__(self, weight: Tensor, config: Config) -> None:
        self.weight, self.config = weight.detach(), config
        self.steps = torch.zeros((), device=weight.device)
        self.exp_avg: Tensor | None = None
        self.exp_avg_sq: Tensor | None = None

    def look_up(self, *ids: Tensor) -> LookedUp:
        """The rows of all ids (…)."""
        padding = ids[0].new_zeros(1)
        numbers = torch.cat([padding, *(own.flatten() for own in ids)]).unique()
        return LookedUp(numbers, self.fetched(numbers).requires_grad_())

    def fetched(self, numbers: Tensor) -> Tensor:
        """Vectors of different rows (U,)."""
        return self.weight.index_select(0, numbers)

    def step(self, looked: LookedUp) -> Tensor:
        """Adam's, by the gradient of what was looked up and by the penalty, which is returned."""
        places, gradient = self.collected(looked)
        vectors = self.weight.index_select(0, places)
        norm = self.summed(vectors.square().sum()).sqrt()
        gradient = gradient + self.config.l2 / norm.clamp(min=1e-30) * vectors
        change = self._change(places, gradient)
        with in_any_order():
            self.weight.index_copy_(0, places, vectors - change)
        return self.config.l2 * norm

    def _change(self, places: Tensor, gradient: Tensor) -> Tensor:
        """(U, D), and the moments of rows at `places` (U,) go on."""
        config = self.config
        self.steps += 1
        exp_avg, exp_avg_sq = self.kept_moments()
        mean = exp_avg.index_select(0, places).lerp_(gradient, 1 - config.beta1)
        square = exp_avg_sq.index_select(0, places).lerp_(gradient.square(), 1 - config.beta2)
        with in_any_order():
            exp_avg.index_copy_(0, places, mean)
            exp_avg_sq.index_copy_(0, places, square)
        root = square.div_(1 - config.beta2**self.steps).sqrt_().add_(_ADAM_EPS)
        return mean.mul_(config.learning_rate / (1 - config.beta1**self.steps)).div_(root)

    def kept_moments(self) -> tuple[Tensor, Tensor]:
        """Both of all rows, which are there from the first step on."""
        if self.exp_avg is None or self.exp_avg_sq is None:
            self.exp_avg, self.exp_avg_sq = (torch.zeros_like(self.weight) for _ in range(2))
        return self.exp_avg, self.exp_avg_sq

    def collected(self, looked: LookedUp) -> tuple[Tensor, Tensor]:
        """Places (U,) in `weight`, and the gradient (U, D) of each."""
        gradient = looked.vectors.grad
        if gradient is None:  # nobody's loss knows of them
            gradient = torch.zeros_like(looked.vectors)
        return looked.numbers, gradient

    def summed(self, value: Tensor) -> Tensor:
        """Over all that have a part of the table."""
        return value

    def moments(self) -> dict[str, Tensor]:
        """See `contract.Moments`; of the parameter's name the kinds alone."""
        if self.exp_avg is None or self.exp_avg_sq is None:
            return {}
        return {"step": self.steps, "exp_avg": self.exp_avg, "exp_avg_sq": self.exp_avg_sq}

    def restore(self, moments: dict[str, Tensor]) -> None:
        """Go on from moments that were kept; without any from none."""
        if not moments:
            self.steps.zero_()
            self.exp_avg = self.exp_avg_sq = None
            return
        self.steps.copy_(moments["step"])
        for own, kept in zip(self.kept_moments(), ("exp_avg", "exp_avg_sq"), strict=True):
            own.copy_(moments[kept])
