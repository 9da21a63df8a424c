"""The launches of the forward pass: from windows to features.

Letters: B batch, N tokens, T sequence, D width, K columns, H heads, R interval rows, L blocks.
"""

import math

from torch import Tensor

from fpt_model.engines.gpu import rng
from fpt_model.engines.gpu.layout import BLOCK, aligned
from fpt_model.engines.jagged import adam, attention, first_seen, norms, tokens
from fpt_model.engines.jagged.ahead import Ahead
from fpt_model.engines.jagged.plan import Source
from fpt_model.engines.jagged.products import add_product, multiply
from fpt_model.engines.jagged.shapes import (
    ROWS_AT_ONCE,
    attention_grid,
    attention_shape,
    by_head,
    head_shape,
    interval_shape,
    norm_name,
    norm_shape,
    pair_tables,
    rng_stream_of,
    row_shape,
    statistics,
)
from fpt_model.engines.jagged.state import LONG, SHORT, EngineState
from fpt_model.engines.jagged.weight_grads import group_loss_grad
from fpt_model.engines.jagged.weights import head_width
from fpt_model.engines.jagged.workspace import Workspace

SEEN_PROGRAMS = 4  # programs that share a history, 256 interactions each at a time


def inputs(
    engine: EngineState, ws: Workspace, meta: Tensor, source: Source | Ahead, *, train: bool
) -> None:
    """Tokens, their vectors, and what attention needs of their times and tables."""
    config, weights = engine.config, engine.weights
    batch, tile = meta.shape[1] - 1, 32

    # beside the tokens: what does not need them
    with engine.streams.on_side_stream(LONG):
        drop_tables(engine, ws, config.dropout if train else 0.0)
        if train:
            block_squares = engine.block_squares
            adam.sum_squares[(len(block_squares),)](
                engine.weights.params, block_squares, BLOCK=BLOCK
            )
            group_loss_grad(engine)

    # tokens and their vectors
    rates_of_training = config.dropout, config.sse_item, config.sse_user
    rates = [one if train else 0 for one in rates_of_training]
    tokens.pack_tokens[(batch, -(-config.max_length // tile))](
        *(meta, engine.key, weights.params, weights.tables, weights.offset("positions.0")),
        *(source.numbers, source.times, source.query_times, source.targets),
        *(ws.numbers, ws.times, ws.query_times, ws.targets, ws.sequence, ws.x[0]),
        *(math.sqrt(config.width), engine.sequences.n_items, engine.sequences.n_users),
        B=batch,
        T=config.max_length,
        BM=tile,
        K=weights.columns,
        INPUTS=weights.inputs,
        POSITIONS=not config.intervals,
        TRAIN=train,
        RATE=rates[0],
        ITEM_RATE=rates[1],
        USER_RATE=rates[2],
    )

    # beside the first block: what the loss asks for, then attention
    engine.streams.join_streams()
    if train:
        with engine.streams.on_side_stream(LONG):
            _find_first_seen(engine, source)
    if config.intervals:
        _find_rows(engine, ws, meta)


def _find_rows(engine: EngineState, ws: Workspace, meta: Tensor) -> None:
    """The interval row of each pair, and where each row ends among a query's keys."""
    config, shape = engine.config, attention_shape(engine.config, meta)
    times = ws.query_times, ws.times, engine.edges
    with engine.streams.on_side_stream(SHORT):
        attention.pair_rows[attention_grid(config, meta, shape["BM"])[:2]](
            *(meta, *times, ws.pair_rows),
            SPAN=config.time_span,
            EDGES=len(engine.edges),
            **{name: shape[name] for name in ("B", "TS", "BM", "BN")},
        )
    with engine.streams.on_side_stream(LONG):
        tokens.bucket_counts[(shape["B"], -(-config.max_length // 16))](
            *(meta, *times, ws.counts),
            B=shape["B"],
            SPAN=config.time_span,
            EDGES=len(engine.edges),
            C=ws.counts.shape[1],
            BM=16,
            BR=64,
            SEARCH=config.max_length.bit_length(),
        )


def _find_first_seen(engine: EngineState, source: Source | Ahead) -> None:
    """Where each item was first seen by each of the step's users."""
    if not engine.exclude_seen:
        return
    batch, stride = engine.first_seen.shape
    first_seen.find_first_seen[(batch, SEEN_PROGRAMS)](
        *(engine.meta, engine.first_seen, source.items, engine.starts, engine.n_train, stride),
        B=batch,
        BLOCK=256,
    )
    first_seen.seen_within[(batch, -(-stride // BLOCK))](
        *(engine.meta, engine.first_seen, engine.seen, stride),
        B=batch,
        T=engine.config.max_length,
        BLOCK=BLOCK,
    )


def drop_tables(engine: EngineState, ws: Workspace, rate: float) -> None:
    """Interval and position vectors as each block sees them."""
    config, weights = engine.config, engine.weights
    if not config.intervals:
        return
    rows = ws.tables.shape[2]
    elements = max(rows, config.max_length) * weights.columns
    tokens.drop_tables[(-(-elements // BLOCK), 2, config.blocks)](
        *(weights.params, engine.key, ws.tables, ws.positions, *pair_tables(engine.weights)),
        R=rows,
        T=config.max_length,
        **head_shape(config),
        BLOCK=BLOCK,
        RATE=rate,
    )


def forward(engine: EngineState, ws: Workspace, meta: Tensor, n: int, *, train: bool) -> None:
    """Inputs to features, (N, K)."""
    rate = engine.config.dropout if train else 0.0
    normalise(engine, ws, ws.x[0], None, None, ws.normal[0], norm_name(0, 0), n, 0.0, 0)

    # A norm is one launch with the residual sum before it: a block ends with the next one's first.
    for layer in range(engine.config.blocks):
        # attention, residual, second norm
        _attend(engine, ws, meta, n, layer, rate)
        normalise(
            engine, ws, ws.normal[layer], ws.attn_out[layer], ws.summed[layer], ws.y[layer],
            norm_name(layer, 1), n, 0.0, 0, by_head=True,
        )  # fmt: skip

        # pointwise layers; biases are columns of the matrices
        multiply(ws.y[layer][:n], engine.weights.product(layer, "pointwise_1").T, ws.one[:n])
        norms.dropped_relu[(n // ROWS_AT_ONCE,)](
            ws.one, ws.hidden[layer], engine.key, rng_stream_of(layer, rng.HIDDEN),
            **row_shape(engine.config), RATE=rate,
        )  # fmt: skip
        multiply(ws.hidden[layer][:n], engine.weights.product(layer, "pointwise_2").T, ws.one[:n])

        # residual, and the next block's first norm or the last one of all
        last = layer + 1 == engine.config.blocks
        out = ws.features if last else ws.normal[layer + 1]
        name = "norm" if last else norm_name(layer + 1, 0)
        normalise(
            engine, ws, ws.y[layer], ws.one, ws.x[layer + 1], out, name, n, rate,
            rng_stream_of(layer, rng.OUT),
        )  # fmt: skip


def _attend(
    engine: EngineState, ws: Workspace, meta: Tensor, n: int, layer: int, rate: float
) -> None:
    # project: queries from the normed input, keys and values from the input itself
    with engine.streams.on_side_stream(SHORT):
        multiply(ws.x[layer][:n], engine.weights.product(layer, "key", 2).T, ws.kv[layer][:n])
        _add_positions(engine, ws, meta, layer)
    multiply(ws.normal[layer][:n], engine.weights.product(layer, "query").T, ws.q[layer][:n])

    # products of every query with every interval row: fewer than there are pairs
    if engine.config.intervals:
        keys = by_head(engine.config, ws.tables[layer, 0])
        multiply(by_head(engine.config, ws.q[layer][:n]), keys.transpose(1, 2), ws.by_bucket[:, :n])

    # weights
    engine.streams.join_streams(SHORT)
    shape = attention_shape(engine.config, meta)
    attention.weigh[attention_grid(engine.config, meta, shape["BM"])](
        # queries, keys and values, and what intervals and positions add
        *(meta, engine.key, ws.q[layer], ws.kv[layer], ws.by_bucket, ws.pair_rows),
        # weights and their running sums
        *(ws.weights[layer], ws.sums, rng_stream_of(layer, rng.WEIGHTS), ws.n_tokens),
        **shape,
        **interval_shape(engine.config, ws),
        FACTOR=attention.LOG2E.value / math.sqrt(head_width(engine.config)),
        RATE=rate,
    )

    # weighted sums of values, and beside them weights by interval row
    keep_scale = 1 / (1 - rate)
    pairs = ws.weights[layer], ws.kv[layer]
    with engine.streams.on_side_stream(SHORT):
        combine(engine, ws, meta, pairs, ws.attn_out[layer], keep_scale)
    if engine.config.intervals:
        engine.streams.join_streams(LONG)
        sum_by_bucket(engine, ws, meta, n, ws.weights_by_bucket[layer], keep_scale)
    engine.streams.join_streams(SHORT)

    # and of interval vectors: weights by row, times the table
    if engine.config.intervals:
        out = by_head(engine.config, ws.attn_out[layer][:n])
        add_product(
            out, ws.weights_by_bucket[layer][:, :n], by_head(engine.config, ws.tables[layer, 1])
        )


def _add_positions(engine: EngineState, ws: Workspace, meta: Tensor, layer: int) -> None:
    """Keys and values with their positions' vectors, as pairs ask for them."""
    if not engine.config.intervals:
        return
    shape = attention_shape(engine.config, meta)
    columns = ws.kv.shape[2]
    attention.add_positions[(*attention_grid(engine.config, meta, 16)[:2], -(-columns // 256))](
        *(meta, ws.kv[layer], ws.positions[layer]),
        **{name: shape[name] for name in ("B", "T", "K")},
        BM=16,
        BW=256,
    )


def combine(
    engine: EngineState, ws: Workspace, meta: Tensor, inputs: tuple[Tensor, Tensor],
    out: Tensor, factor: float, *, values: bool = True,
) -> None:  # fmt: skip
    """Weighted sums of values, or sums of keys by the gradients of scores."""
    shape = attention_shape(engine.config, meta)
    attention.combine[attention_grid(engine.config, meta, shape["BM"], shape["WC"])](
        *(meta, *inputs, out, factor, ws.n_tokens),
        **shape,
        AT=engine.weights.columns_by_head if values else 0,
        POSITIVE=values,
    )


def sum_by_bucket(
    engine: EngineState, ws: Workspace, meta: Tensor, n: int, out: Tensor, factor: float
) -> None:
    """Weights of unclipped pairs, summed by query and row of the table, times a factor."""
    rows = out.shape[2]
    attention.sum_by_bucket[(n // ROWS_AT_ONCE, -(-rows // 64))](
        *(meta, ws.sums, ws.counts, out, factor, ws.n_tokens, n),
        B=meta.shape[1] - 1,
        H=engine.config.heads,
        TS=aligned(engine.config.max_length),
        R=rows,
        C=ws.counts.shape[1],
        BM=ROWS_AT_ONCE,
        BR=64,
    )


def normalise(
    engine: EngineState, ws: Workspace, a: Tensor, branch: Tensor | None, total: Tensor | None,
    out: Tensor, name: str, n: int, rate: float, stream: int, *, by_head: bool = False,
) -> None:  # fmt: skip
    """LayerNorm `name` of a plus the dropped branch, which goes to `total`; it may lie by head."""
    weights = engine.weights
    norms.add_and_norm[(n // ROWS_AT_ONCE,)](
        *(a, a if branch is None else branch, out if total is None else total, out),
        *statistics(engine.config, ws, name),
        *(weights.params, weights.offset(f"{name}.weight"), weights.offset(f"{name}.bias")),
        *(engine.key, stream),
        **norm_shape(engine.config, by_head=by_head),
        ADD=branch is not None,
        RATE=rate,
    )
