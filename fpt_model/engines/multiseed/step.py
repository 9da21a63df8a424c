"""The launches of a step, in order: windows and dropout, blocks, loss, back, sums, Adam.

A launch of the chain, from `enter` to Adam, may begin while the one before it ends; the others run
beside it and are over before Adam begins.

Letters: S seeds, B batch, T sequence, D width, R interval rows, L blocks.
"""

from torch import Tensor

from fpt_model.engines.gpu.groups import PAIRS_AT_ONCE
from fpt_model.engines.gpu.layout import BLOCK, power_of_two
from fpt_model.engines.multiseed import chain, inputs, summing, update
from fpt_model.engines.multiseed.scratch import Batch, Scratch
from fpt_model.engines.multiseed.state import EngineState


def train_step(engine: EngineState, step: int) -> None:
    """One step of all seeds: step `step` of the epoch, whose draws are there.

    What does not wait for one another runs side by side, where the engine has streams for it.
    """
    assert engine.batch is not None

    # the next step's draws, beside this step: they need no weights
    if step + 1 < engine.steps:
        with engine.streams.on_side_stream(0):
            draw(engine, engine.batch, step + 1)

    gradients(engine, engine.batch, step)
    _adam(engine, step)


def start(engine: EngineState, batch: Batch, step: int) -> None:
    """What a step finds that no other went before."""
    draw(engine, batch, step)
    if engine.config.intervals:
        drop_tables(engine, step, train=True)
    _count_targets(engine, batch)  # the last one: `enter` looks at draws before this one ends


def _count_targets(engine: EngineState, batch: Batch) -> None:
    """Positions of each step of the epoch that have one."""
    inputs.count_targets[(engine.seeds, engine.steps)](
        *(batch.real, 0 if batch.shared else engine.n_rows, engine.order, engine.n_rows),
        *(engine.n_real, engine.config.batch_size),
        B=power_of_two(engine.config.batch_size),
    )


def draw(engine: EngineState, batch: Batch, step: int) -> None:
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
    engine: EngineState, at: Scratch, batch: Batch, order: Tensor, step: int, *, train: bool
) -> None:
    """Batch `step` of the windows in `order` (S, N), with negatives to train."""
    config, drawn, negatives = engine.config, at.drawn[step % 2], engine.negatives
    inputs.choose[(len(at.x),)](
        # random bits
        *(engine.keys, engine.clock, step),
        # windows, which of them, and what their users have not met
        *(batch.tokens, batch.targets, batch.users, batch.real),
        *(0 if batch.shared else engine.n_rows, order, order.shape[1]),
        *(negatives.gaps, negatives.firsts, negatives.counts),
        *(engine.sequences.n_items, engine.sequences.n_users),
        # what comes of it
        *(drawn.tokens, drawn.targets, drawn.negatives),
        *(drawn.users, drawn.chosen, drawn.begins),
        # sizes
        *(len(at.x) // engine.seeds, config.max_length),
        T=engine.layout.length,
        SEARCH=negatives.search,
        TRAIN=train,
        ITEM_RATE=config.sse_item if train else 0.0,
        USER_RATE=config.sse_user if train else 0.0,
    )


def gradients(engine: EngineState, batch: Batch, step: int) -> None:
    """All of a step but its draws and the update."""
    at, layers = engine.scratch, engine.config.blocks

    # forward, then back block by block; the loss is summed up beside what follows
    forward(engine, at, batch, step, train=True)
    for layer in reversed(range(layers)):
        chain.back(engine, at, batch, layer, step)
        if layer == layers - 1:
            with engine.streams.on_side_stream(0):
                _losses(engine, at, step)

    # Weights' gradients run beside the chain's last launch; Adam waits for all of them.
    _sums(engine, at, step)
    chain.leave(engine, at, step)
    if not engine.config.intervals:
        summing.input_place_slopes(engine, at, step)
    engine.streams.join_streams()


def _sums(engine: EngineState, at: Scratch, step: int) -> None:
    """Gradients of weights; what takes longest begins first."""
    launches = [summing.key_slopes, summing.weight_slopes]
    if not chain.is_narrow(engine):
        launches.reverse()
    if engine.config.intervals:
        launches.append(summing.interval_slopes)

    for side, launch in enumerate(launches, 1):
        with engine.streams.on_side_stream(side):
            launch(engine, at, step)


def forward(engine: EngineState, at: Scratch, batch: Batch, step: int, *, train: bool) -> None:
    """From what was drawn for a step to what the last block gives, `at.x`.

    Tables are as `drop_tables` left them.
    """
    chain.enter(engine, at, step, train=train)
    for layer in range(engine.config.blocks):
        chain.attend(engine, at, batch, layer, step, train=train)


def drop_tables(engine: EngineState, step: int, *, train: bool) -> None:
    """Interval and position vectors with their dropout, or without to rank."""
    inputs.drop_tables[(engine.layout.size // BLOCK, engine.seeds)](
        *(engine.params, engine.penalised, engine.spans, engine.keys, engine.clock, step),
        *(engine.tables, engine.places, engine.layout.size),
        **_dropped(engine),
        RATE=engine.config.dropout if train else 0.0,
    )


def _losses(engine: EngineState, at: Scratch, step: int) -> None:
    if engine.group_losses.shape[1]:
        _groups(engine, step)
    _norms_and_loss(engine, at, step)


def _groups(engine: EngineState, step: int) -> None:
    layout, config = engine.layout, engine.config
    update.group_slopes[(engine.seeds, engine.group_losses.shape[1] // PAIRS_AT_ONCE)](
        # weights and their gradient
        *(engine.params, engine.scattered, layout.offset("users.weight")),
        # random bits, and positions of the step
        *(engine.keys, engine.clock, step, engine.n_real, engine.steps),
        # groups and their loss
        *(engine.groups, engine.group_losses, layout.size, layout.looked_up),
        *(engine.sequences.n_users, config.group_pairs, config.group_margin, config.group_weight),
        PAIRS=PAIRS_AT_ONCE,
        UP=power_of_two(config.user_width),
    )


def _norms_and_loss(engine: EngineState, at: Scratch, step: int) -> None:
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


def _adam(engine: EngineState, step: int) -> None:
    layout, config = engine.layout, engine.config
    n_blocks = layout.size // BLOCK
    update.adam[(n_blocks, engine.seeds)](
        # weights, moments, gradients
        *(engine.params, engine.halves, engine.moments, engine.squares),
        *(engine.scattered, engine.dense),
        # norm penalty
        *(engine.penalised, engine.spans, engine.norms, engine.block_squares),
        # positions of the step, random bits, the next step's tables
        *(engine.n_real, engine.keys, engine.clock, step, engine.steps),
        *(engine.tables, engine.places),
        # sizes
        *(layout.size, layout.looked_up, engine.dense.shape[2], layout.shared, n_blocks),
        # rates
        *(config.l2, config.learning_rate, config.beta1, config.beta2),
        SPLIT=engine.splits,
        TABLES=len(engine.spans),
        **_dropped(engine),
        INTERVALS=config.intervals,
        RATE=config.dropout,
        OVERLAP=engine.overlaps,
    )


def _dropped(engine: EngineState) -> dict[str, int]:
    layout = engine.layout
    table, places = layout.rows * layout.width, layout.length * layout.width
    return {"TABLE": table, "PLACES": places, "BLOCK": BLOCK, "LAYERS": engine.config.blocks}
