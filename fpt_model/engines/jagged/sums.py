"""The launches that end a step: gradients of weights, the group loss, the update.

Letters: B batch, N tokens, T sequence, D width, K columns, H heads, R interval rows, L blocks.
"""

import math

from fpt_model.engines.gpu.groups import PAIRS_AT_ONCE
from fpt_model.engines.gpu.layout import BLOCK, aligned, power_of_two
from fpt_model.engines.jagged import adam, attention, sampled, tokens
from fpt_model.engines.jagged.buffers import Buffers
from fpt_model.engines.jagged.products import FIELDS, TILE, weight_slopes
from fpt_model.engines.jagged.shapes import (
    head_width,
    pair_tables,
)
from fpt_model.engines.jagged.state import EngineState


def weight_sums(engine: EngineState, at: Buffers) -> None:
    """From gradients of activations to those of weights."""
    config, weights, batch = engine.config, engine.weights, engine.config.batch_size
    width = power_of_two(min(weights.columns, 64))
    across = -(-config.width // width)

    # looked-up tables, then positions: beside the products, as they add to other places
    with engine.streams.on_side_stream():
        tokens.embedding_slopes[(batch, -(-config.max_length // 32))](
            *(engine.now, engine.key, engine.scattered, weights.tables, at.numbers),
            engine.source.numbers,
            *(at.dx, math.sqrt(config.width)),
            BM=32,
            K=weights.columns,
            INPUTS=weights.inputs,
            POSITIONS=not config.intervals,
            RATE=config.dropout,
        )
        kinds = 2 if config.intervals else 1
        tokens.place_slopes[(config.max_length, kinds, across)](
            *(engine.now, weights.grads, engine.key, at.dkv if config.intervals else at.dx),
            *(*pair_tables(engine.weights)[2:], at.n_tokens),
            B=batch,
            T=config.max_length,
            D=config.width,
            K=weights.columns,
            KINDS=kinds,
            LAYERS=config.blocks if config.intervals else 1,
            BB=power_of_two(min(batch, 64)),
            BW=width,
            RATE=config.dropout if config.intervals else 0,
        )

    # matrices, and the interval tables as blocks saw them, in one launch
    jobs = engine.jobs
    weight_slopes[(len(jobs.table), engine.splits)](
        *(engine.now, at.arena, jobs.table, engine.product_parts, engine.product_size),
        B=batch,
        BM=TILE,
        BT=64,
        P=power_of_two(weights.columns),
        FIELDS=FIELDS,
        ALIGNED=jobs.aligned,
        num_warps=8,
    )

    # interval tables: what blocks saw, by their dropout
    if config.intervals:
        table = at.tables[0, 0].numel()
        factor = 1 / math.sqrt(head_width(engine.config)) / attention.LARGER.value
        raw = engine.product_parts[0, weights.size - weights.o_products :]
        tokens.table_slopes[(-(-table // BLOCK), 2)](
            *(weights.grads, engine.key, raw, *pair_tables(engine.weights)[:2], factor),
            *(engine.splits, engine.product_size),
            TABLE=table,
            LAYERS=config.blocks,
            BLOCK=BLOCK,
            RATE=config.dropout,
        )


def group_slopes(engine: EngineState) -> None:
    """The group loss and its gradients."""
    config = engine.config
    if not len(engine.group_losses):
        return
    sampled.group_slopes[(len(engine.group_losses),)](
        *(engine.now, engine.key, engine.weights.params, engine.scattered),
        *(engine.weights.offset("users.weight"), engine.groups, engine.group_losses),
        *(engine.sequences.n_users, config.group_pairs),
        *(config.group_margin, config.group_weight),
        B=config.batch_size,
        W=config.user_width,
        WP=power_of_two(config.user_width),
        S=aligned(config.user_width),
        PAIRS=PAIRS_AT_ONCE,
    )


def update(engine: EngineState, at: Buffers, count: int) -> None:
    """The step's loss, of `count` partial sums, and Adam."""
    config, weights, batch = engine.config, engine.weights, engine.config.batch_size

    # norms and loss
    adam.sum_up[(1,)](
        *(engine.now, engine.block_squares, engine.spans, at.losses, engine.group_losses),
        *(engine.norms, engine.record, count, config.l2),
        B=batch,
        TABLES=len(engine.spans),
        GROUPED=len(engine.group_losses),
        CHUNK=BLOCK,
    )

    # Adam
    adam.adam[(weights.size // BLOCK,)](
        # the step's tokens and number
        *(engine.now, engine.key),
        # weights and moments
        *(weights.params, weights.rounded, weights.exp_avg, weights.exp_avg_sq),
        # gradients
        *(weights.grads, engine.scattered, at.item_parts, engine.product_parts),
        # norm penalty
        *(engine.table_of, engine.norms),
        # sizes
        *(weights.scattered, weights.o_products),
        *(at.item_parts[0].numel(), engine.product_size, engine.splits),
        # rates
        *(config.l2, config.learning_rate, config.beta1, config.beta2),
        B=batch,
        ITEM_SPLITS=len(at.item_parts) if config.loss == "softmax" else 0,
        BLOCK=BLOCK,
    )
