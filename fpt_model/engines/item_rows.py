"""The item vectors that a step looks up, and Adam's step on these rows alone.

Adam moves a row on for many steps after a gradient, by its moments, and these shrink. That takes
the whole table at each step. Here a row that nobody looks up coasts: what Adam would have moved it
by since is one sum, and is made up for when it is looked up again, or at the end of an epoch. So a
step costs the same whatever the number of items, and learns as Adam on all rows does. (To leave
such rows where they are, as "sparse" or "lazy" Adam does, learns a third as fast.)

Of a row with moments m and v that coasts for k steps, Adam moves it by the sum over j = 1 … k of
β1^j m / √(β2^j v), which is r + r² + … + r^k times m / √v, where r = β1 / √β2. Two things are left
out: within the sum, Adam's ε does not shrink against √v, nor does the correction of bias change.

With a schedule each power of r has the learning rate of its step, and with weight decay a row that
coasts shrinks at each step, also one that was never looked up, as it would in a table that is moved
as a whole. Then both are kept up from step to step for each step that a row can be of (`Coasting`).

Letters: I items, U rows of a step, D width, E steps of an epoch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.model.fixed_point import in_any_order

_ADAM_EPS = 1e-8  # as of `torch.optim.Adam`
_AT_ONCE = 1 << 24  # numbers of a table, where all rows stop coasting


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


class Coasting:
    """What becomes of rows that coast, where learning rates differ or weights decay.

    A row that coasts since step l is, at step n, its vector then times the product of all 1 - η λ
    of the steps between, less m / √v of then times the sum over them of η_j r^(j - l) and of what
    the steps after j leave of it.

    Args:
        first: the earliest step that a row may be of.
        decay: λ.
        ratio: r.

    Attributes:
        last: n.
        moves: (E,) float64 on a CPU, by l from `first` on: the sum.
        left: likewise, the product.
    """

    def __init__(self, first: int, decay: float, ratio: float) -> None:
        self.first = self.last = first
        self.decay, self.ratio = decay, ratio
        self.moves, self.left = torch.zeros(1).double(), torch.ones(1).double()
        self._powers = torch.ones(1).double()  # r^(n - l)

    def step(self, rate: float) -> None:
        """Go on by a step of that learning rate."""
        kept = 1 - rate * self.decay
        self._powers = self._powers * self.ratio
        self.moves = self.moves * kept + rate * self._powers
        self.left = self.left * kept
        self.last += 1
        self._powers = torch.nn.functional.pad(self._powers, (0, 1), value=1.0)
        self.moves = torch.nn.functional.pad(self.moves, (0, 1))
        self.left = torch.nn.functional.pad(self.left, (0, 1), value=1.0)

    def since(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Moves and what is left, (U, 1) float32 each, of rows that are of `steps` (U,).

        One that is of a step before the first was never looked up, and has nothing to move by.
        """
        at = (steps.long() - self.first).clamp(min=0)
        both = torch.stack([self.moves, self.left], 1).float().to(steps.device)
        moves, left = both.index_select(0, at).split(1, 1)
        return moves, left


