"""The launches of a step, in order: windows and dropout, blocks, loss, back, sums, Adam.

Letters: S seeds, B batch, T sequence, D width, R interval rows, L blocks.
"""

import math
from typing import TYPE_CHECKING, Any

from torch import Tensor

from fpt_model.fused import block, inputs, loss, sums, update
from fpt_model.fused.layout import BLOCK, power_of_two
from fpt_model.fused.scratch import Batch, Scratch

if TYPE_CHECKING:
    from fpt_model.fused.engine import Engine

WARPS = 8  # of kernels that go by position
ROWS_AT_ONCE, PLACES_AT_ONCE = 64, 16  # of a table, in sums
STAGES = 3  # loads in flight, in sums


def train_step(engine: "Engine", step: int) -> None:
    """One step of all seeds: step `step` of the epoch, whose draws are there.

    What does not wait for one another runs side by side, where the engine has streams for it.
    """
    config = engine.config
    assert engine.batch is not None
    if step + 1 < engine.steps:
        with engine.beside(0):
            draw(engine, engine.batch, step + 1)
    gradients(engine, engine.batch, step)
    if config.group_weight and config.user_width:
        _groups(engine, step)
    _adam(engine, step)


def draw(engine: "Engine", batch: Batch, step: int) -> None:
    """Dropout and negatives of a step."""
    at, config = engine.scratch, engine.config
    if config.dropout:
        pairs = at.mask_size // 2
        inputs.draw[(len(at.users), -(-pairs // BLOCK))](
            *(engine.keys, engine.clock, step, at.masks[step % 2], config.batch_size, pairs),
            PAIRS=BLOCK,
            RATE=config.dropout,
        )
    inputs.draw_negatives[(len(at.users),)](
        *(engine.keys, engine.clock, step, batch.users, engine.order, engine.n_rows),
        *(engine.gaps, engine.firsts, engine.counts, engine.sequences.n_items),
        *(at.negatives[step % 2], config.batch_size),
        T=engine.layout.length,
        SEARCH=engine.search,
    )


def gradients(engine: "Engine", batch: Batch, step: int) -> None:
    """All of a step but its draws, the group loss and the update."""
    config, at = engine.config, engine.scratch
    masks = at.masks[step % 2]
    prepare(engine, at, batch, engine.order, step, masks)
    for layer in range(config.blocks):
        forward(engine, at, batch, layer, masks)
    _loss(engine, at, at.negatives[step % 2])
    with engine.beside(1):
        _norms_and_loss(engine, at, step)
    for layer in reversed(range(config.blocks)):
        _backward(engine, at, batch, layer, masks)
    with engine.beside(1):
        _weight_slopes(engine, at)
    if config.intervals:
        with engine.beside(2):
            _interval_slopes(engine, at, step)
    _embedding_slopes(engine, at, masks)
    if config.intervals:
        _place_slopes(engine, at, step)
    else:
        _input_place_slopes(engine, at)
    engine.meet()


def prepare(
    engine: "Engine", to: Scratch, batch: Batch, order: Tensor, step: int, masks: Tensor | None
) -> None:
    """Batch `step` of the windows in `order` (S, N), as the first block's input in `to`.

    `masks` as drawn; None to rank.
    """
    config, layout = engine.config, engine.layout
    train = masks is not None
    rates = (config.dropout, config.item_dropout, config.user_dropout) if train else (0.0,) * 3
    ids = to.ids
    inputs.prepare[(len(to.users),)](
        *(engine.params, layout.offset("items.weight"), layout.offset("weeks.weight")),
        *(layout.offset("users.weight"), layout.offset("positions.0")),
        *(engine.keys, engine.clock, step),
        *(batch.items, batch.weeks, batch.targets, batch.users),
        *(0 if batch.shared else engine.n_rows, order, order.shape[1]),
        *(engine.sequences.n_items, engine.sequences.n_users, to.x[0] if masks is None else masks),
        *(to.mask_size, to.x[0], ids["items"], ids["weeks"], to.users, ids["targets"]),
        *(to.chosen, layout.size, len(to.users) // engine.seeds, config.max_length),
        math.sqrt(config.width),
        *_shape(engine),
        **_widths(engine),
        INTERVALS=config.intervals,
        TRAIN=train,
        DROP=rates[0] > 0,
        ITEM_RATE=rates[1],
        USER_RATE=rates[2],
        num_warps=WARPS,
    )
    if config.intervals:
        table, places = layout.rows * layout.width, layout.length * layout.width
        inputs.drop_tables[(engine.seeds, 2 * config.blocks, -(-max(table, places) // BLOCK))](
            *(engine.params, layout.offset("intervals.0"), layout.offset("intervals.1")),
            *(layout.offset("positions.0"), layout.offset("positions.1")),
            *(engine.keys, engine.clock, step, engine.tables, engine.places, layout.size),
            TABLE=table,
            PLACES=places,
            BLOCK=BLOCK,
            LAYERS=config.blocks,
            RATE=rates[0],
        )


def forward(engine: "Engine", at: Scratch, batch: Batch, layer: int, masks: Tensor | None) -> None:
    """A block; `at.x` are its input and output in turn. `masks` as drawn; None to rank."""
    config, train = engine.config, masks is not None
    x_in, x_out = at.x[layer % 2], at.x[1 - layer % 2]
    saved = [x_in] * 10
    if train:
        halves = {name: tile[layer] for name, tile in at.tiles.items()}
        saved = [halves["x"], halves["hat"], at.rsd[layer], halves["q"], halves["k"], halves["v"]]
        saved += [at.a[layer], halves["hat2"], at.rsd2[layer], halves["h"]]
    block.block_forward[(len(at.users),)](
        *(engine.params, engine.halves, *engine.offsets[layer], engine.bias),
        *(x_in, x_out, at.ids["items"], at.chosen, batch.look_ups, engine.tables, engine.places),
        *_layer_masks(engine, at, layer, x_in if masks is None else masks),
        *(*saved, at.by_row, at.value_sums[layer if train else 0], engine.layout.size),
        *(len(at.users) // engine.seeds, math.log2(math.e) / math.sqrt(config.width), layer),
        *_shape(engine),
        **_block(engine),
        TRAIN=train,
        DROP=train and config.dropout > 0,
        num_warps=_warps(engine),
        num_stages=1,
    )


def _loss(engine: "Engine", at: Scratch, negatives: Tensor) -> None:
    layout, config = engine.layout, engine.config
    loss.loss_and_slopes[(len(at.users),)](
        *(engine.params, layout.offset("items.weight"), layout.offset("norm.weight")),
        *(engine.scattered, at.x[config.blocks % 2], at.ids["targets"], negatives),
        *(at.dx, at.last_hat, at.last_dn, at.losses, layout.size, layout.looked_up),
        config.batch_size,
        *_shape(engine),
        N=config.width,
        IW=config.item_width,
        IP=power_of_two(config.item_width),
        num_warps=WARPS,
    )


def _backward(engine: "Engine", at: Scratch, batch: Batch, layer: int, masks: Tensor) -> None:
    config = engine.config
    halves = {name: tile[layer] for name, tile in at.tiles.items()}
    block.block_backward[(len(at.users),)](
        *(engine.params, engine.halves, *engine.offsets[layer]),
        *(at.dx, at.chosen, batch.look_ups, engine.tables),
        *_layer_masks(engine, at, layer, masks),
        *(halves["hat"], at.rsd[layer], halves["q"], halves["k"], halves["v"], at.a[layer]),
        *(halves["hat2"], at.rsd2[layer], halves["h"]),
        *(halves[name] for name in ("dn", "dq", "dk", "dv", "dn2", "do", "du", "dz")),
        *(at.by_row, at.key_sums[layer], engine.layout.size, config.batch_size),
        *(1 / math.sqrt(config.width), layer),
        *_shape(engine),
        **_block(engine),
        RATE=config.dropout,
        num_warps=_warps(engine),
        num_stages=1,
    )


def _embedding_slopes(engine: "Engine", at: Scratch, masks: Tensor) -> None:
    layout, config = engine.layout, engine.config
    inputs.embedding_slopes[(len(at.users),)](
        *(engine.scattered, layout.offset("items.weight"), layout.offset("weeks.weight")),
        *(layout.offset("users.weight"), at.dx, at.ids["items"], at.ids["weeks"], at.users),
        *(masks, at.mask_size, layout.looked_up, config.batch_size, math.sqrt(config.width)),
        *_shape(engine),
        **_widths(engine),
        DROP=config.dropout > 0,
        num_warps=WARPS,
    )


def _weight_slopes(engine: "Engine", at: Scratch) -> None:
    tiles, layers = at.tiles, engine.config.blocks
    sums.weight_slopes[(engine.seeds, 5 * layers + 1, engine.splits)](
        *(engine.dense, engine.matrices, engine.norm_offsets, engine.params),
        *(tiles[name] for name in ("hat", "x", "hat2", "h")),
        at.last_hat,
        *(tiles[name] for name in ("dq", "dk", "dv", "du", "dz", "dn", "dn2")),
        *(at.last_dn, engine.layout.size, *_dense(engine)[:2], engine.bias, *_dense(engine)[2:]),
        PER_SPLIT=_per_split(engine),
        T=engine.layout.length,
        D=engine.layout.width,
        LAYERS=layers,
        STAGES=STAGES,
        num_warps=_warps(engine),
    )


def _interval_slopes(engine: "Engine", at: Scratch, step: int) -> None:
    layout = engine.layout
    chunks = -(-layout.rows // ROWS_AT_ONCE)
    sums.interval_slopes[(engine.seeds, 2 * chunks, engine.splits)](
        *(engine.dense, layout.offset("intervals.0"), layout.offset("intervals.1")),
        *(engine.keys, engine.clock, step, at.key_sums, at.value_sums),
        *(at.tiles["q"], at.tiles["do"], *_dense(engine)),
        PER_SPLIT=_per_split(engine),
        T=layout.length,
        D=layout.width,
        R=layout.rows,
        C=ROWS_AT_ONCE,
        LAYERS=engine.config.blocks,
        RATE=engine.config.dropout,
        STAGES=STAGES,
        num_warps=_warps(engine),
    )


def _place_slopes(engine: "Engine", at: Scratch, step: int) -> None:
    layout = engine.layout
    grid = (engine.seeds, 2 * layout.length // PLACES_AT_ONCE, engine.splits)
    sums.place_slopes[grid](
        *(engine.dense, layout.offset("positions.0"), layout.offset("positions.1")),
        *(engine.keys, engine.clock, step, at.tiles["dk"], at.tiles["dv"]),
        *_dense(engine),
        PER_SPLIT=_per_split(engine),
        T=layout.length,
        D=layout.width,
        C=PLACES_AT_ONCE,
        LAYERS=engine.config.blocks,
        RATE=engine.config.dropout,
    )


def _input_place_slopes(engine: "Engine", at: Scratch) -> None:
    layout = engine.layout
    sums.input_place_slopes[(engine.seeds, layout.length // PLACES_AT_ONCE, engine.splits)](
        *(engine.dense, layout.offset("positions.0"), at.dx, *_dense(engine)),
        PER_SPLIT=_per_split(engine),
        T=layout.length,
        D=layout.width,
        C=PLACES_AT_ONCE,
    )


def _groups(engine: "Engine", step: int) -> None:
    layout, config = engine.layout, engine.config
    update.group_slopes[(engine.seeds,)](
        *(engine.params, engine.scattered, layout.offset("users.weight")),
        *(engine.keys, engine.clock, step, engine.n_real, engine.steps),
        *(engine.groups, engine.record, layout.size, layout.looked_up),
        *(engine.sequences.n_users, config.group_pairs, config.group_margin, config.group_weight),
        PAIRS=power_of_two(config.group_pairs),
        UP=power_of_two(config.user_width),
    )


def _norms_and_loss(engine: "Engine", at: Scratch, step: int) -> None:
    update.sum_up[(engine.seeds,)](
        *(engine.block_squares, engine.spans, at.losses, engine.n_real, engine.record),
        *(engine.norms, engine.layout.size // BLOCK, engine.config.batch_size, step),
        *(engine.steps, engine.config.l2),
        TABLES=len(engine.spans),
        B=power_of_two(engine.config.batch_size),
        CHUNK=256,
        CHUNKS=engine.norm_chunks,
    )


def _adam(engine: "Engine", step: int) -> None:
    layout, config = engine.layout, engine.config
    n_blocks = layout.size // BLOCK
    update.adam[(n_blocks, engine.seeds)](
        *(engine.params, engine.halves, engine.moments, engine.squares),
        *(engine.scattered, engine.dense, engine.penalised, engine.norms, engine.block_squares),
        *(engine.n_real, engine.clock, step, engine.steps, layout.size, layout.looked_up),
        *(layout.size - layout.looked_up, n_blocks),
        *(config.l2, config.learning_rate, config.beta1, config.beta2),
        SPLIT=engine.splits,
        TABLES=len(engine.spans),
        BLOCK=BLOCK,
    )


def _warps(engine: "Engine") -> int:
    """Of kernels with products: as few as have registers for their tiles, so that two fit in."""
    return 4 if engine.layout.width <= 64 else 8


def _shape(engine: "Engine") -> tuple[int, int]:
    return engine.layout.length, engine.layout.width


def _widths(engine: "Engine") -> dict[str, int]:
    config = engine.config
    widths = {"IW": config.item_width, "WW": config.week_width, "UW": config.user_width}
    return widths | {f"{name[0]}P": power_of_two(width) for name, width in widths.items()}


def _block(engine: "Engine") -> dict[str, Any]:
    return {
        "N": engine.config.width,
        "R": engine.layout.rows,
        "C": engine.layout.chunk,
        "LAYERS": engine.config.blocks,
        "INTERVALS": engine.config.intervals,
    }


def _layer_masks(
    engine: "Engine", at: Scratch, layer: int, masks: Tensor
) -> tuple[Tensor, int, int]:
    """The masks, how many an example has, and where a layer's begin."""
    length, width = _shape(engine)
    own = length * length + 2 * length * width
    return masks, at.mask_size, length * width + layer * own


def _dense(engine: "Engine") -> tuple[int, int, int, int]:
    layout = engine.layout
    size = layout.size - layout.looked_up
    return size, layout.looked_up, engine.config.batch_size, engine.splits


def _per_split(engine: "Engine") -> int:
    return -(-engine.config.batch_size // engine.splits)
