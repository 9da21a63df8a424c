"""The launches of a step, in order: windows and dropout, blocks, loss, back, sums, Adam.

A launch of the chain, from `embed_and_project` to Adam, may begin while the one before it ends; the
others run beside it and are over before Adam begins.

Letters: S seeds, B batch, T sequence, D width, R interval rows, L blocks.
"""

from torch import Tensor

from fpt_model.engines.gpu.groups import PAIRS_AT_ONCE
from fpt_model.engines.gpu.layout import BLOCK, power_of_two
from fpt_model.engines.multiseed import chain, inputs, update, weight_launches
from fpt_model.engines.multiseed.state import EngineState
from fpt_model.engines.multiseed.workspace import Batch, Workspace


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
    _count_targets(
        engine, batch
    )  # the last one: `embed_and_project` looks at draws before this one ends


def _count_targets(engine: EngineState, batch: Batch) -> None:
    """Positions of each step of the epoch that have one."""
    inputs.count_targets[(engine.seeds, engine.steps)](
        *(batch.real, 0 if batch.shared else engine.n_rows, engine.order, engine.n_rows),
        *(engine.n_real, engine.config.batch_size),
        B=power_of_two(engine.config.batch_size),
    )


def draw(engine: EngineState, batch: Batch, step: int) -> None:
    """What a step needs of windows, negatives and dropout, for which weights are not needed."""
    ws, config = engine.workspace, engine.config
    choose(engine, ws, batch, engine.order, step, train=True)
    if config.dropout:
        pairs = ws.mask_size // 2
        inputs.draw[(len(ws.x), -(-pairs // BLOCK))](
            *(engine.keys, engine.step_counter, step, ws.drawn[step % 2].masks),
            *(config.batch_size, pairs),
            PAIRS=BLOCK,
            RATE=config.dropout,
        )


def choose(
    engine: EngineState, ws: Workspace, batch: Batch, order: Tensor, step: int, *, train: bool
) -> None:
    """Batch `step` of the windows in `order` (S, N), with negatives to train."""
    config, drawn, negatives = engine.config, ws.drawn[step % 2], engine.negatives
    inputs.choose[(len(ws.x),)](
        # random bits
        *(engine.keys, engine.step_counter, step),
        # windows, which of them, and what their users have not seen
        *(batch.tokens, batch.targets, batch.users, batch.real),
        *(0 if batch.shared else engine.n_rows, order, order.shape[1]),
        *(negatives.gaps, negatives.firsts, negatives.counts),
        *(engine.sequences.n_items, engine.sequences.n_users),
        # what comes of it
        *(drawn.tokens, drawn.targets, drawn.negatives),
        *(drawn.users, drawn.window_index, drawn.first_real),
        # sizes
        *(len(ws.x) // engine.seeds, config.max_length),
        T=engine.layout.length,
        SEARCH=negatives.search,
        TRAIN=train,
        ITEM_RATE=config.sse_item if train else 0.0,
        USER_RATE=config.sse_user if train else 0.0,
    )


def gradients(engine: EngineState, batch: Batch, step: int) -> None:
    """All of a step but its draws and the update."""
    ws, layers = engine.workspace, engine.config.blocks

    # forward, then back block by block; the loss is summed up beside what follows
    forward(engine, ws, batch, step, train=True)
    for layer in reversed(range(layers)):
        chain.block_backward(engine, ws, batch, layer, step)
        if layer == layers - 1:
            with engine.streams.on_side_stream(0):
                _losses(engine, ws, step)

    # Weights' gradients run beside the chain's last launch; Adam waits for all of them.
    _sums(engine, ws, step)
    chain.embedding_backward(engine, ws, step)
    if not engine.config.intervals:
        weight_launches.input_position_grad(engine, ws, step)
    engine.streams.join_streams()


def _sums(engine: EngineState, ws: Workspace, step: int) -> None:
    """Gradients of weights; what takes longest begins first."""
    launches = [weight_launches.key_grad, weight_launches.weight_grad]
    if not chain.is_narrow(engine):
        launches.reverse()
    if engine.config.intervals:
        launches.append(weight_launches.interval_grad)

    for side, launch in enumerate(launches, 1):
        with engine.streams.on_side_stream(side):
            launch(engine, ws, step)


def forward(engine: EngineState, ws: Workspace, batch: Batch, step: int, *, train: bool) -> None:
    """From what was drawn for a step to what the last block gives, `ws.x`.

    Tables are as `drop_tables` left them.
    """
    chain.embed_and_project(engine, ws, step, train=train)
    for layer in range(engine.config.blocks):
        chain.block_forward(engine, ws, batch, layer, step, train=train)


def drop_tables(engine: EngineState, step: int, *, train: bool) -> None:
    """Interval and position vectors with their dropout, or without to rank."""
    inputs.drop_tables[(engine.layout.size // BLOCK, engine.seeds)](
        *(engine.params, engine.penalised, engine.spans, engine.keys, engine.step_counter, step),
        *(engine.tables, engine.positions, engine.layout.size),
        **_dropped(engine),
        RATE=engine.config.dropout if train else 0.0,
    )


def _losses(engine: EngineState, ws: Workspace, step: int) -> None:
    if engine.group_losses.shape[1]:
        _groups(engine, step)
    _norms_and_loss(engine, ws, step)


def _groups(engine: EngineState, step: int) -> None:
    layout, config = engine.layout, engine.config
    update.group_loss_grad[(engine.seeds, engine.group_losses.shape[1] // PAIRS_AT_ONCE)](
        # weights and their gradient
        *(engine.params, engine.embedding_grads, layout.offset("users.weight")),
        # random bits, and positions of the step
        *(engine.keys, engine.step_counter, step, engine.n_real, engine.steps),
        # groups and their loss
        *(engine.groups, engine.group_losses, layout.size, layout.embedding_size),
        *(engine.sequences.n_users, config.group_pairs, config.group_margin, config.group_weight),
        PAIRS=PAIRS_AT_ONCE,
        UP=power_of_two(config.user_width),
    )


def _norms_and_loss(engine: EngineState, ws: Workspace, step: int) -> None:
    positions = engine.config.batch_size * engine.layout.length
    update.sum_up[(engine.seeds,)](
        *(engine.block_squares, engine.spans, ws.losses, engine.group_losses, engine.n_real),
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
        *(engine.params, engine.fp16, engine.exp_avg, engine.exp_avg_sq),
        *(engine.embedding_grads, engine.dense),
        # norm penalty
        *(engine.penalised, engine.spans, engine.norms, engine.block_squares),
        # positions of the step, random bits, the next step's tables
        *(engine.n_real, engine.keys, engine.step_counter, step, engine.steps),
        *(engine.tables, engine.positions),
        # sizes
        *(layout.size, layout.embedding_size, engine.dense.shape[2], layout.shared, n_blocks),
        # rates
        *(config.l2, config.learning_rate if engine.rates is None else engine.rates),
        *(config.beta1, config.beta2),
        SPLIT=engine.splits,
        TABLES=len(engine.spans),
        **_dropped(engine),
        INTERVALS=config.intervals,
        RATE=config.dropout,
        PDL=engine.uses_pdl,
        SCHEDULED=engine.rates is not None,
        DECAY=config.weight_decay,
    )


def _dropped(engine: EngineState) -> dict[str, int]:
    layout = engine.layout
    table, positions = layout.rows * layout.width, layout.length * layout.width
    return {
        "TABLE": table,
        "POSITIONS_SIZE": positions,
        "BLOCK": BLOCK,
        "LAYERS": engine.config.blocks,
    }
