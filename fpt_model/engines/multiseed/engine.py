"""S trainings side by side on one GPU: their weights, and an epoch as one graph.

Letters: S seeds, P weights, T sequence, D width, R interval rows, L blocks, N users.
"""

import torch
from torch import Tensor

from fpt_model.engines.gpu.graphs import capture_cuda_graph, captured
from fpt_model.engines.multiseed.state import EngineState
from fpt_model.engines.multiseed.step import choose, drop_tables, forward, start, train_step
from fpt_model.engines.multiseed.workspace import Batch, Workspace

AT_ONCE = 1024  # windows that are ranked at a time
IN_A_GRAPH = 2**15  # at most: a graph keeps what it allocates


class Engine(EngineState):
    """The steps that train and apply S models; see `EngineState`."""

    def run(self, batch: Batch) -> None:
        """All steps of the epoch that was prepared; on a GPU they are one graph."""
        self.version += 1
        self.copy_batch_(batch)
        if self.device.type != "cuda":
            self._epoch()
            return
        if self.graph is None:
            self.graph = captured(self._epoch, self._state(), self._first)
        self.graph.replay()

    def _epoch(self) -> None:
        self._first()
        for step in range(1, self.steps):
            train_step(self, step)

    def _first(self) -> None:
        assert self.batch is not None
        start(self, self.batch, 0)
        train_step(self, 0)

    def _state(self) -> list[Tensor]:
        weights = [self.params, self.fp16, self.exp_avg, self.exp_avg_sq]
        return [*weights, self.block_squares, self.record]

    def features(self, batch: Batch) -> Tensor:
        """Of every window's last position, (S, N, D): what scores are products with.

        From the second time on it is a graph, whose launches a slow processor does not hold up.
        Then the tensor is good until the next time.
        """
        if self.device.type != "cuda" or len(batch.users) > IN_A_GRAPH:
            return self._features(batch)
        if batch not in self.ranked:  # what has not run yet would compile
            self.ranked[batch] = None
            return self._features(batch)
        known = self.ranked[batch]
        if known is None:
            graph, found = capture_cuda_graph(lambda: self._features(batch))
            known = self.ranked[batch] = graph, found, self.ranking  # which it writes to
        known[0].replay()
        return known[1]

    def _features(self, batch: Batch) -> Tensor:
        config, layout = self.config, self.layout
        if config.intervals:
            drop_tables(self, 0, train=False)

        # windows a thousand at a time, and scratch for so many
        n = len(batch.users)
        size = min(AT_ONCE, n)
        if self.ranking is None or len(self.ranking.x) != self.seeds * size:
            self.ranking = Workspace(
                layout, config, self.seeds * size, train=False, like=self.params
            )
        ws = self.ranking

        # the chain without training, of every window; its last position is kept
        rows = torch.arange(n, dtype=torch.int32, device=self.device)
        parts = []
        for some in rows.split(size):
            order = some.expand(self.seeds, -1).contiguous()
            choose(self, ws, batch, order, 0, train=False)
            forward(self, ws, batch, 0, train=False)
            last = ws.x.view(self.seeds, size, layout.length, layout.width)[:, :, -1]
            parts.append(last[:, : len(some), : config.width].clone())

        # last norm
        weight, bias = (self._column(f"norm.{part}") for part in ("weight", "bias"))
        x = torch.nn.functional.layer_norm(torch.cat(parts, 1), (config.width,), eps=1e-8)
        return x * weight[:, None] + bias[:, None]

    def _column(self, name: str) -> Tensor:
        """A vector of every seed, (S, D)."""
        return torch.stack([self.layout.slots[name].view(flat) for flat in self.params])
