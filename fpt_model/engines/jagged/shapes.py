"""Sizes of tiles, and the shapes that kernels are specialised to.

Letters: B batch, N tokens, T sequence, D width, K columns, H heads, R interval rows, L blocks.
"""

from typing import TYPE_CHECKING, Any

import triton.language as tl
from torch import Tensor

from fpt_model.engines.gpu import rng
from fpt_model.engines.gpu.layout import aligned, power_of_two
from fpt_model.engines.jagged.buffers import Buffers

if TYPE_CHECKING:
    from fpt_model.engines.jagged.engine import Engine

QUERIES, KEYS, CHUNK = 32, 64, 64  # of an attention tile
ATTENTION = {"num_warps": 4, "num_stages": 2}
ROWS_AT_ONCE = 16
_NORMS = ("norm_attention", "norm_pointwise")


def norm_name(layer: int, which: int) -> str:
    """Of the LayerNorm before a block's attention (0) or its pointwise layers (1)."""
    return f"blocks.{layer}.{_NORMS[which]}"


def by_head(engine: "Engine", x: Tensor) -> Tensor:
    """(N, K) by head, (H, N, W); one head keeps its columns of padding, which are zero."""
    if engine.config.heads == 1:
        return x[None]
    return x[:, : engine.config.width].unflatten(1, (engine.config.heads, -1)).transpose(0, 1)


def head_width(engine: "Engine") -> int:
    """W, width of a head."""
    return engine.config.width // engine.config.heads


def site_of(layer: int, purpose: tl.constexpr) -> int:
    """Where chance is drawn in a block, for one purpose."""
    return int(rng.LAYER.value + rng.LAYER_SITES.value * layer + purpose.value)


def statistics(engine: "Engine", at: Buffers, name: str) -> tuple[Tensor, Tensor]:
    """Where a LayerNorm keeps means and scales of its rows."""
    names = [norm_name(layer, which) for layer in range(engine.config.blocks) for which in (0, 1)]
    number = [*names, "norm"].index(name)
    return at.means[number], at.scales[number]


def pair_tables(engine: "Engine") -> tuple[int, int, int, int]:
    """First elements of interval and position tables, of keys and values each."""
    offset = engine.weights.offset
    intervals = offset("intervals.0"), offset("intervals.1")
    return *intervals, offset("positions.0"), offset("positions.1")


def attention_grid(
    engine: "Engine", now: Tensor, tile: int, chunk: int = 0
) -> tuple[int, int, int]:
    """Programs: tiles of a sequence, sequences, and heads, or chunks of heads."""
    chunks = -(-head_width(engine) // chunk) if chunk else 1
    return -(-engine.config.max_length // tile), now.shape[1] - 1, engine.config.heads * chunks


def attention_shape(engine: "Engine", now: Tensor) -> dict[str, Any]:
    """Sizes of kernels over pairs, and of their tiles."""
    return {
        "B": now.shape[1] - 1,
        "H": engine.config.heads,
        "T": engine.config.max_length,
        "TS": aligned(engine.config.max_length),
        "W": head_width(engine),
        "WC": min(CHUNK, power_of_two(head_width(engine))),
        "K": engine.weights.columns,
        "BM": min(QUERIES, power_of_two(engine.config.max_length)),
        "BN": min(KEYS, power_of_two(engine.config.max_length)),
        **ATTENTION,
    }


def interval_shape(engine: "Engine", at: Buffers) -> dict[str, Any]:
    """How intervals are divided into rows."""
    return {
        "R": at.on_rows.shape[3],
        "SPAN": engine.config.time_span,
        "EDGES": len(engine.edges),
        "INTERVALS": engine.config.intervals,
    }


def row_shape(engine: "Engine") -> dict[str, Any]:
    """Shapes of a tile of whole rows."""
    columns = engine.weights.columns
    return {
        "D": engine.config.width,
        "K": columns,
        "BM": ROWS_AT_ONCE,
        "P": power_of_two(columns),
    }
