"""S trainings side by side on one GPU: their weights, and an epoch as one graph.

Letters: S seeds, P weights, T sequence, D width, R interval rows, L blocks, N users.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.negatives import NegativeSampler
from fpt_model.data.sequences import Sequences, Windows
from fpt_model.engines.gpu.graphs import recorded
from fpt_model.engines.multiseed.intervals import look_ups
from fpt_model.engines.multiseed.layout import BLOCK, Layout, power_of_two
from fpt_model.engines.multiseed.scratch import Batch, Scratch
from fpt_model.engines.multiseed.step import choose, drop_tables, forward, start, train_step
from fpt_model.engines.multiseed.tiles import FIXED
from fpt_model.model.encoder import Encoder

MAX_WIDTH, MAX_LENGTH = 128, 64
SPLITS = 8  # partial sums of a weight's gradient
SIDES = 4  # streams beside the main one, in a graph
OVERLAPPING = (9, 0)  # GPUs on which a launch may begin while the one before it ends
AT_ONCE = 1024  # windows that are ranked at a time
IN_A_GRAPH = 2**15  # at most: a graph keeps what it allocates


def fits(config: Config) -> bool:
    """Whether the kernels cover these settings."""
    return (
        config.heads == 1
        and config.mask == "keys"
        and config.block == "attention"
        and config.loss == "bce"
        and config.rating_width == 0
        and config.width <= MAX_WIDTH
        and config.max_length <= MAX_LENGTH
        and config.sse_item < 1
    )


class Engine:
    """S models with their optimizers, and the steps that train and apply them.

    Args:
        models: one a seed, freshly initialised, all of the same settings.
        keys: (S, 2) int64, 32 bits each: of everything random.
        sequences: on the device.
        n_rows: users that are trained on.

    Attributes:
        params, moments, squares: (S, P) float32.
        halves: (S, P), copies of the weights that products read.
        groups: (S, n_users + 1) int32, -1 while there are none.
        overlaps: whether launches of the chain begin while the one before ends.
        order: (S, n_rows) int32, the users of an epoch.
        clock: (S,) int64, steps before the epoch.
        group_losses: (S, pairs of users), of a step; no pairs where there is no such loss.
        record: (S, steps), losses of the epoch's steps.
        version: of the weights; another one after each change.
        ranked: windows that were ranked; twice, their graph, what it gives, what it writes to.
        n_real: (S, steps) int32, positions that have a target.
        scattered: gradients of the tables that are looked up, as whole numbers.
        dense: (S, splits, …), partial sums of the other gradients.
        tables, places: (S, L, 2, R or T, D), the step's interval and position vectors.
    """

    def __init__(
        self, models: Sequence[Encoder], keys: Tensor, sequences: Sequences, n_rows: int
    ) -> None:
        self.config, self.sequences, self.n_rows = models[0].config, sequences, n_rows
        self.seeds, self.device = len(models), sequences.items.device
        self.layout = Layout(models[0])
        self.steps = -(-n_rows // self.config.batch_size)
        self.splits = min(SPLITS, self.config.batch_size)
        self.edges = models[0].edges.to(self.device)
        self.keys = keys.to(self.device)
        self.overlaps = self._is_hopper()
        self._allocate()
        self._index_weights()
        self._index_negatives()
        for model, flat in zip(models, self.params, strict=True):
            self.layout.pack(model.state_dict(), flat)
        self.ranking: Scratch | None = None
        self.ranked: dict[Batch, tuple[Any, Tensor, Scratch | None] | None] = {}
        self.batch: Batch | None = None
        self.graph: Any = None
        self.version = 0
        self.sides: list[torch.cuda.Stream] = []
        self.busy: set[int] = set()
        self.take_over()

    def _is_hopper(self) -> bool:
        if self.device.type != "cuda":
            return False
        return torch.cuda.get_device_capability(self.device) >= OVERLAPPING

    def _allocate(self) -> None:
        layout, config, seeds = self.layout, self.config, self.seeds

        def zeros(*size: int, kind: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(size, dtype=kind, device=self.device)

        self.params, self.moments, self.squares = (zeros(seeds, layout.size) for _ in range(3))
        n = seeds * config.batch_size
        self.scratch = Scratch(layout, config, n, train=True, like=self.params)
        kind = self.scratch.tiles.dtype
        self.halves = zeros(seeds, layout.size, kind=kind)
        self.block_squares = zeros(seeds, layout.size // BLOCK, kind=torch.int64)
        self.order = zeros(seeds, self.n_rows, kind=torch.int32)
        self.n_real = zeros(seeds, self.steps, kind=torch.int32)
        self.clock = zeros(seeds, kind=torch.int64)
        self.record = zeros(seeds, self.steps)
        self.groups = zeros(seeds, self.sequences.n_users + 1, kind=torch.int32) - 1
        self.group_losses = zeros(seeds, power_of_two(config.group_pairs) if config.grouped else 0)
        self.scattered = zeros(seeds, layout.looked_up, kind=torch.int64)
        behind = (config.blocks - 1) * layout.shared  # what blocks share has sums of each block
        self.dense = zeros(seeds, self.splits, layout.size - layout.looked_up + behind)
        table = (seeds, config.blocks, 2)
        self.tables = zeros(*table, layout.rows, layout.width, kind=kind)
        self.places = zeros(*table, layout.length, layout.width)

    def _index_weights(self) -> None:
        layout, names = self.layout, list(self.layout.places)
        penalised = [n for n in names if n.startswith(("items", "positions", "intervals"))]
        spans = []
        table_of = torch.full((layout.size // BLOCK,), -1, dtype=torch.int32)
        for number, name in enumerate(penalised):
            place = layout.places[name]
            span = place.offset // BLOCK, (place.offset + place.size) // BLOCK
            spans.append(span)
            table_of[span[0] : span[1]] = number
        self.spans = torch.tensor(spans, dtype=torch.int32, device=self.device)
        self.penalised = table_of.to(self.device)
        self.norm_chunks = -(-max(last - first for first, last in spans) // 256)
        self.norms = torch.zeros(self.seeds, len(spans), device=self.device)

    def _index_negatives(self) -> None:
        sampler = NegativeSampler(self.sequences)
        users = torch.arange(len(sampler.counts), device=self.device)
        owners = torch.repeat_interleave(users, sampler.counts)
        self.gaps = (sampler.keys - owners * sampler.stride).int()
        self.firsts, self.counts = sampler.firsts.int(), sampler.counts.int()
        largest = int(sampler.counts.max()) if len(sampler.counts) else 0
        self.search = largest.bit_length()

    def take_over(self) -> None:
        """After `params` were set: what Adam would have left beside them."""
        self.version += 1
        self.halves.copy_(self.params)
        whole = (self.params.square().double() * FIXED.value + 0.5).floor().long()
        self.block_squares.copy_(whole.view(self.seeds, -1, BLOCK).sum(2))

    def windows(self, windows: Windows, targets: Tensor | None, *, shared: bool) -> Batch:
        """Windows as kernels read them; see `Batch`."""
        found = None
        if self.config.intervals:
            found = look_ups(windows, self.edges, self.config.time_span, self.layout.length)
        return Batch(windows, targets, found, shared=shared)

    def prepare(self, order: Tensor, clock: Tensor) -> None:
        """Set an epoch's `order` and `clock`, behind what the GPU is at work on."""
        self.order.copy_(self._on_its_way(order.int()), non_blocking=True)
        self.clock.copy_(self._on_its_way(clock), non_blocking=True)

    def _on_its_way(self, tensor: Tensor) -> Tensor:
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def run(self, batch: Batch) -> None:
        """All steps of the epoch that was prepared; on a GPU they are one graph."""
        self.version += 1
        self.take(batch)
        if self.device.type != "cuda":
            self._epoch()
            return
        if self.graph is None:
            self._capture()
        self.graph.replay()

    def take(self, batch: Batch) -> None:
        """Windows of an epoch; tensors keep their place, so a graph stays good."""
        if self.batch is None:
            self.batch = batch
        elif batch is not self.batch:
            for name, value in vars(batch).items():
                if isinstance(value, Tensor):
                    getattr(self.batch, name).copy_(value)

    def _epoch(self) -> None:
        assert self.batch is not None
        start(self, self.batch, 0)
        for step in range(self.steps):
            train_step(self, step)

    def _capture(self) -> None:
        """Record an epoch. The first step compiles, hence runs once on copies that are put back."""
        assert self.batch is not None
        kept = [value.clone() for value in self._state()]
        start(self, self.batch, 0)
        train_step(self, 0)
        torch.cuda.synchronize()
        for value, before in zip(self._state(), kept, strict=True):
            value.copy_(before)
        self.sides = [torch.cuda.Stream() for _ in range(SIDES)]
        self.graph, _ = recorded(self._epoch)
        self.sides = []

    @contextmanager
    def beside(self, number: int) -> Iterator[None]:
        """What is launched within begins after all that was launched before, and may run long."""
        if not self.sides:
            yield
            return
        side = self.sides[number]
        self.busy.add(number)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            yield

    def meet(self) -> None:
        """What is launched from here on waits for all that runs beside."""
        while self.busy:
            torch.cuda.current_stream().wait_stream(self.sides[self.busy.pop()])

    def _state(self) -> list[Tensor]:
        weights = [self.params, self.halves, self.moments, self.squares]
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
            graph, found = recorded(lambda: self._features(batch))
            known = self.ranked[batch] = graph, found, self.ranking  # which it writes to
        known[0].replay()
        return known[1]

    def _features(self, batch: Batch) -> Tensor:
        config, layout = self.config, self.layout
        if config.intervals:
            drop_tables(self, 0, train=False)
        n = len(batch.users)
        size = min(AT_ONCE, n)
        if self.ranking is None or len(self.ranking.x) != self.seeds * size:
            self.ranking = Scratch(layout, config, self.seeds * size, train=False, like=self.params)
        at = self.ranking
        rows = torch.arange(n, dtype=torch.int32, device=self.device)
        parts = []
        for some in rows.split(size):
            order = some.expand(self.seeds, -1).contiguous()
            choose(self, at, batch, order, 0, train=False)
            forward(self, at, batch, 0, train=False)
            last = at.x.view(self.seeds, size, layout.length, layout.width)[:, :, -1]
            parts.append(last[:, : len(some), : config.width].clone())
        weight, bias = (self._column(f"norm.{part}") for part in ("weight", "bias"))
        x = torch.nn.functional.layer_norm(torch.cat(parts, 1), (config.width,), eps=1e-8)
        return x * weight[:, None] + bias[:, None]

    def _column(self, name: str) -> Tensor:
        """A vector of every seed, (S, D)."""
        place = self.layout.places[name]
        return self.params[:, place.offset : place.offset + place.shape[0]]
