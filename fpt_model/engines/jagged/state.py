"""All that steps of one training read and write: weights, memory, and where the epoch is.

Letters: B batch, N tokens, T sequence, D width, K columns, H heads, R interval rows, L blocks.
"""

from typing import Any

import torch
from torch import Tensor

from fpt_model.data.sequences import Sequences
from fpt_model.engines.gpu.groups import PAIRS_AT_ONCE
from fpt_model.engines.gpu.layout import aligned
from fpt_model.engines.gpu.negatives import NegativeIndex
from fpt_model.engines.gpu.streams import SideStreams
from fpt_model.engines.jagged.ahead import Ahead, room_of
from fpt_model.engines.jagged.first_seen import type_of_places
from fpt_model.engines.jagged.plan import LARGEST, ROWS, Plan, Source
from fpt_model.engines.jagged.products import Job, Jobs, by_width
from fpt_model.engines.jagged.shapes import ITEMS_AT_ONCE, by_head
from fpt_model.engines.jagged.weights import (
    BY_HEAD,
    PRODUCTS,
    Weights,
    has_gaps,
    head_width,
)
from fpt_model.engines.jagged.workspace import Workspace
from fpt_model.model.encoder import Encoder

HALF = torch.float16  # of products: as many digits as TF32; sums are float32
ROUNDED = 1024
SPLITS = 8  # partial sums of the items' gradient
PROCESSORS = 132  # of a GPU, for which gradients of weights are split into programs
SIDES = LONG, SHORT = 0, 1  # streams beside: of what is needed late, and within a block
MOST_SPLITS = 8  # of them: Adam reads them all


def round_up_tokens(n: int) -> int:
    """So many tokens, with those that fill up a step."""
    return aligned(n, ROUNDED)


