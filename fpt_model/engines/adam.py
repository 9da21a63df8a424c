"""PyTorch's Adam by its function: its class imports PyTorch's compiler, over a second a process.

With weight decay it is AdamW: a step takes learning rate times decay off a weight, beside Adam's
change and never through its moments (Loshchilov and Hutter 2019). As in PyTorch, and unlike in the
paper, the decay is multiplied by the learning rate, so that a schedule rules both.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

EPSILON = 1e-8  # as `torch.optim.Adam` has it


def decays(parameter: Tensor) -> bool:
    """Whether weight decay is of a parameter: of matrices and tables.

    Vectors are biases, and scales and shifts of LayerNorms. A table's row of padding is zero, and
    so stays.
    """
    return parameter.dim() > 1


class Adam:
    """Steps in one pass over all parameters; bits and state are those of `torch.optim.Adam`, or
    with decay of `torch.optim.AdamW`.

    Attributes:
        learning_rate: of the next step. A tensor where a CUDA graph may hold a step, so that it is
            read when the graph runs.
        state: `step`, `exp_avg` and `exp_avg_sq` of each parameter that has moved.

    Args:
        parameters: that it moves.
        learning_rate: the step's size.
        betas: how slowly both averages forget.
        capturable: whether a CUDA graph may hold its steps.
        weight_decay: of those parameters that `decays` names.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float | Tensor,
        betas: tuple[float, float],
        *,
        capturable: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate, self.betas, self.capturable = learning_rate, betas, capturable
        self.weight_decay = weight_decay
        self.state: dict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    def begin(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """What is kept of a parameter, from nothing if it has not moved yet."""
        kept = self.state[parameter]
        if not kept:
            kept["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            kept["exp_avg"] = torch.zeros_like(parameter, requires_grad=False)
            kept["exp_avg_sq"] = torch.zeros_like(parameter, requires_grad=False)
        return kept

    def zero_grad(self) -> None:
        """Forget gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move each parameter that has a gradient."""
        moved = [one for one in self.parameters if one.grad is not None]
        if not self.weight_decay:
            self._move(moved, 0.0)
            return
        self._move([one for one in moved if decays(one)], self.weight_decay)
        self._move([one for one in moved if not decays(one)], 0.0)

    def _move(self, parameters: list[nn.Parameter], weight_decay: float) -> None:
        moved = [(one, one.grad) for one in parameters if one.grad is not None]
        kept = [self.begin(one) for one, _ in moved]
        adam(
            [one for one, _ in moved],
            [gradient for _, gradient in moved],
            [own["exp_avg"] for own in kept],
            [own["exp_avg_sq"] for own in kept],
            [],
            [own["step"] for own in kept],
            fused=True,
            capturable=self.capturable,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.learning_rate,
            weight_decay=weight_decay,
            decoupled_weight_decay=weight_decay > 0,
            eps=EPSILON,
            maximize=False,
        )
