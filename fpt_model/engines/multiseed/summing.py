"""Launches that sum up weights' gradients over the batch, from what the chain saved.

See the kernels of the same names, `fpt_model.engines.multiseed.sums`.
"""

from fpt_model.engines.multiseed import sums
from fpt_model.engines.multiseed.scratch import Scratch
from fpt_model.engines.multiseed.state import EngineState

COLUMNS_AT_ONCE = 64  # of gradients, by a program
ROWS_AT_ONCE, PLACES_AT_ONCE = 64, 16  # of a table
STAGES = 3  # loads in flight


def weight_slopes(engine: EngineState, at: Scratch, step: int) -> None:
    """Of linear layers but keys' and values', and of norms."""
    layout, config = engine.layout, engine.config
    columns = min(COLUMNS_AT_ONCE, layout.width)
    kinds = 3 * config.blocks + 1  # with the last norm
    sums.weight_slopes[(engine.seeds, kinds * layout.width // columns, engine.splits)](
        *(engine.dense, engine.params, layout.blocks, layout.offset("norm.weight")),
        *(at.drawn[step % 2].begins, at.tiles, layout.size, *_dense(engine)),
        config.batch_size,
        W=columns,
        **_shape(engine),
    )


def key_slopes(engine: EngineState, at: Scratch, step: int) -> None:
    """Of keys' and values' layers and positions."""
    layout, config = engine.layout, engine.config
    columns = min(COLUMNS_AT_ONCE, layout.width)
    kinds = 2 * config.blocks
    sums.key_slopes[(engine.seeds, kinds * layout.width // columns, engine.splits)](
        *(engine.dense, layout.blocks),
        *(layout.offset("positions.0"), layout.offset("positions.1")),
        *(engine.keys, engine.clock, step, at.drawn[step % 2].begins, at.tiles, at.squares),
        *(*_dense(engine), layout.shared, config.batch_size),
        W=columns,
        INTERVALS=config.intervals,
        RATE=config.dropout,
        **_shape(engine),
    )


def interval_slopes(engine: EngineState, at: Scratch, step: int) -> None:
    """Of the interval tables."""
    layout, config = engine.layout, engine.config
    kinds = 2 * config.blocks * -(-layout.rows // ROWS_AT_ONCE)
    sums.interval_slopes[(engine.seeds, kinds, engine.splits)](
        *(engine.dense, layout.offset("intervals.0"), layout.offset("intervals.1")),
        *(engine.keys, engine.clock, step, at.drawn[step % 2].begins, at.sums, at.tiles),
        *(*_dense(engine), layout.shared, config.batch_size),
        R=layout.rows,
        C=ROWS_AT_ONCE,
        RATE=config.dropout,
        **_shape(engine),
    )


def input_place_slopes(engine: EngineState, at: Scratch, step: int) -> None:
    """Of positions that are added to the input."""
    layout, config = engine.layout, engine.config
    sums.input_place_slopes[(engine.seeds, layout.length // PLACES_AT_ONCE, engine.splits)](
        *(engine.dense, layout.offset("positions.0"), at.drawn[step % 2].begins, at.dx),
        *(*_dense(engine), config.batch_size),
        PER_SPLIT=_per_split(engine),
        T=layout.length,
        D=layout.width,
        C=PLACES_AT_ONCE,
    )


def _shape(engine: EngineState) -> dict[str, int]:
    """Of sums over a part of the batch, from what tiles saved."""
    lengths = {"T": engine.layout.length, "D": engine.layout.width, "LAYERS": engine.config.blocks}
    return lengths | {"PER_SPLIT": _per_split(engine), "STAGES": STAGES}


def _dense(engine: EngineState) -> tuple[int, int]:
    return engine.dense.shape[2], engine.layout.looked_up


def _per_split(engine: EngineState) -> int:
    """Sequences of a part of the batch, a power of two."""
    return 1 << (-(-engine.config.batch_size // engine.splits) - 1).bit_length()
