"""The launches that end a step: gradients of weights, the group loss, the update.

Letters: B batch, N tokens, T sequence, D width, K columns, H heads, R interval rows, L blocks.
"""

import math

from fpt_model.engines.gpu.groups import PAIRS_AT_ONCE
from fpt_model.engines.gpu.layout import BLOCK, aligned, power_of_two
from fpt_model.engines.jagged import adam, attention, sampled, tokens
from fpt_model.engines.jagged.products import ALIGNED, FIELDS, weight_grad
from fpt_model.engines.jagged.shapes import head_shape, pair_tables
from fpt_model.engines.jagged.state import LONG, EngineState, splits_of
from fpt_model.engines.jagged.weights import head_width
from fpt_model.engines.jagged.workspace import Workspace


def weight_sums(engine: EngineState, ws: Workspace) -> None:
    """From gradients of activations to those of weights."""
    config, weights, batch = engine.config, engine.weights, engine.config.batch_size
    width = power_of_two(min(weights.columns, 64))
    shape = head_shape(config)
    if not config.intervals:  # positions are part of the input, which is not by head
        shape |= {"KH": weights.columns, "GAPS": False}
    across = -(-shape["KH"] // width)

    # looked-up tables, then positions: beside the products, as they add to other places
    with engine.streams.on_side_stream(LONG):
        tokens.embedding_backward[(batch, -(-config.max_length // 32))](
            *(engine.meta, engine.key, engine.embedding_grads, weights.tables, ws.numbers),
            engine.source.numbers,
            *(ws.dx, math.sqrt(config.width)),
            BM=32,
            K=weights.columns,
            INPUTS=weights.inputs,
            POSITIONS=not config.intervals,
            RATE=config.dropout,
        )
        kinds = 2 if config.intervals else 1
        tokens.position_grad[(config.max_length, kinds, across)](
            *(engine.meta, weights.grads, engine.key, ws.dkv if config.intervals else ws.dx),
            *(*pair_tables(engine.weights)[2:], ws.n_tokens),
            B=batch,
            T=config.max_length,
            **shape,
            KINDS=kinds,
            LAYERS=config.blocks if config.intervals else 1,
            BB=power_of_two(min(batch, 64)),
            BW=width,
            RATE=config.dropout if config.intervals else 0,
        )

    # matrices, and the interval tables as blocks saw them
    heads = head_shape(config)
    for jobs in engine.jobs:
        weight_grad[(len(jobs.table), splits_of(jobs))](
            *(engine.meta, ws.arena, jobs.table, engine.product_parts, engine.product_size),
            B=batch,
            **{name: heads[name] for name in ("W", "STRIDE", "GAPS")},
            K=jobs.stride,
            BM=jobs.rows,
            BT=64,
            P=jobs.width,
            FIELDS=FIELDS,
            ALIGNED=ALIGNED,
            WRITTEN=jobs.aligned,
            num_warps=8,
            num_stages=jobs.stages,
        )

    # interval tables: what blocks saw, by their dropout
    if config.intervals:
        table = engine.table_size()
        factor = 1 / math.sqrt(head_width(engine.config)) / attention.LARGER.value
        raw = engine.product_parts[0, weights.size - weights.o_products :]
        tokens.table_grad[(-(-table // BLOCK), 2)](
            *(weights.grads, engine.key, raw, *pair_tables(engine.weights)[:2], factor),
            *(splits_of(engine.jobs[-1]), engine.product_size),
            TABLE=table,
            LAYERS=config.blocks,
            BLOCK=BLOCK,
            RATE=config.dropout,
        )


def group_loss_grad(engine: EngineState) -> None:
    """The group loss and its gradients."""
    config = engine.config
    if not len(engine.group_losses):
        return
    sampled.group_loss_grad[(len(engine.group_losses),)](
        *(engine.meta, engine.key, engine.weights.params, engine.embedding_grads),
        *(engine.weights.offset("users.weight"), engine.groups, engine.group_losses),
        *(engine.sequences.n_users, config.group_pairs),
        *(config.group_margin, config.group_weight),
        B=config.batch_size,
        W=config.user_width,
        WP=power_of_two(config.user_width),
        S=aligned(config.user_width),
        PAIRS=PAIRS_AT_ONCE,
    )


def update(engine: EngineState, ws: Workspace, count: int) -> None:
    """The step's loss, of `count` partial sums, and Adam."""
    config, weights, batch = engine.config, engine.weights, engine.config.batch_size

    # norms and loss
    adam.sum_up[(1,)](
        *(engine.meta, engine.block_squares, engine.spans, ws.losses, engine.group_losses),
        *(engine.norms, engine.record, count, config.l2),
        B=batch,
        TABLES=len(engine.spans),
        GROUPED=len(engine.group_losses),
        CHUNK=BLOCK,
    )

    # Adam
    adam.adam[(weights.size // BLOCK,)](
        # the step's tokens and number
        *(engine.meta, engine.key),
        # weights and moments
        *(weights.params, weights.fp16, weights.exp_avg, weights.exp_avg_sq),
        # gradients
        *(weights.grads, engine.embedding_grads, ws.item_parts, engine.product_parts),
        # norm penalty
        *(engine.table_of, engine.norms),
        # sizes
        *(weights.embedding_size, weights.o_products),
        *(ws.item_parts[0].numel(), engine.product_size, splits_of(engine.jobs[0])),
        # rates
        *(config.l2, config.learning_rate if engine.rates is None else engine.rates),
        *(config.beta1, config.beta2),
        B=batch,
        ITEM_SPLITS=len(ws.item_parts) if config.loss == "softmax" else 0,
        LAYER=weights.block_size,
        **head_shape(config),
        BLOCK=BLOCK,
        SCHEDULED=engine.rates is not None,
        DECAY=config.weight_decay,
        NORMS=weights.o_norms if config.weight_decay else 0,
    )
