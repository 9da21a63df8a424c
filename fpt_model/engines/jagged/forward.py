"""The launches of the forward pass: from windows to features.

Letters: B batch, N tokens, T sequence, D width, K columns, H heads, R interval rows, L blocks.
"""

import math

from torch import Tensor

from fpt_model.engines.gpu import rng
from fpt_model.engines.gpu.layout import BLOCK, aligned
from fpt_model.engines.jagged import adam, attention, met, norms, tokens
from fpt_model.engines.jagged.buffers import Buffers
from fpt_model.engines.jagged.plan import LARGEST, Source
from fpt_model.engines.jagged.products import add_product, multiply
from fpt_model.engines.jagged.shapes import (
    ROWS_AT_ONCE,
    attention_grid,
    attention_shape,
    by_head,
    head_width,
    interval_shape,
    norm_name,
    pair_tables,
    row_shape,
    site_of,
    statistics,
)
from fpt_model.engines.jagged.state import EngineState
from fpt_model.engines.jagged.sums import group_slopes

MEETING = 4  # programs that share a history, 256 interactions each at a time


def inputs(engine: EngineState, at: Buffers, now: Tensor, source: Source, *, train: bool) -> None:
    """Tokens, their vectors, and what attention needs of their times and tables."""
    config, weights = engine.config, engine.weights
    batch, tile = now.shape[1] - 1, 32

    # beside the tokens: what does not need them
    with engine.streams.on_side_stream():
        drop_tables(engine, at, config.dropout if train else 0.0)
        if train:
            squares = engine.block_squares
            adam.sum_squares[(len(squares),)](engine.weights.params, squares, BLOCK=BLOCK)
            group_slopes(engine)
            _meet(engine, now, source)

    # tokens and their vectors
    chances = config.dropout, config.sse_item, config.sse_user
    rates = [one if train else 0 for one in chances]
    tokens.lay_out[(batch, -(-config.max_length // tile))](
        *(now, engine.key, weights.params, weights.tables, weights.offset("positions.0")),
        *(source.numbers, source.times, source.asked, at.numbers, at.times, at.asked),
        *(at.targets, at.sequence, at.x[0]),
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

    # where each interval row ends among a query's keys; first asked for after the first attention
    engine.streams.join_streams()
    if not config.intervals:
        return
    with engine.streams.on_side_stream():
        tokens.row_counts[(batch, -(-config.max_length // 16))](
            *(now, at.asked, at.times, engine.edges, at.counts),
            B=batch,
            SPAN=config.time_span,
            EDGES=len(engine.edges),
            C=at.counts.shape[1],
            BM=16,
            BR=64,
            SEARCH=config.max_length.bit_length(),
        )


def _meet(engine: EngineState, now: Tensor, source: Source) -> None:
    """Where each item was first met by each of the step's users."""
    if not engine.unseen:
        return
    engine.met.fill_(LARGEST)
    met.meet[(len(engine.met), MEETING)](
        *(now, engine.met, source.items, engine.starts, engine.n_train, engine.met.shape[1]),
        B=len(engine.met),
        BLOCK=256,
    )


def drop_tables(engine: EngineState, at: Buffers, rate: float) -> None:
    """Interval and position vectors as each block sees them."""
    config, weights = engine.config, engine.weights
    if not config.intervals:
        return
    table, places = at.tables[0, 0].numel(), at.places[0, 0].numel()
    tokens.drop_tables[(-(-max(table, places) // BLOCK), 2, config.blocks)](
        *(weights.params, engine.key, at.tables, at.places, *pair_tables(engine.weights)),
        TABLE=table,
        PLACES=places,
        BLOCK=BLOCK,
        RATE=rate,
    )


def forward(engine: EngineState, at: Buffers, now: Tensor, n: int, *, train: bool) -> None:
    """Inputs to features, (N, K)."""
    rate = engine.config.dropout if train else 0.0
    normalise(engine, at, at.x[0], None, None, at.normal[0], norm_name(0, 0), n, 0.0, 0)

    # A norm is one launch with the residual sum before it: a block ends with the next one's first.
    for layer in range(engine.config.blocks):
        # attention, residual, second norm
        _attend(engine, at, now, n, layer, rate)
        normalise(
            engine, at, at.normal[layer], at.attended[layer], at.summed[layer], at.y[layer],
            norm_name(layer, 1), n, 0.0, 0,
        )  # fmt: skip

        # pointwise layers; biases are columns of the matrices
        multiply(at.y[layer][:n], engine.weights.product(layer, "pointwise_1").T, at.one[:n])
        norms.dropped_relu[(n // ROWS_AT_ONCE,)](
            at.one, at.hidden[layer], engine.key, site_of(layer, rng.HIDDEN),
            **row_shape(engine.config), RATE=rate,
        )  # fmt: skip
        multiply(at.hidden[layer][:n], engine.weights.product(layer, "pointwise_2").T, at.one[:n])

        # residual, and the next block's first norm or the last one of all
        last = layer + 1 == engine.config.blocks
        out = at.features if last else at.normal[layer + 1]
        name = "norm" if last else norm_name(layer + 1, 0)
        normalise(
            engine, at, at.y[layer], at.one, at.x[layer + 1], out, name, n, rate,
            site_of(layer, rng.OUT),
        )  # fmt: skip


def _attend(engine: EngineState, at: Buffers, now: Tensor, n: int, layer: int, rate: float) -> None:
    # project: queries from the normed input, keys and values from the input itself
    multiply(at.normal[layer][:n], engine.weights.product(layer, "query").T, at.q[layer][:n])
    multiply(at.x[layer][:n], engine.weights.product(layer, "key", 2).T, at.kv[layer][:n])

    # products of every query with every interval row: fewer than there are pairs
    if engine.config.intervals:
        keys = by_head(engine.config, at.tables[layer, 0])
        multiply(by_head(engine.config, at.q[layer][:n]), keys.transpose(1, 2), at.by_row[:, :n])

    # weights
    shape = attention_shape(engine.config, now)
    attention.weigh[attention_grid(engine.config, now, shape["BM"])](
        # queries, keys and values, and what intervals and positions add
        *(now, engine.key, at.q[layer], at.kv[layer], at.places[layer], at.by_row),
        *(at.asked, at.times, engine.edges),
        # weights and their running sums
        *(at.weights[layer], at.sums, site_of(layer, rng.WEIGHTS), at.n_tokens),
        **shape,
        **interval_shape(engine.config, at, engine.edges),
        FACTOR=attention.LOG2E.value / math.sqrt(head_width(engine.config)),
        RATE=rate,
    )

    # weighted sums of values
    places, left = at.places[layer, 1], 1 / (1 - rate)
    combine(engine, at, now, (at.weights[layer], at.kv[layer], places), at.attended[layer], left)

    # and of interval vectors: weights by row, times the table
    if engine.config.intervals:
        engine.streams.join_streams()
        sum_rows(engine, at, now, n, at.on_rows[layer], left)
        out = by_head(engine.config, at.attended[layer][:n])
        add_product(out, at.on_rows[layer][:, :n], by_head(engine.config, at.tables[layer, 1]))


def combine(
    engine: EngineState, at: Buffers, now: Tensor, inputs: tuple[Tensor, Tensor, Tensor],
    out: Tensor, factor: float, *, values: bool = True,
) -> None:  # fmt: skip
    """Weighted sums of values, or sums of keys by the slopes of scores."""
    shape = attention_shape(engine.config, now)
    attention.combine[attention_grid(engine.config, now, shape["BM"], shape["WC"])](
        *(now, *inputs, out, factor, at.n_tokens),
        **shape,
        AT=engine.weights.columns if values else 0,
        PLACES=engine.config.intervals,
        POSITIVE=values,
    )


def sum_rows(
    engine: EngineState, at: Buffers, now: Tensor, n: int, out: Tensor, factor: float
) -> None:
    """Weights of near pairs, summed by query and row of the table, times a factor."""
    rows = out.shape[2]
    attention.sum_rows[(n // ROWS_AT_ONCE, -(-rows // 64), engine.config.heads)](
        *(now, at.sums, at.counts, out, factor, at.n_tokens, n),
        B=now.shape[1] - 1,
        TS=aligned(engine.config.max_length),
        R=rows,
        C=at.counts.shape[1],
        BM=ROWS_AT_ONCE,
        BR=64,
    )


def normalise(
    engine: EngineState, at: Buffers, a: Tensor, branch: Tensor | None, total: Tensor | None,
    out: Tensor, name: str, n: int, rate: float, site: int,
) -> None:  # fmt: skip
    """LayerNorm `name` of a plus the dropped branch, which goes to `total`."""
    weights = engine.weights
    norms.add_and_norm[(n // ROWS_AT_ONCE,)](
        *(a, a if branch is None else branch, out if total is None else total, out),
        *statistics(engine.config, at, name),
        *(weights.params, weights.offset(f"{name}.weight"), weights.offset(f"{name}.bias")),
        *(engine.key, site),
        **row_shape(engine.config),
        ADD=branch is not None,
        RATE=rate,
    )
