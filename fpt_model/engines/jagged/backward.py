"""The launches of the backward pass: from the loss to the gradients of activations.

Letters: B batch, N tokens, T sequence, D width, K columns, H heads, R interval rows, L blocks.
"""

import math
from typing import Any

from torch import Tensor

from fpt_model.engines.gpu import rng
from fpt_model.engines.gpu.layout import aligned, power_of_two
from fpt_model.engines.jagged import attention, norms, sampled, softmax
from fpt_model.engines.jagged.forward import combine, sum_by_bucket
from fpt_model.engines.jagged.products import add_product, multiply
from fpt_model.engines.jagged.shapes import (
    ROWS_AT_ONCE,
    attention_grid,
    attention_shape,
    by_head,
    interval_shape,
    norm_name,
    norm_shape,
    rng_stream_of,
    row_shape,
    softmax_tiles,
    statistics,
)
from fpt_model.engines.jagged.state import LONG, SHORT, EngineState
from fpt_model.engines.jagged.weights import head_width
from fpt_model.engines.jagged.workspace import Workspace

NORM = {"BM": 16, "TILES": 4, "num_warps": 4}  # rows of a tile, tiles of a program


def loss_backward(engine: EngineState, ws: Workspace, n: int) -> int:
    """Gradients of features and items; returns how many partial sums the loss has."""
    config, weights = engine.config, engine.weights
    sizes: dict[str, Any] = {"W": config.item_width, "K": weights.columns}
    sizes |= {"S": aligned(config.item_width)}
    sizes |= {"WP": power_of_two(config.item_width), "B": config.batch_size}

    # one sampled item against the target
    if config.loss == "bce":
        drawn = engine.negatives
        assert drawn is not None
        sampled.sampled_bce_backward[(n // ROWS_AT_ONCE,)](
            *(engine.meta, engine.key, ws.features, weights.params, weights.offset("items.weight")),
            *(ws.targets, ws.sequence, ws.negatives, drawn.gaps, drawn.firsts, drawn.counts),
            *(ws.dfeatures, engine.embedding_grads, ws.losses, engine.sequences.n_items),
            **sizes,
            BM=ROWS_AT_ONCE,
            SEARCH=drawn.search,
        )
        return n // ROWS_AT_ONCE

    # all items; the items' gradient runs beside the way back: nobody waits for it but Adam
    shared = (engine.meta, engine.seen, ws.sequence, ws.features, weights.fp16, ws.targets)
    items = engine.sequences.n_items, engine.seen.shape[1]
    sizes |= {"EXCLUDE_SEEN": engine.exclude_seen, "SMOOTHING": config.smoothing}
    for_tokens, for_items = softmax_tiles(
        engine.exclude_seen, sizes["WP"], smoothed=config.smoothing > 0
    )
    engine.streams.join_streams(LONG)
    softmax.feature_grad[(n // for_tokens["BM"],)](
        *(*shared, ws.dfeatures, ws.logs, ws.losses, *items), **sizes | for_tokens
    )
    with engine.streams.on_side_stream(LONG):
        softmax.item_grad[(-(-(items[0] + 1) // for_items["BN"]), len(ws.item_parts))](
            *(*shared, ws.logs, ws.item_parts, *items), **sizes | for_items
        )
    return n // for_tokens["BM"]


def backward(engine: EngineState, ws: Workspace, n: int) -> None:
    """Gradients of all but the tables, from that of the features."""
    blocks, rate = engine.config.blocks, engine.config.dropout

    # last norm, and the dropout of the last block's output
    stream = rng_stream_of(blocks - 1, rng.OUT)
    dz = ws.dz[blocks - 1]
    _layer_norm_backward(
        engine, n, (ws.dfeatures, None), ws.x[blocks], None, ws.dx, dz, "norm", stream
    )
    for layer in reversed(range(blocks)):
        # pointwise layers
        multiply(ws.dz[layer][:n], engine.weights.product(layer, "pointwise_2"), ws.one[:n])
        norms.relu_backward[(n // ROWS_AT_ONCE,)](
            ws.one, ws.hidden[layer], ws.du[layer], **row_shape(engine.config), RATE=rate
        )
        multiply(ws.du[layer][:n], engine.weights.product(layer, "pointwise_1"), ws.two[:n])

        # second norm; its output is the residual, too
        dsum = ws.dsum[layer]
        _layer_norm_backward(
            engine, n, (ws.dx, ws.two), ws.summed[layer], None, dsum, None, norm_name(layer, 1), 0,
            ws.dout[layer],
        )  # fmt: skip

        # attention
        _attention_backward(engine, ws, n, layer)

        # first norm, and the dropout of the block before
        before, stream = ws.dz[layer - 1] if layer else None, rng_stream_of(layer - 1, rng.OUT)
        name = norm_name(layer, 0)
        _layer_norm_backward(
            engine, n, (dsum, ws.two), ws.x[layer], ws.one, ws.dx, before, name, stream
        )


def _attention_backward(engine: EngineState, ws: Workspace, n: int, layer: int) -> None:
    """From the gradient of the sum, in `dsum` and `dout`, to those of the block's input.

    What is to be added to `dsum` for the normalised input comes to stand in `two`, the part of
    the input itself in `one`.
    """
    dout, dq, root = ws.dout[layer], ws.dq[layer], 1 / math.sqrt(head_width(engine.config))
    intervals = engine.config.intervals

    # products of every gradient with every interval row of the values
    if intervals:
        values = by_head(engine.config, ws.tables[layer, 1])
        multiply(by_head(engine.config, dout[:n]), values.transpose(1, 2), ws.by_bucket[:, :n])

    # gradients of scores
    shape, rate = attention_shape(engine.config, engine.meta), engine.config.dropout
    attention.attention_backward[attention_grid(engine.config, engine.meta, shape["BM"])](
        *(engine.meta, ws.kv[layer], ws.by_bucket, ws.pair_rows),
        *(ws.attn_out[layer], dout, ws.weights[layer], ws.d_scores, ws.sums, ws.n_tokens),
        **shape,
        **interval_shape(engine.config, ws),
        RATE=rate,
    )

    # keys and values, and through their linear layers, beside queries
    scale = root / attention.LARGER.value
    with engine.streams.on_side_stream(SHORT):
        of_keys = ws.d_scores, ws.q[layer], scale, False
        ways = of_keys, (ws.weights[layer], dout, 1 / (1 - rate), True)
        for pairs, x, factor, positive in ways:
            attention.key_value_grad[
                attention_grid(engine.config, engine.meta, shape["BN"], shape["WC"])
            ](
                *(engine.meta, pairs, x, ws.dkv[layer], factor, ws.n_tokens),
                **shape,
                AT=engine.weights.columns_by_head if positive else 0,
                POSITIVE=positive,
            )
        multiply(ws.dkv[layer][:n], engine.weights.product(layer, "key", 2), ws.one[:n])

    # queries: by keys, then by interval rows
    inputs = ws.d_scores, ws.kv[layer]
    combine(engine, ws, engine.meta, inputs, dq, scale, values=False)
    if intervals:
        by_bucket = ws.bucket_grads[layer]
        sum_by_bucket(engine, ws, engine.meta, n, by_bucket, 1.0)
        keys = by_head(engine.config, ws.tables[layer, 0])
        add_product(by_head(engine.config, dq[:n]), by_bucket[:, :n], keys, scale)
    multiply(dq[:n], engine.weights.product(layer, "query"), ws.two[:n])
    engine.streams.join_streams(SHORT)


def _layer_norm_backward(
    engine: EngineState, n: int, grads: tuple[Tensor, Tensor | None], x: Tensor,
    plus: Tensor | None, dx: Tensor, dropped: Tensor | None, name: str, stream: int,
    dx_by_head: Tensor | None = None,
) -> None:  # fmt: skip
    (grad, more), offset = grads, engine.weights.offset
    norms.layer_norm_backward[(n // (NORM["BM"] * NORM["TILES"]),)](
        *(engine.meta, grad, grad if more is None else more, x),
        *(dx if plus is None else plus, dx, dx if dx_by_head is None else dx_by_head),
        dx if dropped is None else dropped,
        *(*statistics(engine.config, engine.workspace_in_use(), name), engine.weights.params),
        offset(f"{name}.weight"),
        *(engine.embedding_grads, offset(f"{name}.bias"), engine.key, stream),
        B=engine.config.batch_size,
        **norm_shape(engine.config, by_head=dx_by_head is not None) | NORM,
        MORE=more is not None,
        PLUS=plus is not None,
        DROPPED=dropped is not None,
        RATE=engine.config.dropout,
    )