def splits_of(jobs: Jobs) -> int:
    """Shares of the tokens: all programs run at once, two of narrow tiles on a processor."""
    programs = PROCESSORS if jobs.width > 64 else 2 * PROCESSORS
    return min(MOST_SPLITS, max(1, programs // len(jobs.table)))


class EngineState:
    """A model with its optimizer, and all that launches read and write.

    Args:
        model: on the device; its parameters become views of `weights`.
        key: (2,) int64, 32 bits each: of everything random.
        sequences: on the device.
        groups: (n_users + 1,) int64, -1 while there are none; read at every step.
        record: (1,) float64, to which every step adds its loss.
        rates: (steps,) float32, the learning rate of each step of the training; None where it is
            the same.
    """

    def __init__(
        self,
        model: Encoder,
        key: Tensor,
        sequences: Sequences,
        groups: Tensor,
        record: Tensor,
        rates: Tensor | None = None,
    ) -> None:
        self.model, self.config, self.sequences = model, model.config, sequences
        self.groups, self.record = groups, record
        self.device = sequences.device
        self.rates = None if rates is None else rates.to(self.device)
        self.weights = Weights(model, HALF)
        self.edges = model.edges.clamp(max=LARGEST).int()
        self.n_rows = self.config.time_span + 1 + len(self.edges) if self.config.intervals else 0
        self.keys = key[None].to(self.device)
        batch = self.config.batch_size
        self.step_counter, self.key = self._ints(2), self._ints(3)
        self.meta = self._ints(ROWS, batch + 1).int()
        self.plan = self.meta[None]
        self.tokens: list[int] = []
        self.workspace: Workspace | None = None
        self.ranking: Workspace | None = None
        self.graphs: dict[int, Any] = {}
        self.taught_at = 0  # the address that graphs know
        self._index_weights()
        self.negatives = NegativeIndex(sequences) if self.config.loss == "bce" else None
        self._index_seen()
        self.source = self._source()
        self.streams = SideStreams(len(SIDES), self.device)
        if self.device.type == "cuda":
            torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False

    def _source(self) -> Source | Ahead:
        """All interactions on the device, or those of the next steps.

        Where a loss asks for all that users had seen, the place of each matters: all are there, as
        where an epoch says what is learnt after each.
        """
        here = self.sequences.items.device == self.device
        if here or self.exclude_seen or self.config.teacher_share:
            return Source(self.model, self.sequences.to(self.device))
        return Ahead(self.model, self.sequences, room_of(self.config))

    def _ints(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int64, device=self.device)

    def _index_weights(self) -> None:
        weights = self.weights
        self.spans, self.table_of = weights.index_blocks(self.model.penalised(), self.device)
        self.norms = torch.zeros(len(self.spans), device=self.device)
        self.block_squares = torch.zeros(len(self.table_of), device=self.device)
        parts = -(-self.config.group_pairs // PAIRS_AT_ONCE) if self.config.grouped else 0
        self.group_losses = torch.zeros(parts, device=self.device)
        self.embedding_grads = self._ints(weights.embedding_size)

    def _index_seen(self) -> None:
        self.exclude_seen = self.config.exclude_seen and self.config.loss == "softmax"
        if not self.exclude_seen:
            self.seen = self._ints(1, 1).int()
            return
        self.starts, self.n_train = self.sequences.starts.int(), self.sequences.n_train.int()
        room = aligned(self.sequences.n_items + 1, ITEMS_AT_ONCE)
        self.first_seen = self._ints(self.config.batch_size, room).int().fill_(LARGEST)
        self.seen = self.first_seen.to(type_of_places(self.config.max_length))

    def teach(self, targets: Tensor | None) -> None:
        """Set what an epoch learns after each interaction, (L,) items; None: the next ones."""
        if targets is not None:
            assert isinstance(self.source, Source)
            if self.source.own_targets().data_ptr() != self.taught_at:
                self.graphs.clear()
                self.taught_at = self.source.targets.data_ptr()
            self.source.targets.copy_(targets)

    def start_epoch(self, plan: Plan, step: int, before: int) -> None:
        """Set what steps read: the epoch's plan, its next step, and the steps before that one."""
        if isinstance(self.source, Ahead):
            plan = self.source.follow(plan)
        if self.workspace is None or self.workspace.n_tokens < max(plan.tokens):
            self._allocate(plan)
        self.plan.copy_(plan.steps)
        self.tokens = plan.tokens
        self.step_counter.copy_(torch.tensor([before, step]))

    def _allocate(self, plan: Plan) -> None:
        """Memory for the longest step; graphs know its addresses, so they go with it."""
        capacity = round_up_tokens(max(plan.tokens) * 17 // 16)  # other epochs have longer steps
        capacity = min(capacity, round_up_tokens(self.config.batch_size * self.config.max_length))
        self.graphs.clear()
        self.workspace = self._new_workspace(capacity, train=True)
        self.plan = torch.zeros_like(plan.steps, device=self.device)
        self.jobs = by_width(self._jobs(self.workspace))
        self.splits = max(map(splits_of, self.jobs))
        raw = 2 * self.config.blocks * self.table_size()
        self.product_size = self.weights.size - self.weights.o_products + raw
        self.product_parts = torch.zeros(self.splits, self.product_size, device=self.device)

    def _new_workspace(self, capacity: int, *, train: bool) -> Workspace:
        items, width = self.sequences.n_items + 1, aligned(self.config.item_width)
        return Workspace(
            *(self.config, capacity, aligned(self.n_rows), HALF, self.device),
            train=train,
            item_parts=(SPLITS, items, width) if self.config.loss == "softmax" else (1, 1),
        )

    def _jobs(self, ws: Workspace) -> list[Job]:
        """The gradients of weights that are products over tokens."""
        config, weights, jobs = self.config, self.weights, []
        gaps = has_gaps(config)
        for layer in range(config.blocks):
            dk, dv = ws.dkv[layer].split(weights.columns_by_head, 1)
            pairs = (
                *((ws.dq[layer], ws.normal[layer]), (dk, ws.x[layer]), (dv, ws.x[layer])),
                *((ws.du[layer], ws.y[layer]), (ws.dz[layer], ws.hidden[layer])),
            )
            for part, (left, right) in zip(PRODUCTS, pairs, strict=True):
                place = weights.o_product(layer, part) - weights.o_products, weights.columns
                by_head = gaps and part in BY_HEAD
                some = left if by_head else left[:, : aligned(config.width)]
                jobs.append(Job(some, right, *place, config.width, weights.columns, by_head))
            if config.intervals:
                jobs += self._table_jobs(ws, layer)
        return jobs

    def table_size(self) -> int:
        """Elements of an interval table, its padding included."""
        return aligned(self.n_rows) * self.weights.columns

    def _table_jobs(self, ws: Workspace, layer: int) -> list[Job]:
        """Gradients of the interval tables as a block saw them; they follow those of matrices."""
        config, table = self.config, self.table_size()
        first = self.weights.size - self.weights.o_products + 2 * layer * table
        stride, width = self.weights.columns, head_width(config)
        pairs = (ws.bucket_grads[layer], ws.q[layer]), (ws.weights_by_bucket[layer], ws.dout[layer])
        return [
            Job(left, right, first + kind * table + head * width, stride, left.shape[1], width)
            for kind, (lefts, rights) in enumerate(pairs)
            for head, (left, right) in enumerate(zip(lefts, by_head(config, rights), strict=True))
        ]

    def room_to_rank(self, n: int) -> Workspace:
        """What ranking of up to n tokens at a time writes to."""
        if self.ranking is None or self.ranking.n_tokens < n:
            self.ranking = self._new_workspace(n, train=False)
        return self.ranking

    def workspace_in_use(self) -> Workspace:
        """What the epoch's steps write to."""
        assert self.workspace is not None
        return self.workspace
