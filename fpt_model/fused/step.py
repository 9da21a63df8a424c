"""The launches of a step, in order: windows and dropout, blocks, loss, back, sums, Adam.

A launch of the chain, from `enter` to Adam, may begin while the one before it ends; the others run
beside it and are over before Adam begins.

Letters: S seeds, B batch, T sequence, D width, R interval rows, L blocks.
"""

import math
from typing import TYPE_CHECKING, Any

from torch import Tensor

from fpt_model.fused import back as backward
from fpt_model.fused import forward as network
from fpt_model.fused import inputs, sums, update
from fpt_model.fused.groups import PAIRS_AT_ONCE
from fpt_model.fused.layout import BLOCK, power_of_two
from fpt_model.fused.scratch import Batch, Scratch

if TYPE_CHECKING:
    from fpt_model.fused.engine import Engine

# Of kernels that take a tile of a sequence: its rows, warps, and registers of a thread at most.
NARROW = (16, 4, 128)  # up to 64 columns: four programs fit on a processor
WIDE = (32, 8, 128)  # two programs
PIECE = 64  # rows or columns of a matrix that such a kernel takes at a time
ROWS_AT_ONCE, PLACES_AT_ONCE = 64, 16  # of a table, in sums
COLUMNS_AT_ONCE = 64  # of gradients, in sums
STAGES = 3  # loads in flight, in sums


def train_step(engine: "Engine", step: int) -> None:
    """One step of all seeds: step `step` of the epoch, whose draws are there.

    What does not wait for one another runs side by side, where the engine has streams for it.
    """
    assert engine.batch is not None
    if step + 1 < engine.steps:
        with engine.beside(0):
            draw(engine, engine.batch, step + 1)
    gradients(engine, engine.batch, step)
    _adam(engine, step)


def start(engine: "Engine", batch: Batch, step: int) -> None:
    """What a step finds that no other went before."""
    draw(engine, batch, step)
    if engine.config.intervals:
        drop_tables(engine, step, train=True)
    _count_targets(engine, batch)  # the last one: `enter` looks at draws before this one ends


def _count_targets(engine: "Engine", batch: Batch) -> None:
    """Positions of each step of the epoch that have one."""
    inputs.count_targets[(engine.seeds, engine.steps)](
        *(batch.real, 0 if batch.shared else engine.n_rows, engine.order, engine.n_rows),
        *(engine.n_real, engine.config.batch_size),
        B=power_of_two(engine.config.batch_size),
    )


