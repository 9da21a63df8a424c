"""Steps of S trainings side by side on one GPU: scratch, launches, and an epoch as one graph.

Letters: S seeds, B batch, T sequence, D width, R interval rows, L blocks, N users; G = S·B.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data import Sequences, Windows
from fpt_model.fused import kernels
from fpt_model.fused.layout import BLOCK, CHUNK, Layout, power_of_two
from fpt_model.model import Encoder
from fpt_model.sampling import NegativeSampler

MAX_WIDTH, MAX_LENGTH = 128, 64
SPLITS = 32  # partial sums of a weight's gradient: enough programs to fill a GPU
AT_ONCE = 1024  # windows that are ranked at a time
LARGEST = 2**31 - 1
PRECISION = "tf32"  # of products; sums are fp32
WARPS = 8


def fits(config: Config) -> bool:
    """Whether the kernels cover these settings."""
    return (
        config.heads == 1
        and config.loss == "bce"
        and config.width <= MAX_WIDTH
        and config.max_length <= MAX_LENGTH
    )


class Batch:
    """Windows as kernels read them: int32 on the device.

    Args:
        windows: (N, T) of one set of users, or of S sets one after the other (S·N, T).
        targets: same shape; None to rank.
        shared: whether all seeds use the same windows.
    """

    def __init__(self, windows: Windows, targets: Tensor | None, *, shared: bool) -> None:
        self.items, self.weeks = windows.items.int(), windows.weeks.int()
        self.times = windows.times.clamp(max=LARGEST).int()
        self.targets = self.items if targets is None else targets.int()
        self.users = windows.users.int()
        self.scales = windows.scales.clamp(max=LARGEST).int()
        self.shared = shared


class Scratch:
    """What the kernels of G programs write: on the way forward, and back if `train`."""

    def __init__(
        self, layout: Layout, layers: int, n: int, seeds: int, *, train: bool, like: Tensor
    ):
        T, D, R = layout.length, layout.width, max(layout.rows, CHUNK)

        def floats(*shape: int) -> Tensor:
            return torch.zeros(shape, device=like.device)

        def ints(*shape: int, kind: torch.dtype = torch.int32) -> Tensor:
            return torch.zeros(shape, device=like.device, dtype=kind)

        kept = layers if train else 1
        self.items, self.weeks, self.targets, self.negatives = (ints(n, T) for _ in range(4))
        self.users = ints(n)
        self.rows = ints(n, T, T, kind=torch.int16)
        self.by_row = floats(n, T, R)
        self.shares = ints(kept, n, T, R)
        if not train:
            self.x = [floats(n, T, D) for _ in range(2)]  # a layer's input and output, in turn
            return
        names = ("q", "k", "v", "x1", "h", "dq", "dk", "dv", "do", "du", "dz")
        self.stacked = floats(layers, n, T, D)  # inputs of the layers, side by side
        self.x = [*self.stacked, floats(n, T, D)]
        self.tiles = {name: floats(layers, n, T, D) for name in names}
        self.a = floats(layers, n, T, T)
        self.slopes, self.tops = ints(layers, n, T, R), floats(layers, n, T)
        self.dx = floats(n, T, D)
        self.norm_slopes = floats(2 * layers + 1, n, 2, D)
        self.losses, self.group_losses = floats(n), floats(seeds)


class Engine:
    """S models with their optimizers, and the launches that train and apply them.

    Args:
        models: one a seed, freshly initialised, all of the same settings.
        keys: (S, 2) int64, 32 bits each: of everything random.
        sequences: on the device.
        n_rows: users that are trained on.

    Attributes:
        params, moments, squares: (S, P) float32.
        groups: (S, n_users + 1) int32, -1 while there are none.
        order: (S, n_rows) int32, the users of an epoch.
        clock: (S,) int64, steps before the epoch.
        record: (S, steps), losses of the epoch's steps.
    """

    def __init__(
        self, models: Sequence[Encoder], keys: Tensor, sequences: Sequences, n_rows: int
    ) -> None:
        self.config, self.sequences = models[0].config, sequences
        self.seeds, self.device = len(models), sequences.items.device
        self.layout = Layout(models[0])
        self.n_rows = n_rows
        self.steps = -(-n_rows // self.config.batch_size)
        shape, layers = (self.seeds, self.layout.size), self.config.blocks

        def zeros(*size: int, kind: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(size, dtype=kind, device=self.device)

        self.params, self.moments, self.squares = (zeros(*shape) for _ in range(3))
        for model, flat in zip(models, self.params, strict=True):
            self.layout.pack(model.state_dict(), flat)
        self.edges = models[0].edges.clamp(max=LARGEST).to(self.device, torch.int32)
        self.keys = keys.to(self.device)
        self.order = zeros(self.seeds, n_rows, kind=torch.int32)
        self.n_real = zeros(self.seeds, self.steps, kind=torch.int32)
        self.clock = zeros(self.seeds, kind=torch.int64)
        self.record = zeros(self.seeds, self.steps)
        self.groups = zeros(self.seeds, sequences.n_users + 1, kind=torch.int32) - 1
        self.scattered = zeros(self.seeds, self.layout.looked_up, kind=torch.int64)
        self.dense = zeros(self.seeds, SPLITS, self.layout.size - self.layout.looked_up)
        n_blocks = self.layout.size // BLOCK
        self.block_squares = zeros(self.seeds, n_blocks)
        T, D, R = self.layout.length, self.layout.width, max(self.layout.rows, CHUNK)
        self.tables, self.places = (zeros(self.seeds, layers, 2, n, D) for n in (R, T))
        self._index_weights(n_blocks)
        self.norms = zeros(self.seeds, len(self.spans))
        self._index_negatives()
        self.scratch: Scratch | None = None
        self.ranking: Scratch | None = None
        self.graph: Any = None
        self.batch: Batch | None = None
        self.refresh_squares()

    def _index_weights(self, n_blocks: int) -> None:
        layout, names = self.layout, list(self.layout.places)
        penalised = [n for n in names if n.startswith(("items", "positions", "intervals"))]
        spans = []
        table_of = torch.full((n_blocks,), -1, dtype=torch.int32)
        for number, name in enumerate(penalised):
            place = layout.places[name]
            span = place.offset // BLOCK, (place.offset + place.size) // BLOCK
            spans.append(span)
            table_of[span[0] : span[1]] = number
        self.spans = torch.tensor(spans, dtype=torch.int32, device=self.device)
        self.penalised = table_of.to(self.device)
        self.norm_chunks = -(-max(last - first for first, last in spans) // 256)
        parts = (
            *("norm_attention.weight", "query.weight", "key.weight", "value.weight"),
            *("norm_pointwise.weight", "pointwise_1.weight", "pointwise_2.weight"),
        )
        layers = range(self.config.blocks)
        self.offsets = [[layout.offset(f"blocks.{n}.{part}") for part in parts] for n in layers]
        norms = [offset for row in self.offsets for offset in (row[0], row[4])]
        norms.append(layout.offset("norm.weight"))
        self.offsets_there = torch.tensor(self.offsets, dtype=torch.int32, device=self.device)
        self.norm_offsets = torch.tensor(norms, dtype=torch.int32, device=self.device)
        self.bias = layout.places["blocks.0.query.weight"].size

    def _index_negatives(self) -> None:
        sampler = NegativeSampler(self.sequences)
        users = torch.arange(len(sampler.counts), device=self.device)
        owners = torch.repeat_interleave(users, sampler.counts)
        self.gaps = (sampler.keys - owners * sampler.stride).int()
        self.firsts, self.counts = sampler.firsts.int(), sampler.counts.int()
        largest = int(sampler.counts.max()) if len(sampler.counts) else 0
        self.search = largest.bit_length()

    def refresh_squares(self) -> None:
        """Sums of squares by block, as Adam would have left them."""
        blocks = self.params.view(self.seeds, -1, BLOCK)
        self.block_squares.copy_(blocks.square().sum(2))

    def start_epoch(self, batch: Batch, order: Tensor, clock: Tensor) -> None:
        """Set what the steps of an epoch read; tensors keep their place, so a graph stays good."""
        if self.batch is None:
            self.batch = batch
        elif batch is not self.batch:
            for name, value in vars(batch).items():
                if isinstance(value, Tensor):
                    getattr(self.batch, name).copy_(value)
        self.order.copy_(order)
        self.clock.copy_(clock)
        real = (batch.items > 0).sum(1, dtype=torch.int32).view(-1, self.n_rows)
        real = real.expand(self.seeds, -1).gather(1, self.order.long())
        padded = torch.nn.functional.pad(
            real, (0, self.steps * self.config.batch_size - self.n_rows)
        )
        self.n_real.copy_(padded.view(self.seeds, self.steps, -1).sum(2))

    def run(self) -> None:
        """All steps of the epoch; on a GPU they are one graph."""
        if self.device.type != "cuda":
            for step in range(self.steps):
                self.step(step)
            return
        if self.graph is None:
            self._capture()
        self.graph.replay()

    def _capture(self) -> None:
        """Record an epoch. The first step compiles, hence runs once on copies that are put back."""
        kept = [value.clone() for value in self._state()]
        self.step(0)
        torch.cuda.synchronize()
        for value, before in zip(self._state(), kept, strict=True):
            value.copy_(before)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            for step in range(self.steps):
                self.step(step)

    def _state(self) -> list[Tensor]:
        return [self.params, self.moments, self.squares, self.block_squares, self.record]

    def step(self, step: int) -> None:
        """One step of all seeds."""
        config, n = self.config, self.seeds * self.config.batch_size
        if self.scratch is None:
            self.scratch = Scratch(
                self.layout, config.blocks, n, self.seeds, train=True, like=self.params
            )
        assert self.batch is not None
        self._prepare(self.scratch, self.batch, self.order, config.batch_size, step, train=True)
        for layer in range(config.blocks):
            self._forward(self.scratch, config.batch_size, layer, step, train=True)
        self._loss(step)
        for layer in reversed(range(config.blocks)):
            self._backward(layer, step)
        self._sums(step)
        self._update(step)

    def _prepare(
        self, to: Scratch, batch: Batch, order: Tensor, size: int, step: int, *, train: bool
    ) -> None:
        config, layout = self.config, self.layout
        n_order = order.shape[1]
        rates = (config.dropout, config.item_dropout, config.user_dropout) if train else (0.0,) * 3
        kernels.prepare[(self.seeds * size,)](
            *(self.params, layout.offset("items.weight"), layout.offset("weeks.weight")),
            *(layout.offset("users.weight"), layout.offset("positions.0")),
            *(self.keys, self.clock, step),
            *(batch.items, batch.weeks, batch.times, batch.targets, batch.users, batch.scales),
            *(self.edges, 0 if batch.shared else batch.items[: self.n_rows].numel()),
            *(order, n_order, self.gaps, self.firsts, self.counts),
            *(self.sequences.n_items, self.sequences.n_users),
            *(to.x[0], to.items, to.weeks, to.users, to.targets, to.negatives, to.rows),
            *(layout.size, size, config.max_length, math.sqrt(config.width)),
            *self._shape(),
            **self._widths(),
            INTERVALS=config.intervals,
            SPAN=config.time_span,
            EDGES=len(self.edges),
            SEARCH=self.search,
            TRAIN=train,
            RATE=rates[0],
            ITEM_RATE=rates[1],
            USER_RATE=rates[2],
            num_warps=WARPS,
        )
        if config.intervals:
            table, places = layout.rows * layout.width, layout.length * layout.width
            grid = (self.seeds, 2 * config.blocks, -(-max(table, places) // BLOCK))
            kernels.drop_tables[grid](
                *(self.params, layout.offset("intervals.0"), layout.offset("intervals.1")),
                *(layout.offset("positions.0"), layout.offset("positions.1")),
                *(self.keys, self.clock, step, self.tables, self.places, layout.size),
                D=layout.width,
                TABLE=table,
                PLACES=places,
                LAYERS=config.blocks,
                RATE=rates[0],
            )

    def _forward(self, at: Scratch, size: int, layer: int, step: int, *, train: bool) -> None:
        config = self.config
        places = (layer, layer + 1) if train else (layer % 2, 1 - layer % 2)
        x_in, x_out = (at.x[place] for place in places)
        saved = [at.tiles[name][layer] for name in "qkv"] if train else [x_in] * 3
        saved += [at.a[layer]] if train else [x_in]
        saved += [at.tiles[name][layer] for name in ("x1", "h")] if train else [x_in] * 2
        kernels.block_forward[(self.seeds * size,)](
            *(self.params, *self.offsets[layer], self.bias, self.keys, self.clock, step),
            *(x_in, x_out, at.items, at.rows, self.tables, self.places, *saved),
            *(at.by_row, at.shares[layer if train else 0]),
            *(self.layout.size, size, math.sqrt(config.width), layer),
            *self._shape(),
            **self._block(),
            TRAIN=train,
            RATE=config.dropout if train else 0.0,
            num_warps=WARPS,
            num_stages=1,
        )

    def _loss(self, step: int) -> None:
        at, layout, config = self._scratch(), self.layout, self.config
        kernels.loss_and_slopes[(self.seeds * config.batch_size,)](
            *(self.params, layout.offset("items.weight"), layout.offset("norm.weight")),
            *(self.scattered, at.x[-1], at.targets, at.negatives, self.n_real, step, self.steps),
            *(
                at.dx,
                at.norm_slopes[-1],
                at.losses,
                layout.size,
                layout.looked_up,
                config.batch_size,
            ),
            *self._shape(),
            N=config.width,
            IW=config.item_width,
            IP=power_of_two(config.item_width),
            num_warps=WARPS,
            num_stages=1,
        )

    def _backward(self, layer: int, step: int) -> None:
        at, config = self._scratch(), self.config
        tiles = {name: value[layer] for name, value in at.tiles.items()}
        kernels.block_backward[(self.seeds * config.batch_size,)](
            *(self.params, *self.offsets[layer], self.keys, self.clock, step),
            *(at.x[layer], at.dx, at.rows, at.items, self.tables),
            *(tiles["q"], tiles["k"], tiles["v"], at.a[layer], tiles["x1"], tiles["h"]),
            *(tiles[name] for name in ("dq", "dk", "dv", "do", "du", "dz")),
            *(at.by_row, at.slopes[layer], at.tops[layer], at.norm_slopes[2 * layer]),
            *(self.layout.size, config.batch_size, math.sqrt(config.width), layer),
            *self._shape(),
            **self._block(),
            RATE=config.dropout,
            num_warps=WARPS,
            num_stages=1,
        )

    def _sums(self, step: int) -> None:
        """From gradients of activations to those of weights."""
        at, layout, config = self._scratch(), self.layout, self.config
        tiles, seeds, batch = at.tiles, self.seeds, config.batch_size
        per_split = -(-batch // SPLITS)
        chance = (self.keys, self.clock, step)
        dense = (layout.size - layout.looked_up, layout.looked_up)
        layers = config.blocks
        kernels.embedding_slopes[(seeds * batch,)](
            *(self.scattered, layout.offset("items.weight"), layout.offset("weeks.weight")),
            *(layout.offset("users.weight"), *chance, at.dx, at.items, at.weeks, at.users),
            *(layout.looked_up, batch, math.sqrt(config.width)),
            *self._shape(),
            **self._widths(),
            RATE=config.dropout,
            num_warps=WARPS,
            num_stages=1,
        )
        kernels.weight_slopes[(seeds, 5 * layers, SPLITS)](
            *(self.dense, self.offsets_there, self.params, at.stacked, tiles["x1"], tiles["h"]),
            *(tiles[name] for name in ("dq", "dk", "dv", "du", "dz")),
            *(layout.size, *dense, self.bias, batch, SPLITS, per_split),
            *self._shape(),
            N=config.width,
            LAYERS=layers,
            PRECISION=PRECISION,
            num_warps=WARPS,
            num_stages=1,
        )
        if config.intervals:
            kernels.interval_slopes[(seeds, 2 * (layout.rows // CHUNK), SPLITS)](
                *(self.dense, layout.offset("intervals.0"), layout.offset("intervals.1"), *chance),
                *(at.shares, at.slopes, at.tops, tiles["q"], tiles["do"]),
                *(*dense, batch, SPLITS, per_split),
                *self._shape(),
                R=layout.rows,
                C=CHUNK,
                LAYERS=layers,
                RATE=config.dropout,
                PRECISION=PRECISION,
                num_warps=WARPS,
            )
        kernels.place_slopes[(seeds, 2 if config.intervals else 1, SPLITS)](
            *(self.dense, layout.offset("positions.0"), layout.offset("positions.1"), *chance),
            *(tiles["dk"], tiles["dv"], at.dx, *dense, batch, SPLITS, per_split),
            *self._shape(),
            LAYERS=layers,
            INTERVALS=config.intervals,
            RATE=config.dropout,
        )
        kernels.norm_sums[(seeds, 2 * (2 * layers + 1), SPLITS)](
            *(self.dense, self.norm_offsets, at.norm_slopes, *dense, batch, SPLITS, per_split),
            D=layout.width,
            B=power_of_two(per_split),
        )

    def _update(self, step: int) -> None:
        at, layout, config = self._scratch(), self.layout, self.config
        grouped = bool(config.group_weight and config.user_width)
        if grouped:
            kernels.group_slopes[(self.seeds,)](
                *(self.params, self.scattered, layout.offset("users.weight")),
                *(self.keys, self.clock, step, self.groups, at.group_losses),
                *(layout.size, layout.looked_up, self.sequences.n_users, config.group_pairs),
                *(config.group_margin, config.group_weight),
                PAIRS=power_of_two(config.group_pairs),
                UP=power_of_two(config.user_width),
            )
        n_blocks, tables = layout.size // BLOCK, len(self.spans)
        kernels.sum_up[(self.seeds,)](
            *(self.block_squares, self.spans, at.losses, at.group_losses, self.record, self.norms),
            *(n_blocks, config.batch_size, step, self.steps, config.l2),
            TABLES=tables,
            B=power_of_two(config.batch_size),
            CHUNK=256,
            CHUNKS=self.norm_chunks,
            GROUPS=grouped,
        )
        kernels.adam[(n_blocks, self.seeds)](
            *(self.params, self.moments, self.squares, self.scattered, self.dense),
            *(self.penalised, self.norms, self.block_squares, self.clock, step),
            *(layout.size, layout.looked_up, layout.size - layout.looked_up, n_blocks),
            *(config.l2, config.learning_rate, config.beta1, config.beta2),
            SPLIT=SPLITS,
            TABLES=tables,
        )

    def features(self, batch: Batch) -> Tensor:
        """Of every window's last position, (S, N, D): what scores are products with."""
        config, layout = self.config, self.layout
        n = len(batch.users)
        size = min(AT_ONCE, n)
        if self.ranking is None or len(self.ranking.users) != self.seeds * size:
            self.ranking = Scratch(
                layout, config.blocks, self.seeds * size, self.seeds, train=False, like=self.params
            )
        at = self.ranking
        rows = torch.arange(n, dtype=torch.int32, device=self.device)
        parts = []
        for some in rows.split(size):
            order = some.expand(self.seeds, -1).contiguous()
            self._prepare(at, batch, order, size, 0, train=False)
            for layer in range(config.blocks):
                self._forward(at, size, layer, 0, train=False)
            out = at.x[config.blocks % 2]
            last = out.view(self.seeds, size, layout.length, layout.width)
            parts.append(last[:, : len(some), config.max_length - 1, : config.width].clone())
        weight, bias = (self._column(f"norm.{part}") for part in ("weight", "bias"))
        x = torch.nn.functional.layer_norm(torch.cat(parts, 1), (config.width,), eps=1e-8)
        return x * weight[:, None] + bias[:, None]

    def _column(self, name: str) -> Tensor:
        """A vector of every seed, (S, D)."""
        place = self.layout.places[name]
        return self.params[:, place.offset : place.offset + place.shape[0]]

    def _scratch(self) -> Scratch:
        assert self.scratch is not None
        return self.scratch

    def _shape(self) -> tuple[int, int]:
        return self.layout.length, self.layout.width

    def _widths(self) -> dict[str, int]:
        config = self.config
        widths = {"IW": config.item_width, "WW": config.week_width, "UW": config.user_width}
        return widths | {f"{name[0]}P": power_of_two(width) for name, width in widths.items()}

    def _block(self) -> dict[str, Any]:
        return {
            "N": self.config.width,
            "R": max(self.layout.rows, CHUNK),
            "C": CHUNK,
            "LAYERS": self.config.blocks,
            "INTERVALS": self.config.intervals,
            "PRECISION": PRECISION,
        }
