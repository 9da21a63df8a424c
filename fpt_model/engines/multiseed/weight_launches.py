"""Launches that sum up weights' gradients over the batch, from what the chain saved.

See the kernels of the same names, `fpt_model.engines.multiseed.weight_grads`.
"""

from fpt_model.engines.multiseed import weight_grads
from fpt_model.engines.multiseed.state import EngineState
from fpt_model.engines.multiseed.workspace import Workspace

COLUMNS_AT_ONCE = 64  # of gradients, by a program
ROWS_AT_ONCE, POSITIONS_AT_ONCE = 64, 16  # of a table
STAGES = 3  # loads in flight


def weight_grad(engine: EngineState, ws: Workspace, step: int) -> None:
    """Of linear layers but keys' and values', and of norms."""
    layout, config = engine.layout, engine.config
    columns = min(COLUMNS_AT_ONCE, layout.width)
    kinds = 3 * config.blocks + 1  # with the last norm
    weight_grads.weight_grad[(engine.seeds, kinds * layout.width // columns, engine.splits)](
        *(engine.dense, engine.params, layout.blocks, layout.offset("norm.weight")),
        *(ws.drawn[step % 2].first_real, ws.tiles, layout.size, *_dense(engine)),
        config.batch_size,
        W=columns,
        **_shape(engine),
    )


def key_grad(engine: EngineState, ws: Workspace, step: int) -> None:
    """Of keys' and values' layers and positions."""
    layout, config = engine.layout, engine.config
    columns = min(COLUMNS_AT_ONCE, layout.width)
    kinds = 2 * config.blocks
    weight_grads.key_grad[(engine.seeds, kinds * layout.width // columns, engine.splits)](
        *(engine.dense, layout.blocks),
        *(layout.offset("positions.0"), layout.offset("positions.1")),
        *(engine.keys, engine.step_counter, step, ws.drawn[step % 2].first_real, ws.tiles, ws.attn),
        *(*_dense(engine), layout.shared, config.batch_size),
        W=columns,
        INTERVALS=config.intervals,
        RATE=config.dropout,
        **_shape(engine),
    )


def interval_grad(engine: EngineState, ws: Workspace, step: int) -> None:
    """Of the interval tables."""
    layout, config = engine.layout, engine.config
    kinds = 2 * config.blocks * -(-layout.rows // ROWS_AT_ONCE)
    weight_grads.interval_grad[(engine.seeds, kinds, engine.splits)](
        *(engine.dense, layout.offset("intervals.0"), layout.offset("intervals.1")),
        *(engine.keys, engine.step_counter, step, ws.drawn[step % 2].first_real, ws.sums, ws.tiles),
        *(*_dense(engine), layout.shared, config.batch_size),
        R=layout.rows,
        C=ROWS_AT_ONCE,
        RATE=config.dropout,
        **_shape(engine),
    )


def input_position_grad(engine: EngineState, ws: Workspace, step: int) -> None:
    """Of positions that are added to the input."""
    layout, config = engine.layout, engine.config
    weight_grads.input_position_grad[
        (engine.seeds, layout.length // POSITIONS_AT_ONCE, engine.splits)
    ](
        *(engine.dense, layout.offset("positions.0"), ws.drawn[step % 2].first_real, ws.dx),
        *(*_dense(engine), config.batch_size),
        PER_SPLIT=_per_split(engine),
        T=layout.length,
        D=layout.width,
        C=POSITIONS_AT_ONCE,
    )


def _shape(engine: EngineState) -> dict[str, int]:
    """Of sums over a part of the batch, from what tiles saved."""
    lengths = {"T": engine.layout.length, "D": engine.layout.width, "LAYERS": engine.config.blocks}
    return lengths | {"PER_SPLIT": _per_split(engine), "STAGES": STAGES}


def _dense(engine: EngineState) -> tuple[int, int]:
    return engine.dense.shape[2], engine.layout.embedding_size


def _per_split(engine: EngineState) -> int:
    """Sequences of a part of the batch, a power of two."""
    return 1 << (-(-engine.config.batch_size // engine.splits) - 1).bit_length()