def draw(engine: "Engine", batch: Batch, step: int) -> None:
    """What a step needs of windows, negatives and dropout, for which weights are not needed."""
    at, config = engine.scratch, engine.config
    choose(engine, at, batch, engine.order, step, train=True)
    if config.dropout:
        pairs = at.mask_size // 2
        inputs.draw[(len(at.x), -(-pairs // BLOCK))](
            *(engine.keys, engine.clock, step, at.drawn[step % 2].masks),
            *(config.batch_size, pairs),
            PAIRS=BLOCK,
            RATE=config.dropout,
        )


def choose(
    engine: "Engine", at: Scratch, batch: Batch, order: Tensor, step: int, *, train: bool
) -> None:
    """Batch `step` of the windows in `order` (S, N), with negatives to train."""
    config, drawn = engine.config, at.drawn[step % 2]
    inputs.choose[(len(at.x),)](
        *(engine.keys, engine.clock, step, batch.items, batch.weeks, batch.targets, batch.users),
        *(batch.real, 0 if batch.shared else engine.n_rows, order, order.shape[1]),
        *(engine.gaps, engine.firsts, engine.counts),
        *(engine.sequences.n_items, engine.sequences.n_users),
        *(drawn.items, drawn.weeks, drawn.targets, drawn.negatives),
        *(drawn.users, drawn.chosen, drawn.begins),
        *(len(at.x) // engine.seeds, config.max_length),
        T=engine.layout.length,
        SEARCH=engine.search,
        TRAIN=train,
        ITEM_RATE=config.item_dropout if train else 0.0,
        USER_RATE=config.user_dropout if train else 0.0,
    )


def gradients(engine: "Engine", batch: Batch, step: int) -> None:
    """All of a step but its draws and the update."""
    at, layers = engine.scratch, engine.config.blocks
    forward(engine, at, batch, step, train=True)
    for layer in reversed(range(layers)):
        _back(engine, at, batch, layer, step)
        if layer == layers - 1:
            with engine.beside(0):
                _losses(engine, at, step)
    _sums(engine, at, step)
    _leave(engine, at, step)
    if not engine.config.intervals:
        _input_place_slopes(engine, at, step)
    engine.meet()


def _sums(engine: "Engine", at: Scratch, step: int) -> None:
    """Gradients of weights; what takes longest begins first."""
    launches = [_key_slopes, _weight_slopes]
    if not _is_narrow(engine):
        launches.reverse()
    if engine.config.intervals:
        launches.append(_interval_slopes)
    for side, launch in enumerate(launches, 1):
        with engine.beside(side):
            launch(engine, at, step)


def forward(engine: "Engine", at: Scratch, batch: Batch, step: int, *, train: bool) -> None:
    """From what was drawn for a step to what the last block gives, `at.x`.

    Tables are as `drop_tables` left them.
    """
    _enter(engine, at, step, train=train)
    for layer in range(engine.config.blocks):
        _attend(engine, at, batch, layer, step, train=train)


def drop_tables(engine: "Engine", step: int, *, train: bool) -> None:
    """Interval and position vectors with their dropout, or without to rank."""
    inputs.drop_tables[(engine.layout.size // BLOCK, engine.seeds)](
        *(engine.params, engine.penalised, engine.spans, engine.keys, engine.clock, step),
        *(engine.tables, engine.places, engine.layout.size),
        **_dropped(engine),
        RATE=engine.config.dropout if train else 0.0,
    )


def _enter(engine: "Engine", at: Scratch, step: int, *, train: bool) -> None:
    config, layout, drawn = engine.config, engine.layout, at.drawn[step % 2]
    network.enter[_grid(engine, at)](
        *(engine.params, engine.halves, *_embeddings(engine), layout.offset("positions.0")),
        *(layout.blocks, drawn.items, drawn.weeks, drawn.users, drawn.begins),
        *(drawn.masks, at.mask_size, engine.places, at.tiles, at.rsd if train else at.x, at.x),
        *(layout.size, len(at.x) // engine.seeds, math.sqrt(config.width)),
        **_shape(engine),
        N=config.width,
        **_widths(engine),
        INTERVALS=config.intervals,
        TRAIN=train,
        RATE=config.dropout if train else 0.0,
        **_options(engine),
    )


def _attend(
    engine: "Engine", at: Scratch, batch: Batch, layer: int, step: int, *, train: bool
) -> None:
    config, drawn = engine.config, at.drawn[step % 2]
    network.attend[_grid(engine, at)](
        *(engine.params, engine.halves, engine.layout.blocks, at.x),
        *(drawn.items, drawn.begins, drawn.chosen, batch.look_ups, engine.tables, engine.places),
        *(drawn.masks, at.mask_size, at.tiles, at.squares if train else at.x),
        *(at.rsd if train else at.x, at.sums, engine.layout.size, len(at.x) // engine.seeds),
        *(math.log2(math.e) / math.sqrt(config.width), layer),
        **_shape(engine),
        **_block(engine, layer),
        TRAIN=train,
        RATE=config.dropout if train else 0.0,
        **_options(engine),
    )


def _back(engine: "Engine", at: Scratch, batch: Batch, layer: int, step: int) -> None:
    layout, config, drawn = engine.layout, engine.config, at.drawn[step % 2]
    backward.back[_grid(engine, at)](
        *(engine.params, engine.halves, layout.offset("items.weight")),
        *(layout.offset("norm.weight"), layout.blocks, engine.scattered, at.x),
        *(drawn.targets, drawn.negatives, at.dx, at.losses),
        *(drawn.begins, drawn.chosen, batch.look_ups, engine.tables, drawn.masks, at.mask_size),
        *(at.tiles, at.squares, at.rsd, at.sums),
        *(layout.size, layout.looked_up, config.batch_size, 1 / math.sqrt(config.width), layer),
        **_shape(engine),
        **_block(engine, layer),
        IW=config.item_width,
        IP=power_of_two(config.item_width),
        RATE=config.dropout,
        **_options(engine),
    )


def _leave(engine: "Engine", at: Scratch, step: int) -> None:
    layout, config, drawn = engine.layout, engine.config, at.drawn[step % 2]
    backward.leave[_grid(engine, at)](
        *(engine.halves, *_embeddings(engine), layout.blocks, engine.scattered, at.dx),
        *(drawn.items, drawn.weeks, drawn.users, drawn.begins, drawn.masks, at.mask_size),
        *(at.tiles, at.squares, layout.size, layout.looked_up, config.batch_size),
        math.sqrt(config.width),
        **_shape(engine),
        **_widths(engine),
        INTERVALS=config.intervals,
        RATE=config.dropout,
        **_options(engine),
    )


def _weight_slopes(engine: "Engine", at: Scratch, step: int) -> None:
    layout, config = engine.layout, engine.config
    columns = min(COLUMNS_AT_ONCE, layout.width)
    kinds = 3 * config.blocks + 1  # with the last norm
    sums.weight_slopes[(engine.seeds, kinds * layout.width // columns, engine.splits)](
        *(engine.dense, engine.params, layout.blocks, layout.offset("norm.weight")),
        *(at.drawn[step % 2].begins, at.tiles, layout.size, *_dense(engine)),
        *(config.batch_size, engine.splits),
        W=columns,
        **_sums_shape(engine),
    )


def _key_slopes(engine: "Engine", at: Scratch, step: int) -> None:
    layout, config = engine.layout, engine.config
    columns = min(COLUMNS_AT_ONCE, layout.width)
    kinds = 2 * config.blocks
    sums.key_slopes[(engine.seeds, kinds * layout.width // columns, engine.splits)](
        *(engine.dense, layout.blocks),
        *(layout.offset("positions.0"), layout.offset("positions.1")),
        *(engine.keys, engine.clock, step, at.drawn[step % 2].begins, at.tiles, at.squares),
        *(*_dense(engine), layout.shared, config.batch_size, engine.splits),
        W=columns,
        INTERVALS=config.intervals,
        RATE=config.dropout,
        **_sums_shape(engine),
    )


def _interval_slopes(engine: "Engine", at: Scratch, step: int) -> None:
    layout, config = engine.layout, engine.config
    kinds = 2 * config.blocks * -(-layout.rows // ROWS_AT_ONCE)
    sums.interval_slopes[(engine.seeds, kinds, engine.splits)](
        *(engine.dense, layout.offset("intervals.0"), layout.offset("intervals.1")),
        *(engine.keys, engine.clock, step, at.drawn[step % 2].begins, at.sums, at.tiles),
        *(*_dense(engine), layout.shared, config.batch_size, engine.splits),
        R=layout.rows,
        C=ROWS_AT_ONCE,
        RATE=config.dropout,
        **_sums_shape(engine),
    )


def _input_place_slopes(engine: "Engine", at: Scratch, step: int) -> None:
    layout, config = engine.layout, engine.config
    sums.input_place_slopes[(engine.seeds, layout.length // PLACES_AT_ONCE, engine.splits)](
        *(engine.dense, layout.offset("positions.0"), at.drawn[step % 2].begins, at.dx),
        *(*_dense(engine), config.batch_size, engine.splits),
        PER_SPLIT=_per_split(engine),
        T=layout.length,
        D=layout.width,
        C=PLACES_AT_ONCE,
    )


def _losses(engine: "Engine", at: Scratch, step: int) -> None:
    if engine.group_losses.shape[1]:
        _groups(engine, step)
    _norms_and_loss(engine, at, step)


def _groups(engine: "Engine", step: int) -> None:
    layout, config = engine.layout, engine.config
    update.group_slopes[(engine.seeds, engine.group_losses.shape[1] // PAIRS_AT_ONCE)](
        *(engine.params, engine.scattered, layout.offset("users.weight")),
        *(engine.keys, engine.clock, step, engine.n_real, engine.steps),
        *(engine.groups, engine.group_losses, layout.size, layout.looked_up),
        *(engine.sequences.n_users, config.group_pairs, config.group_margin, config.group_weight),
        PAIRS=PAIRS_AT_ONCE,
        UP=power_of_two(config.user_width),
    )


def _norms_and_loss(engine: "Engine", at: Scratch, step: int) -> None:
    positions = engine.config.batch_size * engine.layout.length
    update.sum_up[(engine.seeds,)](
        *(engine.block_squares, engine.spans, at.losses, engine.group_losses, engine.n_real),
        *(engine.record, engine.norms, engine.layout.size // BLOCK, positions, step),
        *(engine.steps, engine.config.l2),
        TABLES=len(engine.spans),
        P=power_of_two(positions),
        PAIRS=engine.group_losses.shape[1],
        CHUNK=256,
        CHUNKS=engine.norm_chunks,
    )


def _adam(engine: "Engine", step: int) -> None:
    layout, config = engine.layout, engine.config
    n_blocks = layout.size // BLOCK
    update.adam[(n_blocks, engine.seeds)](
        *(engine.params, engine.halves, engine.moments, engine.squares),
        *(engine.scattered, engine.dense, engine.penalised, engine.spans, engine.norms),
        *(engine.block_squares, engine.n_real, engine.keys, engine.clock, step, engine.steps),
        *(engine.tables, engine.places, layout.size, layout.looked_up),
        *(engine.dense.shape[2], layout.shared, n_blocks),
        *(config.l2, config.learning_rate, config.beta1, config.beta2),
        SPLIT=engine.splits,
        TABLES=len(engine.spans),
        **_dropped(engine),
        INTERVALS=config.intervals,
        RATE=config.dropout,
        OVERLAP=engine.overlaps,
    )


def _dropped(engine: "Engine") -> dict[str, int]:
    layout = engine.layout
    table, places = layout.rows * layout.width, layout.length * layout.width
    return {"TABLE": table, "PLACES": places, "BLOCK": BLOCK, "LAYERS": engine.config.blocks}


def _is_narrow(engine: "Engine") -> bool:
    return engine.layout.width <= 64


def _tile(engine: "Engine") -> tuple[int, int, int]:
    return NARROW if _is_narrow(engine) else WIDE


def _rows(engine: "Engine") -> int:
    return min(_tile(engine)[0], engine.layout.length)


def _grid(engine: "Engine", at: Scratch) -> tuple[int]:
    return (len(at.x) * engine.layout.length // _rows(engine),)


def _options(engine: "Engine") -> dict[str, int]:
    """Of launches that wait for the one before and no other."""
    _, warps, registers = _tile(engine)
    options = {"num_warps": warps, "num_stages": 1, "maxnreg": registers}
    overlap = {"launch_pdl": True} if engine.overlaps else {}
    return options | overlap | {"OVERLAP": engine.overlaps}


def _shape(engine: "Engine") -> dict[str, int]:
    layout = engine.layout
    lengths = {"T": layout.length, "M": _rows(engine)}
    lengths |= {"P": min(PIECE, layout.width), "D": layout.width}
    return lengths | {"LAYERS": engine.config.blocks}


def _sums_shape(engine: "Engine") -> dict[str, int]:
    """Of sums over a part of the batch, from what tiles saved."""
    lengths = {"T": engine.layout.length, "D": engine.layout.width, "LAYERS": engine.config.blocks}
    return lengths | {"PER_SPLIT": _per_split(engine), "STAGES": STAGES}


def _embeddings(engine: "Engine") -> tuple[int, ...]:
    tables = ("items", "weeks", "users")
    return tuple(engine.layout.offset(f"{table}.weight") for table in tables)


def _widths(engine: "Engine") -> dict[str, int]:
    config = engine.config
    widths = {"IW": config.item_width, "WW": config.week_width, "UW": config.user_width}
    return widths | {f"{name[0]}P": power_of_two(width) for name, width in widths.items()}


def _block(engine: "Engine", layer: int) -> dict[str, Any]:
    return {
        "N": engine.config.width,
        "R": engine.layout.rows,
        "C": engine.layout.chunk,
        "LAST": layer == engine.config.blocks - 1,
        "INTERVALS": engine.config.intervals,
    }


def _dense(engine: "Engine") -> tuple[int, int]:
    return engine.dense.shape[2], engine.layout.looked_up


def _per_split(engine: "Engine") -> int:
    """Sequences of a part of the batch, a power of two."""
    return 1 << (-(-engine.config.batch_size // engine.splits) - 1).bit_length()
