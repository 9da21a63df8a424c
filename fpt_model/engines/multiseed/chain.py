"""Launches of the chain, one after the other: a program takes a tile of a sequence.

Each may begin while the one before it ends. See the kernels of the same names,
`fpt_model.engines.multiseed.forward` and `fpt_model.engines.multiseed.block_backward`.
"""

import math
from typing import Any

from fpt_model.engines.gpu.layout import power_of_two
from fpt_model.engines.multiseed import backward
from fpt_model.engines.multiseed import forward as network
from fpt_model.engines.multiseed.state import EngineState
from fpt_model.engines.multiseed.workspace import Batch, Workspace

# A tile's rows, warps of a program, and registers of a thread at most.
NARROW = (16, 4, 128)  # up to 64 columns: four programs fit on a processor
WIDE = (32, 8, 128)  # two programs
PIECE = 64  # rows or columns of a matrix that a program takes at a time


def embed_and_project(engine: EngineState, ws: Workspace, step: int, *, train: bool) -> None:
    """What was drawn for a step becomes the first block's input."""
    config, layout, drawn = engine.config, engine.layout, ws.drawn[step % 2]
    network.embed_and_project[_grid(engine, ws)](
        # weights, and where they begin
        *(engine.params, engine.fp16),
        *(layout.tables, layout.offset("positions.0"), layout.blocks),
        # what was drawn for the step
        *(drawn.ids, drawn.first_real, drawn.masks, ws.mask_size, engine.positions),
        # what is saved, and the normed query
        *(ws.tiles, ws.rsd if train else ws.x, ws.x),
        # sizes, and the inputs' scale
        *(layout.size, len(ws.x) // engine.seeds, math.sqrt(config.width)),
        **_shape(engine),
        N=config.width,
        INPUTS=layout.inputs,
        INTERVALS=config.intervals,
        TRAIN=train,
        RATE=config.dropout if train else 0.0,
        **_options(engine),
    )


def block_forward(
    engine: EngineState, ws: Workspace, batch: Batch, layer: int, step: int, *, train: bool
) -> None:
    """A block from its attention on."""
    config, drawn = engine.config, ws.drawn[step % 2]
    network.block_forward[_grid(engine, ws)](
        # weights, and the normed query
        *(engine.params, engine.fp16, engine.layout.blocks, ws.x),
        # what was drawn for the step
        *(drawn.tokens[0], drawn.first_real, drawn.window_index, batch.buckets),
        *(engine.tables, engine.positions, drawn.masks, ws.mask_size),
        # what is saved
        *(ws.tiles, ws.attn if train else ws.x, ws.rsd if train else ws.x, ws.sums),
        # sizes, and the scores' scale: weights are powers of two
        *(engine.layout.size, len(ws.x) // engine.seeds),
        *(math.log2(math.e) / math.sqrt(config.width), layer),
        **_shape(engine),
        **_block(engine, layer),
        TRAIN=train,
        RATE=config.dropout if train else 0.0,
        **_options(engine),
    )


def block_backward(engine: EngineState, ws: Workspace, batch: Batch, layer: int, step: int) -> None:
    """A block's way back, after the loss or the block above."""
    layout, config, drawn = engine.layout, engine.config, ws.drawn[step % 2]
    backward.block_backward[_grid(engine, ws)](
        # weights, where they begin, and the items' gradient
        *(engine.params, engine.fp16),
        *(layout.offset("items.weight"), layout.offset("norm.weight"), layout.blocks),
        engine.embedding_grads,
        # the loss, and the gradient that goes from block to block
        *(ws.x, drawn.targets, drawn.negatives, ws.dx, ws.losses),
        # what was drawn for the step
        *(
            drawn.first_real,
            drawn.window_index,
            batch.buckets,
            engine.tables,
            drawn.masks,
            ws.mask_size,
        ),
        # what is saved
        *(ws.tiles, ws.attn, ws.rsd, ws.sums),
        # sizes, and the scores' scale
        *(
            layout.size,
            layout.embedding_size,
            config.batch_size,
            1 / math.sqrt(config.width),
            layer,
        ),
        **_shape(engine),
        **_block(engine, layer),
        IW=config.item_width,
        IP=power_of_two(config.item_width),
        RATE=config.dropout,
        **_options(engine),
    )


def embedding_backward(engine: EngineState, ws: Workspace, step: int) -> None:
    """The first block's keys, and what was looked up."""
    layout, config, drawn = engine.layout, engine.config, ws.drawn[step % 2]
    backward.embedding_backward[_grid(engine, ws)](
        # weights, where they begin, and the tables' gradients
        *(engine.fp16, layout.tables, layout.blocks, engine.embedding_grads, ws.dx),
        # what was drawn for the step
        *(drawn.ids, drawn.first_real, drawn.masks, ws.mask_size),
        # what is saved
        *(ws.tiles, ws.attn),
        # sizes, and the inputs' scale
        *(layout.size, layout.embedding_size, config.batch_size, math.sqrt(config.width)),
        **_shape(engine),
        INPUTS=layout.inputs,
        INTERVALS=config.intervals,
        RATE=config.dropout,
        **_options(engine),
    )


def is_narrow(engine: EngineState) -> bool:
    """Whether four programs fit on a processor."""
    return engine.layout.width <= 64


def _tile(engine: EngineState) -> tuple[int, int, int]:
    return NARROW if is_narrow(engine) else WIDE


def _rows(engine: EngineState) -> int:
    return min(_tile(engine)[0], engine.layout.length)


def _grid(engine: EngineState, ws: Workspace) -> tuple[int]:
    return (len(ws.x) * engine.layout.length // _rows(engine),)


def _options(engine: EngineState) -> dict[str, int]:
    """Of launches that wait for the one before and no other."""
    _, warps, registers = _tile(engine)
    options = {"num_warps": warps, "num_stages": 1, "maxnreg": registers}
    overlap = {"launch_pdl": True} if engine.uses_pdl else {}
    return options | overlap | {"PDL": engine.uses_pdl}


def _shape(engine: EngineState) -> dict[str, int]:
    layout = engine.layout
    lengths = {"T": layout.length, "M": _rows(engine)}
    lengths |= {"P": min(PIECE, layout.width), "D": layout.width}
    return lengths | {"LAYERS": engine.config.blocks}


def _block(engine: EngineState, layer: int) -> dict[str, Any]:
    return {
        "N": engine.config.width,
        "R": engine.layout.rows,
        "C": engine.layout.chunk,
        "LAST": layer == engine.config.blocks - 1,
        "INTERVALS": engine.config.intervals,
    }
