"""A step of the reference trainer on a GPU: recorded once, then replayed.

A step of the encoder is some hundred short launches, and an eager one waits for most of them. Seed
and step decide what a replay draws, as with an eager step: PyTorch hands its generator's seed to a
graph at each replay.

Factors of a step's matrix products are rounded to TF32, ten digits after the binary point, as many
as the half floats of the fast engines have. In float32 the products take five times as long, half
of a large step. What is ranked is computed in float32.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fpt_model.engines.gpu.graphs import captured

Work = Callable[[Tensor], object]


@contextmanager
def tf32_products(device: torch.device) -> Iterator[None]:
    """Matrix products on a GPU round their factors to TF32."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class CapturedSteps:
    """What is done to a batch of users, as a graph for each size of a batch.

    Args:
        work: one step for users (B,), without waiting for the GPU.
        state: the tensors that steps change, at addresses that stay.
    """

    def __init__(self, work: Work, state: Callable[[], Sequence[Tensor]]) -> None:
        self.work, self.state = work, state
        self.steps: dict[int, Work] = {}
        self.pool: Any = None
        self.failed = False

    def of(self, users: Tensor, say: Callable[[str], None]) -> Work:
        """The step for so many users; it draws by what generators are seeded with when it runs.

        Args:
            users: (B,).
            say: gets a sentence for people where steps can't be captured, once.
        """
        size = len(users)
        if size not in self.steps:
            try:
                self.steps[size] = self.work if self.failed else self._captured(users)
            except RuntimeError as error:  # out of memory, or a launch that no graph can hold
                self.failed, self.steps[size] = True, self.work
                reason = str(error).partition("\n")[0]
                say(f"Steps can't be captured, and launch one by one, more slowly: {reason}")
        return self.steps[size]

    def _captured(self, users: Tensor) -> Work:
        slot = users.clone()
        work = partial(self.work, slot)
        graph = captured(work, self.state(), partial(_dry_run, work), self.pool)
        self.pool = self.pool or graph.pool()

        def replay(users: Tensor) -> None:
            slot.copy_(users)
            graph.replay()

        return replay


def _dry_run(work: Callable[[], object]) -> None:
    """On a stream of its own, as PyTorch asks of what is recorded next."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), warnings.catch_warnings():
        # Adam wonders why it runs outside of a graph
        warnings.filterwarnings("ignore", message=".*capturable.*")
        work()
    torch.cuda.current_stream().wait_stream(stream)
