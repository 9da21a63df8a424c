"""Steps of one training on a GPU, each a graph of library products and the kernels beside them.

Tokens lie one after the other without padding (see tokens.py), so a step costs what its windows
hold: on MovieLens-1M half of T = 200. A graph has fixed shapes, hence one graph for each multiple
of `ROUNDED` tokens that occurs.

Letters: B batch, N tokens, T sequence, D width, K columns, H heads, R interval rows, L blocks.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data import Sequences, Windows
from fpt_model.fused import chance
from fpt_model.graphed import adam, attention, norms, sampled, softmax, tokens
from fpt_model.graphed.buffers import Buffers
from fpt_model.graphed.dropout import in_parts
from fpt_model.graphed.plan import LARGEST, ROWS, Plan
from fpt_model.graphed.products import FIELDS, TILE, Job, Jobs, add_product, multiply, weight_slopes
from fpt_model.graphed.weights import BLOCK, PRODUCTS, Weights, aligned
from fpt_model.model import Encoder
from fpt_model.sampling import NegativeSampler

MAX_PAIRS = 2**31  # pairs of tokens are counted in int32
HALF = torch.float16  # of products: as many digits as TF32; sums are float32
ROUNDED = 1024
QUERIES, KEYS, CHUNK = 32, 64, 64  # of an attention tile
ATTENTION = {"num_warps": 4, "num_stages": 2}
ROWS_AT_ONCE = 16
NORM = {"BM": 16, "TILES": 4, "num_warps": 4}  # rows of a tile, tiles of a program
# tokens and items of a tile of scores, for gradients of tokens and of items
SOFTMAX = (
    {"BM": 64, "BN": 128, "num_warps": 4, "num_stages": 3},
    {"BM": 128, "BN": 64, "num_warps": 4, "num_stages": 2},
)
SPLITS = 8  # partial sums of the items' gradient
PROGRAMS = 264  # two for each of a GPU's processors: what gradients of weights are split into


def fits(config: Config) -> bool:
    """Whether the kernels cover these settings."""
    pairs = config.batch_size * config.heads * config.max_length**2
    return config.mask == "keys" and pairs < MAX_PAIRS


def power_of_two(n: int) -> int:
    """The least one that is at least n and at least 16."""
    return max(16, 1 << (n - 1).bit_length())


class Source:
    """Interactions that windows are cut from: int32 on the device, one after the other."""

    def __init__(self, items: Tensor, weeks: Tensor, times: Tensor, asked: Tensor) -> None:
        self.items, self.weeks = items.int(), weeks.int()
        self.times, self.asked = (x.clamp(max=LARGEST).int() for x in (times, asked))


class Engine:
    """A model with its optimizer, and the launches that train and apply it.

    Args:
        model: on the device; its parameters become views of `weights`.
        key: (2,) int64, 32 bits each: of everything random.
        sequences: on the device.
        groups: (n_users + 1,) int64, -1 while there are none; read at every step.
        record: (1,) float64, to which every step adds its loss.
    """

    def __init__(
        self, model: Encoder, key: Tensor, sequences: Sequences, groups: Tensor, record: Tensor
    ) -> None:
        self.model, self.config, self.sequences = model, model.config, sequences
        self.groups, self.record = groups, record
        self.device = sequences.items.device
        self.weights = Weights(model, HALF)
        self.edges = model.edges.clamp(max=LARGEST).int()
        self.n_rows = self.config.time_span + 1 + len(self.edges) if self.config.intervals else 0
        self.source = Source(sequences.items, sequences.weeks, sequences.times, sequences.asked)
        self.keys = key[None].to(self.device)
        batch = self.config.batch_size
        self.clock, self.key = self._ints(2), self._ints(3)
        self.now = self._ints(ROWS, batch + 1).int()
        self.plan = self.now[None]
        self.tokens: list[int] = []
        self.buffers: Buffers | None = None
        self.ranking: Buffers | None = None
        self.graphs: dict[int, Any] = {}
        self._index_weights()
        self._index_negatives()
        if self.device.type == "cuda":
            self.side = torch.cuda.Stream()
            torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False

    def _ints(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int64, device=self.device)

    def _index_weights(self) -> None:
        weights = self.weights
        spans = weights.penalised(self.model)
        n_blocks = weights.size // BLOCK
        table_of = torch.full((n_blocks,), -1, dtype=torch.int32)
        for number, (first, last) in enumerate(spans):
            table_of[first:last] = number
        self.spans = torch.tensor(spans, dtype=torch.int32, device=self.device)
        self.table_of = table_of.to(self.device)
        self.norms = torch.zeros(len(spans), device=self.device)
        self.block_squares = torch.zeros(n_blocks, device=self.device)
        self.group_loss = torch.zeros(1, device=self.device)
        self.scattered = self._ints(weights.scattered)

    def _index_negatives(self) -> None:
        self.negative_search = 0
        if self.config.loss != "bce":
            return
        sampler = NegativeSampler(self.sequences)
        users = torch.arange(len(sampler.counts), device=self.device)
        owners = torch.repeat_interleave(users, sampler.counts)
        self.gaps = (sampler.keys - owners * sampler.stride).int()
        self.firsts, self.counts = sampler.firsts.int(), sampler.counts.int()
        largest = int(sampler.counts.max()) if len(sampler.counts) else 0
        self.negative_search = largest.bit_length()

    def start_epoch(self, plan: Plan, step: int, before: int) -> None:
        """Set what steps read: the epoch's plan, its next step, and the steps before that one."""
        if self.buffers is None or self.buffers.n_tokens < max(plan.tokens):
            self._allocate(plan)
        self.plan.copy_(plan.steps)
        self.tokens = plan.tokens
        self.clock.copy_(torch.tensor([before, step]))

    def _allocate(self, plan: Plan) -> None:
        """Memory for the longest step; graphs know its addresses, so they go with it."""
        capacity = _rounded(max(plan.tokens) * 17 // 16)  # other epochs have longer steps
        capacity = min(capacity, _rounded(self.config.batch_size * self.config.max_length))
        self.graphs.clear()
        self.buffers = self._new_buffers(capacity, train=True)
        self.plan = torch.zeros_like(plan.steps, device=self.device)
        self.jobs = Jobs(self._jobs(self.buffers))
        raw = self.buffers.tables.numel()
        self.splits = max(1, PROGRAMS // len(self.jobs.table))
        self.product_size = self.weights.size - self.weights.o_products + raw
        self.product_parts = torch.zeros(self.splits, self.product_size, device=self.device)

    def _new_buffers(self, capacity: int, *, train: bool) -> Buffers:
        items, width = self.sequences.n_items + 1, aligned(self.config.item_width)
        return Buffers(
            *(self.config, capacity, aligned(self.n_rows), HALF, self.device),
            train=train,
            item_parts=(SPLITS, items, width) if self.config.loss == "softmax" else (1, 1),
        )

    def _jobs(self, at: Buffers) -> list[Job]:
        """The gradients of weights that are products over tokens."""
        config, weights, columns = self.config, self.weights, self.weights.columns
        jobs = []
        for layer in range(config.blocks):
            dk, dv = at.dkv[layer].split(columns, 1)
            pairs = (
                *((at.dq[layer], at.normal[layer]), (dk, at.x[layer]), (dv, at.x[layer])),
                *((at.du[layer], at.y[layer]), (at.dz[layer], at.hidden[layer])),
            )
            for part, (left, right) in zip(PRODUCTS, pairs, strict=True):
                offset = weights.o_product(layer, part) - weights.o_products
                jobs.append(Job(left[:, : config.width], right, offset, columns))
            if config.intervals:
                jobs += self._table_jobs(at, layer)
        return jobs

    def _table_jobs(self, at: Buffers, layer: int) -> list[Job]:
        """Gradients of the interval tables as a block saw them; they follow those of matrices."""
        first = self.weights.size - self.weights.o_products + at.tables[:layer].numel()
        by_head = (at.row_slopes[layer], at.q[layer]), (at.on_rows[layer], at.dsum[layer])
        return [
            Job(left, right, offset, stride)
            for kind, (lefts, rights) in enumerate(by_head)
            for head, (left, right) in enumerate(zip(lefts, self._heads(rights), strict=True))
            for offset, stride in [
                (first + kind * at.tables[0, 0].numel() + head * self._head(), self.weights.columns)
            ]
        ]

    def run(self, step: int) -> None:
        """One step; on a GPU it is a graph."""
        n = _rounded(self.tokens[step])
        if self.device.type != "cuda":
            self.step(n)
            return
        if n not in self.graphs:
            self._capture(n)
        self.graphs[n].replay()

    def _capture(self, n: int) -> None:
        """Record a step. Its first run compiles, hence works on a state that is put back."""
        kept = [value.clone() for value in self._state()]
        self.step(n)
        torch.cuda.synchronize()
        for value, before in zip(self._state(), kept, strict=True):
            value.copy_(before)
        self.graphs[n] = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graphs[n]):
            self.step(n)

    def _state(self) -> list[Tensor]:
        weights = self.weights
        flat = [weights.params, weights.rounded, weights.moments, weights.squares]
        return [*flat, self.clock, self.record]

    def step(self, n: int) -> None:
        """One step of up to n tokens."""
        count = self.differentiate(n)
        self._update(self._buffers(), count)

    def differentiate(self, n: int) -> int:
        """The next step's gradients; returns how many partial sums its loss has."""
        at = self._buffers()
        tokens.begin_step[(1,)](
            *(self.plan, self.now, self.keys, self.clock, self.key),
            PLAN=self.now.numel(),
            P=power_of_two(self.now.numel()),
        )
        self._inputs(at, self.now, self.source, train=True)
        self._forward(at, self.now, n, train=True)
        count = self._loss(at, n)
        self._backward(at, n)
        self._sums(at)
        self._together()
        return count

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Launches that may run beside those after them, up to the next `_together`."""
        if self.device.type != "cuda":
            yield
            return
        self.side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.side):
            yield

    def _together(self) -> None:
        """What follows waits for what was put aside."""
        if self.device.type == "cuda":
            torch.cuda.current_stream().wait_stream(self.side)

    def _inputs(self, at: Buffers, now: Tensor, source: Source, *, train: bool) -> None:
        """Tokens, their vectors, and what attention needs of their times and tables."""
        config, weights = self.config, self.weights
        batch, tile = now.shape[1] - 1, 32
        with self._aside():
            self._drop_tables(at, config.dropout if train else 0.0)
            if train:
                squares = self.block_squares
                adam.sum_squares[(len(squares),)](self.weights.params, squares, BLOCK=BLOCK)
                self._groups()
        chances = config.dropout, config.item_dropout, config.user_dropout
        rates = [in_parts(one) if train else 0 for one in chances]
        tokens.lay_out[(batch, -(-config.max_length // tile))](
            *(now, self.key, weights.params, *self._tables(), weights.offset("positions.0")),
            *(source.items, source.weeks, source.times, source.asked),
            *(at.items, at.weeks, at.users, at.times, at.asked, at.targets, at.owners, at.x[0]),
            *(math.sqrt(config.width), self.sequences.n_items, self.sequences.n_users),
            B=batch,
            T=config.max_length,
            BM=tile,
            **self._widths(),
            INPUT=chance.EMBEDDING,
            ITEM=chance.ITEM,
            ITEM_ID=chance.ITEM_ID,
            USER_SITE=chance.USER,
            USER_ID=chance.USER_ID,
            POSITIONS=not config.intervals,
            TRAIN=train,
            RATE=rates[0],
            ITEM_RATE=rates[1],
            USER_RATE=rates[2],
        )
        self._together()
        if not config.intervals:
            return
        with self._aside():
            tokens.row_counts[(batch, -(-config.max_length // 16))](
                *(now, at.asked, at.times, self.edges, at.counts),
                B=batch,
                SPAN=config.time_span,
                EDGES=len(self.edges),
                C=at.counts.shape[1],
                BM=16,
                BR=64,
                SEARCH=config.max_length.bit_length(),
            )

    def _drop_tables(self, at: Buffers, rate: float) -> None:
        """Interval and position vectors as each block sees them."""
        config, weights = self.config, self.weights
        if not config.intervals:
            return
        table, places = at.tables[0, 0].numel(), at.places[0, 0].numel()
        tokens.drop_tables[(-(-max(table, places) // BLOCK), 2, config.blocks)](
            *(weights.params, self.key, at.tables, at.places, *self._pair_tables()),
            TABLE=table,
            PLACES=places,
            **_SITES,
            BLOCK=BLOCK,
            RATE=in_parts(rate),
        )

    def _forward(self, at: Buffers, now: Tensor, n: int, *, train: bool) -> None:
        """Inputs to features, (N, K)."""
        rate = self.config.dropout if train else 0.0
        self._norm(at, at.x[0], None, None, at.normal[0], _norm(0, 0), n, 0.0, 0)
        for layer in range(self.config.blocks):
            self._attend(at, now, n, layer, rate)
            site = chance.LAYER + chance.LAYER_SITES * layer
            self._norm(
                at, at.normal[layer], at.attended[layer], at.summed[layer], at.y[layer],
                _norm(layer, 1), n, 0.0, 0,
            )  # fmt: skip
            multiply(at.y[layer][:n], self._product(layer, "pointwise_1").T, at.one[:n])
            norms.dropped_relu[(n // ROWS_AT_ONCE,)](
                at.one, at.hidden[layer], self.key, site + chance.HIDDEN,
                **self._rows(), RATE=in_parts(rate),
            )  # fmt: skip
            multiply(at.hidden[layer][:n], self._product(layer, "pointwise_2").T, at.one[:n])
            last = layer + 1 == self.config.blocks
            out = at.features if last else at.normal[layer + 1]
            name = "norm" if last else _norm(layer + 1, 0)
            self._norm(
                at, at.y[layer], at.one, at.x[layer + 1], out, name, n, rate, site + chance.OUT
            )  # fmt: skip

    def _attend(self, at: Buffers, now: Tensor, n: int, layer: int, rate: float) -> None:
        multiply(at.normal[layer][:n], self._product(layer, "query").T, at.q[layer][:n])
        multiply(at.x[layer][:n], self._product(layer, "key", 2).T, at.kv[layer][:n])
        if self.config.intervals:
            keys = self._heads(at.tables[layer, 0])
            multiply(self._heads(at.q[layer][:n]), keys.transpose(1, 2), at.by_row[:, :n])
        shape = self._attention(now)
        attention.weigh[self._attention_grid(now, shape["BM"])](
            *(now, self.key, at.q[layer], at.kv[layer], at.places[layer], at.by_row),
            *(at.asked, at.times, self.edges, at.weights[layer], at.sums),
            *(self._site(layer, chance.WEIGHTS), at.n_tokens),
            **shape,
            **self._intervals(at),
            FACTOR=attention.LOG2E.value / math.sqrt(self._head()),
            RATE=in_parts(rate),
        )
        places, left = at.places[layer, 1], 1 / (1 - rate)
        self._combine(at, now, (at.weights[layer], at.kv[layer], places), at.attended[layer], left)
        if self.config.intervals:
            self._together()
            self._sum_rows(at, now, n, at.on_rows[layer], left)
            out = self._heads(at.attended[layer][:n])
            add_product(out, at.on_rows[layer][:, :n], self._heads(at.tables[layer, 1]))

    def _combine(
        self, at: Buffers, now: Tensor, inputs: tuple[Tensor, Tensor, Tensor], out: Tensor,
        factor: float, *, values: bool = True,
    ) -> None:  # fmt: skip
        """Weighted sums of values, or sums of keys by the slopes of scores."""
        shape = self._attention(now)
        attention.combine[self._attention_grid(now, shape["BM"], shape["WC"])](
            *(now, *inputs, out, factor, at.n_tokens),
            **shape,
            AT=self.weights.columns if values else 0,
            PLACES=self.config.intervals,
            POSITIVE=values,
        )

    def _sum_rows(self, at: Buffers, now: Tensor, n: int, out: Tensor, factor: float) -> None:
        rows = out.shape[2]
        attention.sum_rows[(n // ROWS_AT_ONCE, -(-rows // 64), self.config.heads)](
            *(now, at.sums, at.counts, out, factor, at.n_tokens, n),
            B=now.shape[1] - 1,
            TS=aligned(self.config.max_length),
            R=rows,
            C=at.counts.shape[1],
            BM=ROWS_AT_ONCE,
            BR=64,
        )

    def _norm(
        self, at: Buffers, a: Tensor, branch: Tensor | None, total: Tensor | None, out: Tensor,
        name: str, n: int, rate: float, site: int,
    ) -> None:  # fmt: skip
        weights = self.weights
        norms.add_and_norm[(n // ROWS_AT_ONCE,)](
            *(a, a if branch is None else branch, out if total is None else total, out),
            *self._statistics(at, name),
            *(weights.params, weights.offset(f"{name}.weight"), weights.offset(f"{name}.bias")),
            *(self.key, site),
            **self._rows(),
            ADD=branch is not None,
            RATE=in_parts(rate),
        )

    def _loss(self, at: Buffers, n: int) -> int:
        """Gradients of features and items; returns how many partial sums the loss has."""
        config, weights = self.config, self.weights
        widths = {"W": config.item_width, "K": weights.columns, "S": aligned(config.item_width)}
        widths |= {"WP": power_of_two(config.item_width), "B": config.batch_size}
        if config.loss == "bce":
            sampled.sampled_slopes[(n // ROWS_AT_ONCE,)](
                *(self.now, self.key, at.features, weights.params, weights.offset("items.weight")),
                *(at.targets, at.owners, at.negatives, self.gaps, self.firsts, self.counts),
                *(at.dfeatures, self.scattered, at.losses, self.sequences.n_items),
                **widths,
                BM=ROWS_AT_ONCE,
                SITE=chance.NEGATIVE,
                SEARCH=self.negative_search,
            )
            return n // ROWS_AT_ONCE
        shared = (self.now, at.features, weights.rounded, at.targets)
        softmax.feature_slopes[(n // SOFTMAX[0]["BM"],)](
            *(*shared, at.dfeatures, at.logs, at.losses, self.sequences.n_items),
            **widths | SOFTMAX[0],
        )
        with self._aside():
            softmax.item_slopes[(-(-(self.sequences.n_items + 1) // SOFTMAX[1]["BN"]), SPLITS)](
                *(*shared, at.logs, at.item_parts, self.sequences.n_items), **widths | SOFTMAX[1]
            )
        return n // SOFTMAX[0]["BM"]

    def _backward(self, at: Buffers, n: int) -> None:
        """Gradients of all but the tables, from that of the features."""
        blocks, rate = self.config.blocks, self.config.dropout
        site = self._site(blocks - 1, chance.OUT)
        dz = at.dz[blocks - 1]
        self._norm_slopes(n, (at.dfeatures, None), at.x[blocks], None, at.dx, dz, "norm", site)
        for layer in reversed(range(blocks)):
            multiply(at.dz[layer][:n], self._product(layer, "pointwise_2"), at.one[:n])
            norms.relu_slopes[(n // ROWS_AT_ONCE,)](
                at.one, at.hidden[layer], at.du[layer], **self._rows(), RATE=in_parts(rate)
            )
            multiply(at.du[layer][:n], self._product(layer, "pointwise_1"), at.two[:n])
            dsum = at.dsum[layer]
            self._norm_slopes(
                n, (at.dx, at.two), at.summed[layer], None, dsum, None, _norm(layer, 1), 0
            )
            self._attention_slopes(at, n, layer)
            before, site = at.dz[layer - 1] if layer else None, self._site(layer - 1, chance.OUT)
            name = _norm(layer, 0)
            self._norm_slopes(n, (dsum, at.two), at.x[layer], at.one, at.dx, before, name, site)

    def _attention_slopes(self, at: Buffers, n: int, layer: int) -> None:
        """From the gradient of the sum, in `dsum`, to those of the block's input.

        What is to be added to `dsum` for the normalised input comes to stand in `two`, the part of
        the input itself in `one`.
        """
        dout, dq, root = at.dsum[layer], at.dq[layer], 1 / math.sqrt(self._head())
        intervals = self.config.intervals
        if intervals:
            values = self._heads(at.tables[layer, 1])
            multiply(self._heads(dout[:n]), values.transpose(1, 2), at.by_row[:, :n])
        shape, rate = self._attention(self.now), self.config.dropout
        attention.pair_slopes[self._attention_grid(self.now, shape["BM"])](
            *(self.now, at.kv[layer], at.places[layer], at.by_row, at.asked, at.times, self.edges),
            *(at.attended[layer], dout, at.weights[layer], at.slopes, at.sums, at.n_tokens),
            **shape,
            **self._intervals(at),
            RATE=in_parts(rate),
        )
        scale, left = root / attention.LARGER.value, 1 / (1 - rate)
        inputs = at.slopes, at.kv[layer], at.places[layer, 0]
        self._combine(at, self.now, inputs, dq, scale, values=False)
        ways = ((at.slopes, at.q[layer], scale, False), (at.weights[layer], dout, left, True))
        for pairs, x, factor, positive in ways:
            attention.gather_up[self._attention_grid(self.now, shape["BN"], shape["WC"])](
                *(self.now, pairs, x, at.dkv[layer], factor, at.n_tokens),
                **shape,
                AT=self.weights.columns if positive else 0,
                POSITIVE=positive,
            )
        if intervals:
            by_row = at.row_slopes[layer]
            self._sum_rows(at, self.now, n, by_row, 1.0)
            keys = self._heads(at.tables[layer, 0])
            add_product(self._heads(dq[:n]), by_row[:, :n], keys, scale)
        multiply(at.dkv[layer][:n], self._product(layer, "key", 2), at.one[:n])
        multiply(dq[:n], self._product(layer, "query"), at.two[:n])

    def _norm_slopes(
        self, n: int, slopes: tuple[Tensor, Tensor | None], x: Tensor, plus: Tensor | None,
        dx: Tensor, dropped: Tensor | None, name: str, site: int,
    ) -> None:  # fmt: skip
        (slope, more), offset = slopes, self.weights.offset
        norms.norm_slopes[(n // (NORM["BM"] * NORM["TILES"]),)](
            *(self.now, slope, slope if more is None else more, x),
            *(dx if plus is None else plus, dx, dx if dropped is None else dropped),
            *(*self._statistics(self._buffers(), name), self.weights.params),
            offset(f"{name}.weight"),
            *(self.scattered, offset(f"{name}.bias"), self.key, site),
            B=self.config.batch_size,
            **self._rows() | NORM,
            MORE=more is not None,
            PLUS=plus is not None,
            DROPPED=dropped is not None,
            RATE=in_parts(self.config.dropout),
        )

    def _sums(self, at: Buffers) -> None:
        """From gradients of activations to those of weights."""
        config, weights, batch = self.config, self.weights, self.config.batch_size
        width = power_of_two(min(weights.columns, 64))
        across = -(-config.width // width)
        with self._aside():
            tokens.embedding_slopes[(batch, -(-config.max_length // 32))](
                *(self.now, self.key, self.scattered, *self._tables()),
                *(at.items, at.weeks, at.users, at.dx, math.sqrt(config.width)),
                BM=32,
                **self._widths(),
                INPUT=chance.EMBEDDING,
                POSITIONS=not config.intervals,
                RATE=in_parts(config.dropout),
            )
            kinds = 2 if config.intervals else 1
            tokens.place_slopes[(config.max_length, kinds, across)](
                *(self.now, weights.grads, self.key, at.dkv if config.intervals else at.dx),
                *(*self._pair_tables()[2:], at.n_tokens),
                B=batch,
                T=config.max_length,
                D=config.width,
                K=weights.columns,
                KINDS=kinds,
                LAYERS=config.blocks if config.intervals else 1,
                **_SITES,
                BB=power_of_two(min(batch, 64)),
                BW=width,
                RATE=in_parts(config.dropout) if config.intervals else 0,
            )
        jobs = self.jobs
        weight_slopes[(len(jobs.table), self.splits)](
            *(self.now, at.arena, jobs.table, self.product_parts, self.product_size),
            B=batch,
            BM=TILE,
            BT=64,
            P=power_of_two(weights.columns),
            FIELDS=FIELDS,
            ALIGNED=jobs.aligned,
            num_warps=8,
        )
        if config.intervals:
            table = at.tables[0, 0].numel()
            factor = 1 / math.sqrt(self._head()) / attention.LARGER.value
            raw = self.product_parts[0, weights.size - weights.o_products :]
            tokens.table_slopes[(-(-table // BLOCK), 2)](
                *(weights.grads, self.key, raw, *self._pair_tables()[:2], factor),
                *(self.splits, self.product_size),
                TABLE=table,
                LAYERS=config.blocks,
                **_SITES,
                BLOCK=BLOCK,
                RATE=in_parts(config.dropout),
            )

    def _groups(self) -> None:
        """The group loss and its gradients."""
        config = self.config
        if not (config.group_weight and config.user_width):
            return
        sampled.group_slopes[(1,)](
            *(self.now, self.key, self.weights.params, self.scattered),
            *(self.weights.offset("users.weight"), self.groups, self.group_loss),
            *(self.sequences.n_users, config.group_pairs),
            *(config.group_margin, config.group_weight),
            B=config.batch_size,
            W=config.user_width,
            WP=power_of_two(config.user_width),
            S=aligned(config.user_width),
            P=power_of_two(config.group_pairs),
            FIRST=chance.FIRST,
            SECOND=chance.SECOND,
        )

    def _update(self, at: Buffers, count: int) -> None:
        config, weights, batch = self.config, self.weights, self.config.batch_size
        adam.sum_up[(1,)](
            *(self.now, self.block_squares, self.spans, at.losses, self.group_loss, self.norms),
            *(self.record, count, config.l2),
            B=batch,
            TABLES=len(self.spans),
            CHUNK=BLOCK,
        )
        adam.adam[(weights.size // BLOCK,)](
            *(self.now, self.key, weights.params, weights.rounded, weights.moments),
            *(weights.squares, weights.grads, self.scattered, at.item_parts, self.product_parts),
            *(self.table_of, self.norms, weights.scattered),
            *(weights.o_products, at.item_parts[0].numel(), self.product_size, self.splits),
            *(config.l2, config.learning_rate, _log(config.beta1), _log(config.beta2)),
            *(config.beta1, config.beta2),
            B=batch,
            ITEM_SPLITS=SPLITS if config.loss == "softmax" else 0,
            BLOCK=BLOCK,
        )

    @torch.no_grad()
    def features(self, windows: Windows) -> Tensor:
        """Of every window's last position, (B, D): what scores are products with."""
        real = windows.items > 0
        batch, length = real.shape
        n = _rounded(batch * length)
        if self.ranking is None or self.ranking.n_tokens < n:
            self.ranking = self._new_buffers(n, train=False)
        lengths = real.sum(1)
        first = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
        scales = windows.scales.clamp(max=LARGEST)
        others = [torch.nn.functional.pad(row, (0, 1)) for row in (windows.users, scales)]
        now = torch.stack([first, first, *others]).int()
        flat = (windows.items, windows.weeks, windows.times, windows.asked)
        source = Source(*(x[real] for x in flat))
        self._inputs(self.ranking, now, source, train=False)
        self._forward(self.ranking, now, n, train=False)
        return self.ranking.features[first[1:] - 1, : self.config.width].float()

    def _buffers(self) -> Buffers:
        assert self.buffers is not None
        return self.buffers

    def _product(self, layer: int, part: str, count: int = 1) -> Tensor:
        return self.weights.product(layer, part, count)

    def _heads(self, x: Tensor) -> Tensor:
        """(N, K) by head, (H, N, W); one head keeps its columns of padding, which are zero."""
        if self.config.heads == 1:
            return x[None]
        return x[:, : self.config.width].unflatten(1, (self.config.heads, -1)).transpose(0, 1)

    def _head(self) -> int:
        """W, width of a head."""
        return self.config.width // self.config.heads

    @staticmethod
    def _site(layer: int, purpose: int) -> int:
        return chance.LAYER + chance.LAYER_SITES * layer + purpose

    def _statistics(self, at: Buffers, name: str) -> tuple[Tensor, Tensor]:
        """Where a LayerNorm keeps means and scales of its rows."""
        names = [_norm(layer, which) for layer in range(self.config.blocks) for which in (0, 1)]
        number = [*names, "norm"].index(name)
        return at.means[number], at.scales[number]

    def _tables(self) -> tuple[int, int, int]:
        """First elements of the tables that are looked up."""
        offset = self.weights.offset
        return offset("items.weight"), offset("weeks.weight"), offset("users.weight")

    def _pair_tables(self) -> tuple[int, int, int, int]:
        """First elements of interval and position tables, of keys and values each."""
        offset = self.weights.offset
        intervals = offset("intervals.0"), offset("intervals.1")
        return *intervals, offset("positions.0"), offset("positions.1")

    def _attention_grid(self, now: Tensor, tile: int, chunk: int = 0) -> tuple[int, int, int]:
        """Programs: tiles of a sequence, sequences, and heads, or chunks of heads."""
        chunks = -(-self._head() // chunk) if chunk else 1
        return -(-self.config.max_length // tile), now.shape[1] - 1, self.config.heads * chunks

    def _attention(self, now: Tensor) -> dict[str, Any]:
        return {
            "B": now.shape[1] - 1,
            "H": self.config.heads,
            "T": self.config.max_length,
            "TS": aligned(self.config.max_length),
            "W": self._head(),
            "WC": min(CHUNK, power_of_two(self._head())),
            "K": self.weights.columns,
            "BM": min(QUERIES, power_of_two(self.config.max_length)),
            "BN": min(KEYS, power_of_two(self.config.max_length)),
            **ATTENTION,
        }

    def _intervals(self, at: Buffers) -> dict[str, Any]:
        return {
            "R": at.on_rows.shape[3],
            "SPAN": self.config.time_span,
            "EDGES": len(self.edges),
            "INTERVALS": self.config.intervals,
        }

    def _rows(self) -> dict[str, Any]:
        """Shapes of a tile of whole rows."""
        columns = self.weights.columns
        return {
            "D": self.config.width,
            "K": columns,
            "BM": ROWS_AT_ONCE,
            "P": power_of_two(columns),
        }

    def _widths(self) -> dict[str, int]:
        config = self.config
        widths = {"IW": config.item_width, "WW": config.week_width, "UW": config.user_width}
        padded = {f"{name[0]}P": power_of_two(width) for name, width in widths.items()}
        strides = {f"{name[0]}S": aligned(width) for name, width in widths.items()}
        return widths | padded | strides | {"K": self.weights.columns}


_NORMS = ("norm_attention", "norm_pointwise")
_SITES = {"LAYER": chance.LAYER, "SITES": chance.LAYER_SITES}


def _norm(layer: int, which: int) -> str:
    return f"blocks.{layer}.{_NORMS[which]}"


def _rounded(n: int) -> int:
    return -(-n // ROUNDED) * ROUNDED


def _log(beta: float) -> float:
    return math.log(beta) if beta else -1e4
