"""The launches of the backward pass: from the loss to the gradients of activations.

Letters: B batch, N tokens, T sequence, D width, K columns, H heads, R interval rows, L blocks.
"""

import math

from torch import Tensor

from fpt_model.engines.gpu import rng
from fpt_model.engines.gpu.layout import aligned, power_of_two
from fpt_model.engines.jagged import attention, norms, sampled, softmax
from fpt_model.engines.jagged.buffers import Buffers
from fpt_model.engines.jagged.forward import combine, sum_rows
from fpt_model.engines.jagged.products import add_product, multiply
from fpt_model.engines.jagged.shapes import (
    ROWS_AT_ONCE,
    attention_grid,
    attention_shape,
    by_head,
    head_width,
    interval_shape,
    norm_name,
    row_shape,
    site_of,
    softmax_tiles,
    statistics,
)
from fpt_model.engines.jagged.state import EngineState

NORM = {"BM": 16, "TILES": 4, "num_warps": 4}  # rows of a tile, tiles of a program


def loss_slopes(engine: EngineState, at: Buffers, n: int) -> int:
    """Gradients of features and items; returns how many partial sums the loss has."""
    config, weights = engine.config, engine.weights
    sizes = {"W": config.item_width, "K": weights.columns, "S": aligned(config.item_width)}
    sizes |= {"WP": power_of_two(config.item_width), "B": config.batch_size}

    # one sampled item against the target
    if config.loss == "bce":
        drawn = engine.negatives
        assert drawn is not None
        sampled.sampled_slopes[(n // ROWS_AT_ONCE,)](
            *(engine.now, engine.key, at.features, weights.params, weights.offset("items.weight")),
            *(at.targets, at.sequence, at.negatives, drawn.gaps, drawn.firsts, drawn.counts),
            *(at.dfeatures, engine.scattered, at.losses, engine.sequences.n_items),
            **sizes,
            BM=ROWS_AT_ONCE,
            SEARCH=drawn.search,
        )
        return n // ROWS_AT_ONCE

    # all items; the items' gradient runs beside the way back: nobody waits for it but Adam
    shared = (engine.now, engine.met, at.sequence, at.features, weights.rounded, at.targets)
    items = engine.sequences.n_items, engine.met.shape[1]
    sizes |= {"UNSEEN": engine.unseen}
    for_tokens, for_items = softmax_tiles(engine.unseen, sizes["WP"])
    softmax.feature_slopes[(n // for_tokens["BM"],)](
        *(*shared, at.dfeatures, at.logs, at.losses, *items), **sizes | for_tokens
    )
    with engine.streams.on_side_stream():
        softmax.item_slopes[(-(-(items[0] + 1) // for_items["BN"]), len(at.item_parts))](
            *(*shared, at.logs, at.item_parts, *items), **sizes | for_items
        )
    return n // for_tokens["BM"]


def backward(engine: EngineState, at: Buffers, n: int) -> None:
    """Gradients of all but the tables, from that of the features."""
    blocks, rate = engine.config.blocks, engine.config.dropout

    # last norm, and the dropout of the last block's output
    site = site_of(blocks - 1, rng.OUT)
    dz = at.dz[blocks - 1]
    _norm_slopes(engine, n, (at.dfeatures, None), at.x[blocks], None, at.dx, dz, "norm", site)
    for layer in reversed(range(blocks)):
        # pointwise layers
        multiply(at.dz[layer][:n], engine.weights.product(layer, "pointwise_2"), at.one[:n])
        norms.relu_slopes[(n // ROWS_AT_ONCE,)](
            at.one, at.hidden[layer], at.du[layer], **row_shape(engine.config), RATE=rate
        )
        multiply(at.du[layer][:n], engine.weights.product(layer, "pointwise_1"), at.two[:n])

        # second norm; its output is the residual, too
        dsum = at.dsum[layer]
        _norm_slopes(
            engine, n, (at.dx, at.two), at.summed[layer], None, dsum, None, norm_name(layer, 1), 0
        )

        # attention
        _attention_slopes(engine, at, n, layer)

        # first norm, and the dropout of the block before
        before, site = at.dz[layer - 1] if layer else None, site_of(layer - 1, rng.OUT)
        name = norm_name(layer, 0)
        _norm_slopes(engine, n, (dsum, at.two), at.x[layer], at.one, at.dx, before, name, site)


def _attention_slopes(engine: EngineState, at: Buffers, n: int, layer: int) -> None:
    """From the gradient of the sum, in `dsum`, to those of the block's input.

    What is to be added to `dsum` for the normalised input comes to stand in `two`, the part of
    the input itself in `one`.
    """
    dout, dq, root = at.dsum[layer], at.dq[layer], 1 / math.sqrt(head_width(engine.config))
    intervals = engine.config.intervals

    # products of every gradient with every interval row of the values
    if intervals:
        values = by_head(engine.config, at.tables[layer, 1])
        multiply(by_head(engine.config, dout[:n]), values.transpose(1, 2), at.by_row[:, :n])

    # slopes of scores
    shape, rate = attention_shape(engine.config, engine.now), engine.config.dropout
    attention.pair_slopes[attention_grid(engine.config, engine.now, shape["BM"])](
        *(engine.now, at.kv[layer], at.places[layer], at.by_row, at.asked, at.times, engine.edges),
        *(at.attended[layer], dout, at.weights[layer], at.slopes, at.sums, at.n_tokens),
        **shape,
        **interval_shape(engine.config, at, engine.edges),
        RATE=rate,
    )

    # gradients of queries, then of keys and values
    scale, left = root / attention.LARGER.value, 1 / (1 - rate)
    inputs = at.slopes, at.kv[layer], at.places[layer, 0]
    combine(engine, at, engine.now, inputs, dq, scale, values=False)
    ways = ((at.slopes, at.q[layer], scale, False), (at.weights[layer], dout, left, True))
    for pairs, x, factor, positive in ways:
        attention.gather_up[attention_grid(engine.config, engine.now, shape["BN"], shape["WC"])](
            *(engine.now, pairs, x, at.dkv[layer], factor, at.n_tokens),
            **shape,
            AT=engine.weights.columns if positive else 0,
            POSITIVE=positive,
        )

    # queries: the part by interval rows
    if intervals:
        by_row = at.row_slopes[layer]
        sum_rows(engine, at, engine.now, n, by_row, 1.0)
        keys = by_head(engine.config, at.tables[layer, 0])
        add_product(by_head(engine.config, dq[:n]), by_row[:, :n], keys, scale)

    # through the linear layers
    multiply(at.dkv[layer][:n], engine.weights.product(layer, "key", 2), at.one[:n])
    multiply(dq[:n], engine.weights.product(layer, "query"), at.two[:n])


def _norm_slopes(
    engine: EngineState, n: int, slopes: tuple[Tensor, Tensor | None], x: Tensor,
    plus: Tensor | None, dx: Tensor, dropped: Tensor | None, name: str, site: int,
) -> None:  # fmt: skip
    (slope, more), offset = slopes, engine.weights.offset
    norms.norm_slopes[(n // (NORM["BM"] * NORM["TILES"]),)](
        *(engine.now, slope, slope if more is None else more, x),
        *(dx if plus is None else plus, dx, dx if dropped is None else dropped),
        *(*statistics(engine.config, engine.buffers_in_use(), name), engine.weights.params),
        offset(f"{name}.weight"),
        *(engine.scattered, offset(f"{name}.bias"), engine.key, site),
        B=engine.config.batch_size,
        **row_shape(engine.config) | NORM,
        MORE=more is not None,
        PLUS=plus is not None,
        DROPPED=dropped is not None,
        RATE=engine.config.dropout,
    )
