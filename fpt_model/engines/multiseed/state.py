"""All that launches read and write: weights of S seeds, the epoch, and memory of a step.

Letters: S seeds, P weights, T sequence, D width, R interval rows, L blocks, N users.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.engines.adam import decays
from fpt_model.engines.gpu.aim import capability
from fpt_model.engines.gpu.layout import BLOCK, power_of_two
from fpt_model.engines.gpu.negatives import NegativeIndex
from fpt_model.engines.gpu.streams import SideStreams
from fpt_model.engines.multiseed.intervals import buckets
from fpt_model.engines.multiseed.layout import PaddedLayout
from fpt_model.engines.multiseed.tiles import FIXED_ONE
from fpt_model.engines.multiseed.workspace import Batch, Workspace
from fpt_model.model.encoder import Encoder

SPLITS = 8  # partial sums of a weight's gradient
SIDES = 4  # streams beside the main one
PDL_CAPABILITY = (9, 0)  # GPUs on which a launch may begin while the one before it ends


class EngineState:
    """S models with their optimizers, and what their steps need.

    Args:
        models: one a seed, freshly initialised, all of the same settings.
        keys: (S, 2) int64, 32 bits each: of everything random.
        sequences: on the device.
        n_rows: users that are trained on.

    Attributes:
        params, moments, squares: (S, P) float32.
        fp16: (S, P), copies of the weights that products read.
        groups: (S, n_users + 1) int32, -1 while there are none.
        uses_pdl: whether launches of the chain begin while the one before ends.
        order: (S, n_rows) int32, the users of an epoch.
        step_counter: (S,) int64, steps before the epoch.
        rates: (S, steps) float32, learning rates of the epoch; None where all are the same.
        group_losses: (S, pairs of users), of a step; no pairs where there is no such loss.
        record: (S, steps), losses of the epoch's steps.
        version: of the weights; another one after each change.
        ranked: windows that were ranked; twice, their graph, what it gives, what it writes to.
        n_real: (S, steps) int32, positions that have a target.
        embedding_grads: gradients of the tables that are looked up, as fixed-point numbers.
        dense: (S, splits, …), partial sums of the other gradients.
        tables, positions: (S, L, 2, R or T, D), the step's interval and position vectors.
    """

    def __init__(
        self, models: Sequence[Encoder], keys: Tensor, sequences: Sequences, n_rows: int
    ) -> None:
        self.config, self.sequences, self.n_rows = models[0].config, sequences, n_rows
        self.seeds, self.device = len(models), sequences.device

        # sizes of an epoch
        self.layout = PaddedLayout(models[0])
        self.steps = -(-n_rows // self.config.batch_size)
        self.splits = min(SPLITS, self.config.batch_size)
        self.edges = models[0].edges.to(self.device)
        self.keys = keys.to(self.device)
        self.uses_pdl = capability(self.device) >= PDL_CAPABILITY

        # memory on the device, and what kernels look up in it
        self._allocate()
        self._index_weights(models[0])
        self.negatives = NegativeIndex(sequences)
        for model, flat in zip(models, self.params, strict=True):
            self.layout.pack(model.state_dict(), flat)
        self.batch: Batch | None = None
        self.ranking: Workspace | None = None
        self.ranked: dict[Batch, tuple[Any, Tensor, Workspace | None] | None] = {}
        self.graph: Any = None
        self.version = 0
        self.streams = SideStreams(SIDES, self.device)
        self.refresh_derived()

    def _allocate(self) -> None:
        layout, config, seeds = self.layout, self.config, self.seeds

        def zeros(*size: int, kind: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(size, dtype=kind, device=self.device)

        # weights and Adam's moments
        self.params, self.exp_avg, self.exp_avg_sq = (zeros(seeds, layout.size) for _ in range(3))
        n = seeds * config.batch_size
        self.workspace = Workspace(layout, config, n, train=True, like=self.params)
        kind = self.workspace.tiles.dtype
        self.fp16 = zeros(seeds, layout.size, kind=kind)
        self.block_squares = zeros(seeds, layout.size // BLOCK, kind=torch.int64)

        # an epoch: its users, its clock, its losses
        self.order = zeros(seeds, self.n_rows, kind=torch.int32)
        self.n_real = zeros(seeds, self.steps, kind=torch.int32)
        self.step_counter = zeros(seeds, kind=torch.int64)
        self.record = zeros(seeds, self.steps)
        self.rates = zeros(seeds, self.steps) if config.scheduled else None

        # user groups and their loss
        self.groups = zeros(seeds, self.sequences.n_users + 1, kind=torch.int32) - 1
        self.group_losses = zeros(seeds, power_of_two(config.group_pairs) if config.grouped else 0)

        # gradients
        self.embedding_grads = zeros(seeds, layout.embedding_size, kind=torch.int64)
        behind = (config.blocks - 1) * layout.shared  # what blocks share has sums of each block
        self.dense = zeros(seeds, self.splits, layout.size - layout.embedding_size + behind)

        # tables with their dropout, of every block
        table = (seeds, config.blocks, 2)
        self.tables = zeros(*table, layout.rows, layout.width, kind=kind)
        self.positions = zeros(*table, layout.length, layout.width)

    def _index_weights(self, model: Encoder) -> None:
        names = model.penalised()
        self.spans, self.penalised = self.layout.index_blocks(names, self.device)
        if self.config.weight_decay:
            matrices = [name for name, value in model.named_parameters() if decays(value)]
            decayed = self.layout.index_blocks(matrices, self.device)[1] >= 0
            self.penalised[decayed & (self.penalised < 0)] = -2
        self.norm_chunks = -(-int((self.spans[:, 1] - self.spans[:, 0]).max()) // 256)
        self.norms = torch.zeros(self.seeds, len(self.spans), device=self.device)

    def refresh_derived(self) -> None:
        """After `params` were set: what Adam would have left beside them."""
        self.version += 1
        self.fp16.copy_(self.params)

        # fixed-point numbers: the sums are those that Adam would have left, to the bit
        whole = (self.params.square().double() * FIXED_ONE.value + 0.5).floor().long()
        self.block_squares.copy_(whole.view(self.seeds, -1, BLOCK).sum(2))

    def windows(self, windows: SequenceBatch, targets: Tensor | None, *, shared: bool) -> Batch:
        """Windows as kernels read them; see `Batch`."""
        found = None
        if self.config.intervals:
            found = buckets(windows, self.edges, self.config.time_span, self.layout.length)
        return Batch(self.config, windows, targets, found, shared=shared)

    def prepare(self, order: Tensor, step_counter: Tensor, rates: Tensor | None = None) -> None:
        """Set an epoch's `order`, `step_counter` and `rates`, behind what the GPU is at work on."""
        if self.rates is not None and rates is not None:
            self.rates.copy_(self._on_its_way(rates), non_blocking=True)
        self.order.copy_(self._on_its_way(order.int()), non_blocking=True)
        self.step_counter.copy_(self._on_its_way(step_counter), non_blocking=True)

    def _on_its_way(self, tensor: Tensor) -> Tensor:
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def copy_batch_(self, batch: Batch) -> None:
        """Windows of an epoch; tensors keep their place, so a graph stays good."""
        if self.batch is None:
            self.batch = batch
        elif batch is not self.batch:
            for old, new in zip(self.batch.tensors(), batch.tensors(), strict=True):
                old.copy_(new)