class ItemRows:
    """A table that is whole.

    Args:
        weight: (I + 1, D), changed by steps; row 0 is padding.
        config: settings of Adam, and of the penalty on rows.
        learning_rate_of: of a step that has so many before it; that of `config` when not given.
    """

    def __init__(
        self,
        weight: Tensor,
        config: Config,
        learning_rate_of: Callable[[int], float] | None = None,
    ) -> None:
        self.weight, self.config = weight.detach(), config
        self.learning_rate_of = learning_rate_of or (lambda _: config.learning_rate)
        self.is_even = not (config.scheduled or config.weight_decay)  # all steps are alike
        self.coasting: Coasting | None = None
        self.steps = torch.zeros((), device=weight.device)
        self.kept: tuple[Tensor, Tensor, Tensor] | None = None  # see `_moments`

    def look_up(self, *ids: Tensor) -> LookedUp:
        """The rows of all ids (…)."""
        padding = ids[0].new_zeros(1)
        numbers = torch.cat([padding, *(own.flatten() for own in ids)]).unique()
        return LookedUp(numbers, self.fetched(numbers).requires_grad_())

    @torch.no_grad()
    def vectors(self, ids: Tensor) -> Tensor:
        """Of ids (…), (…, D)."""
        numbers, places = ids.unique(return_inverse=True)
        return self.fetched(numbers)[places]

    def fetched(self, numbers: Tensor) -> Tensor:
        """Vectors of different rows (U,)."""
        self.stop_coasting(numbers)
        return self.weight.index_select(0, numbers)

    def step(self, looked: LookedUp) -> Tensor:
        """Adam's, by the gradient of what was looked up and by the penalty, which is returned."""
        places, gradient = self.collected(looked)
        vectors = self.weight.index_select(0, places)
        norm = self.summed(vectors.square().sum()).sqrt()
        gradient = gradient + self.config.l2 / norm.clamp(min=1e-30) * vectors
        exp_avg, exp_avg_sq, _ = self._moments()
        mean = exp_avg.index_select(0, places).lerp_(gradient, 1 - self.config.beta1)
        square = exp_avg_sq.index_select(0, places).lerp_(gradient.square(), 1 - self.config.beta2)
        coasting = None if self.is_even else self._coasting()
        self.steps += 1
        rate = self.config.learning_rate
        if coasting is not None:
            rate = self.learning_rate_of(coasting.last)
            coasting.step(rate)
            vectors = vectors * (1 - rate * self.config.weight_decay)
        self._write(places, vectors - self._change(mean, square, rate), mean, square)
        return self.config.l2 * norm

    def stop_coasting(self, places: Tensor) -> None:
        """Make up for the steps that rows at different `places` (U,) were not looked up in."""
        if self.kept is None:
            return
        config, (exp_avg, exp_avg_sq, last) = self.config, self.kept
        mean, square = exp_avg.index_select(0, places), exp_avg_sq.index_select(0, places)
        since, vectors = last.index_select(0, places), self.weight.index_select(0, places)
        count = (self.steps - since)[:, None]
        if self.is_even:
            ratio = config.beta1 / config.beta2**0.5
            moves = ratio / (1 - ratio) * (1 - ratio**count)
            change = self._change(mean, square, config.learning_rate) * moves
        else:
            moves, left = self._coasting().since(since)
            change, vectors = self._change(mean, square, 1.0) * moves, vectors * left
        vectors = vectors - torch.where(count > 0, change, 0.0)
        self._write(places, vectors, mean * config.beta1**count, square * config.beta2**count)

    def _coasting(self) -> Coasting:
        """Of the steps since the first that a row is of, up to the present one."""
        config, now = self.config, int(self.steps)
        if self.coasting is None or self.coasting.last != now:
            ratio = config.beta1 / config.beta2**0.5
            self.coasting = Coasting(self._first(now), config.weight_decay, ratio)
            for before in range(self.coasting.last, now):
                self.coasting.step(self.learning_rate_of(before))
        return self.coasting

    def _first(self, now: int) -> int:
        """The earliest step that a row is of, if it moves or decays."""
        last = self._moments()[2]
        known = last if self.config.weight_decay else last[last > 0]
        return int(known.min()) if len(known) else now

    def settle(self) -> None:
        """Make up for all rows; those that were never looked up have not moved, but decayed."""
        if self.kept is None:
            return
        size, last = max(1, _AT_ONCE // self.weight.shape[1]), self.kept[2]
        for first in range(0, len(last), size):
            some = last[first : first + size]
            behind = some < self.steps
            if not self.config.weight_decay:
                behind &= some > 0
            self.stop_coasting(first + behind.nonzero()[:, 0])
        self.coasting = None  # all rows are of this step

    def _change(self, mean: Tensor, square: Tensor, rate: float) -> Tensor:
        """What Adam subtracts by moments (U, D) at the present step, with that learning rate."""
        config = self.config
        root = (square / (1 - config.beta2**self.steps)).sqrt_().add_(_ADAM_EPS)
        return mean * (rate / (1 - config.beta1**self.steps)) / root

    def _write(self, places: Tensor, vectors: Tensor, mean: Tensor, square: Tensor) -> None:
        exp_avg, exp_avg_sq, last = self._moments()
        with in_any_order():
            self.weight.index_copy_(0, places, vectors)
            exp_avg.index_copy_(0, places, mean)
            exp_avg_sq.index_copy_(0, places, square)
            last.index_copy_(0, places, self.steps.expand(len(places)))

    def _moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of all rows Adam's moments, and the step (I + 1,) that they are of; from the first step
        on."""
        if self.kept is None:
            mean, square = torch.zeros_like(self.weight), torch.zeros_like(self.weight)
            self.kept = mean, square, self.steps.expand(len(mean)).clone()
        return self.kept

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
        if self.kept is None:
            return {}
        return {"step": self.steps, **dict(zip(OF_ROWS, self.kept, strict=True))}

    def restore(self, moments: dict[str, Tensor]) -> None:
        """Go on from moments that were kept; without any from none."""
        self.kept = self.coasting = None
        self.steps.zero_()
        if moments:
            self.steps.copy_(moments["step"])
            for own, kind in zip(self._moments(), OF_ROWS, strict=True):
                if kind in moments:
                    own.copy_(moments[kind])


OF_ROWS = ("exp_avg", "exp_avg_sq", "last")  # what is kept of each row
