"""Steps of one training on a GPU, each a graph of library products and the kernels beside them.

Tokens lie one after the other without padding (see tokens.py), so a step costs what its windows
hold: on MovieLens-1M half of T = 200. A graph has fixed shapes, hence one graph for each multiple
of `state.ROUNDED` tokens that occurs.

Letters: B batch, N tokens, T sequence, D width, K columns, H heads, R interval rows, L blocks.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch
from fpt_model.engines.gpu.graphs import capture_cuda_graph, captured
from fpt_model.engines.gpu.layout import power_of_two
from fpt_model.engines.jagged import tokens
from fpt_model.engines.jagged.ahead import Ahead, settle_all
from fpt_model.engines.jagged.backward import backward, loss_backward
from fpt_model.engines.jagged.forward import forward, inputs
from fpt_model.engines.jagged.plan import LARGEST, Source
from fpt_model.engines.jagged.ranking import Windows
from fpt_model.engines.jagged.state import EngineState, round_up_tokens
from fpt_model.engines.jagged.weight_grads import update, weight_sums


class Engine(EngineState):
    """The launches that train and apply a model; see `EngineState`."""

    def run(self, step: int) -> None:
        """One step; on a GPU it is a graph."""
        with self._at_hand(step):
            self._run(step)

    def _at_hand(self, step: int) -> AbstractContextManager[None]:
        """What the step reads is on the device."""
        return self.source.at_hand(step) if isinstance(self.source, Ahead) else nullcontext()

    def _run(self, step: int) -> None:
        n = round_up_tokens(self.tokens[step])
        if self.device.type != "cuda":
            self.step(n)
            return
        if n not in self.graphs:
            settle_all()  # nobody else may use the GPU while a graph is recorded
            self.graphs[n] = captured(lambda: self.step(n), self._state())
        self.graphs[n].replay()

    def _state(self) -> list[Tensor]:
        weights = self.weights
        flat = [weights.params, weights.fp16, weights.exp_avg, weights.exp_avg_sq]
        return [*flat, self.step_counter, self.record]

    def step(self, n: int) -> None:
        """One step of up to n tokens."""
        count = self.differentiate(n)
        update(self, self.workspace_in_use(), count)

    def differentiate(self, n: int) -> int:
        """The next step's gradients; returns how many partial sums its loss has."""
        ws = self.workspace_in_use()

        # which sequences, and the step's random key
        tokens.begin_step[(1,)](
            *(self.plan, self.meta, self.keys, self.step_counter, self.key),
            PLAN=self.meta.numel(),
            P=power_of_two(self.meta.numel()),
        )

        # forward
        inputs(self, ws, self.meta, self.source, train=True)
        forward(self, ws, self.meta, n, train=True)

        # loss, then back to every activation
        count = loss_backward(self, ws, n)
        backward(self, ws, n)

        # gradients of weights; Adam needs those that were put aside, too
        weight_sums(self, ws)
        self.streams.join_streams()
        return count

    @torch.no_grad()
    def features(self, windows: SequenceBatch) -> Tensor:
        """Of every window's last position, (B, D): what scores are products with."""
        real = windows.items > 0
        batch, length = real.shape
        n = round_up_tokens(batch * length)
        workspace = self.room_to_rank(n)

        # windows as a step's sequences, without their padding
        lengths = real.sum(1)
        first = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
        scales = windows.scales.clamp(max=LARGEST)
        others = [torch.nn.functional.pad(row, (0, 1)) for row in (windows.users, scales)]
        meta = torch.stack([first, first, *others]).int()

        # forward; a window's last token is where the next one begins, less one
        source = Source(self.model, windows, real)
        inputs(self, workspace, meta, source, train=False)
        forward(self, workspace, meta, n, train=False)
        return workspace.features[first[1:] - 1, : self.config.width].float()

    @torch.no_grad()
    def fill_features(self, windows: Windows) -> None:
        """Those of every window of a split, by the weights as they are now.

        From the second time on it is a graph, whose launches a slow processor does not hold up.
        """
        if self.device.type != "cuda":
            self._fill_features(windows)
        elif not windows.launched:  # what has not run yet would compile
            self._fill_features(windows)
            windows.launched = True
        else:
            if windows.graph is None:
                graph, _ = capture_cuda_graph(lambda: self._fill_features(windows))
                windows.graph = graph, self.source.targets  # it reads them, teachers' are others
            windows.graph[0].replay()

    def _fill_features(self, windows: Windows) -> None:
        ws = windows.workspace
        parts = windows.features.split(windows.last.shape[1])
        for meta, last, part in zip(windows.steps, windows.last, parts, strict=True):
            inputs(self, ws, meta, self.source, train=False)
            forward(self, ws, meta, windows.tokens, train=False)
            part.copy_(ws.features[last, : self.config.width])
