"""PyTorch's Adam by its function: its class imports PyTorch's compiler, over a second a process."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

EPSILON = 1e-8  # as `torch.optim.Adam` has it


class Adam:
    """Steps in one pass over all parameters; bits and state are those of `torch.optim.Adam`.

    Attributes:
        state: `step`, `exp_avg` and `exp_avg_sq` of each parameter that has moved.

    Args:
        parameters: that it moves.
        learning_rate: the step's size.
        betas: how slowly both averages forget.
        capturable: whether a CUDA graph may hold its steps.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        betas: tuple[float, float],
        *,
        capturable: bool = False,
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate, self.betas, self.capturable = learning_rate, betas, capturable
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
        moved = [(one, one.grad) for one in self.parameters if one.grad is not None]
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
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )
