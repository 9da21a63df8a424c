"""Sizes of tiles, and the shapes that kernels are specialised to.

Letters: B batch, N tokens, T sequence, D width, K columns, KH columns by head, H heads, R interval
rows, L blocks.
"""

from typing import Any

import triton.language as tl
from torch import Tensor

from fpt_model.config import Config
from fpt_model.engines.gpu import rng
from fpt_model.engines.gpu.layout import aligned, power_of_two
from fpt_model.engines.jagged.weights import (
    Weights,
    columns_by_head,
    columns_of,
    has_gaps,
    head_stride,
    head_width,
)
from fpt_model.engines.jagged.workspace import Workspace

QUERIES, KEYS, CHUNK = 32, 64, 64  # of an attention tile
NARROW_QUERIES = 64  # the same of heads that are one chunk: they are many, and need few registers
ATTENTION = {"num_warps": 4, "num_stages": 2}
ROWS_AT_ONCE = 16
# tokens and items of a tile of scores, for gradients of tokens and of items
SOFTMAX = (
    {"BM": 64, "BN": 128, "num_warps": 4, "num_stages": 3},
    {"BM": 128, "BN": 64, "num_warps": 4, "num_stages": 2},
)
# the same where shared memory holds when items were seen, too; and beside vectors wider than 128
EXCLUDE_SEEN = SOFTMAX[0] | {"num_stages": 2}, SOFTMAX[1]
EXCLUDE_SEEN_WIDE = SOFTMAX[0] | {"BN": 64, "num_stages": 2}, SOFTMAX[1] | {"BM": 64}
# what is other in the tile of a token's gradient where it sums up vectors twice: registers
SMOOTHED = {"num_warps": 8, "num_stages": 2}
SMOOTHED_WIDE = SMOOTHED | {"BN": 64}
# of the largest tile of items, of which a row of `EngineState.seen` holds whole ones
ITEMS_AT_ONCE = max(tile["BN"] for tiles in (EXCLUDE_SEEN, EXCLUDE_SEEN_WIDE) for tile in tiles)
_NORMS = ("norm_attention", "norm_pointwise")


def norm_name(layer: int, which: int) -> str:
    """Of the LayerNorm before a block's attention (0) or its pointwise layers (1)."""
    return f"blocks.{layer}.{_NORMS[which]}"


def by_head(config: Config, x: Tensor) -> Tensor:
    """(N, KH) by head, (H, N, STRIDE); one head keeps its columns of padding, which are zero."""
    if config.heads == 1:
        return x[None]
    columns = config.heads * head_stride(config)
    return x[:, :columns].unflatten(1, (config.heads, -1)).transpose(0, 1)


def head_shape(config: Config) -> dict[str, Any]:
    """Where heads lie in (N, KH)."""
    return {
        "D": config.width,
        "K": columns_of(config),
        "KH": columns_by_head(config),
        "W": head_width(config),
        "STRIDE": head_stride(config),
        "GAPS": has_gaps(config),
    }


def rng_stream_of(layer: int, purpose: tl.constexpr) -> int:
    """Where chance is drawn in a block, for one purpose."""
    return int(rng.LAYER.value + rng.LAYER_STREAMS.value * layer + purpose.value)


def statistics(config: Config, ws: Workspace, name: str) -> tuple[Tensor, Tensor]:
    """Where a LayerNorm keeps means and scales of its rows."""
    names = [norm_name(layer, which) for layer in range(config.blocks) for which in (0, 1)]
    number = [*names, "norm"].index(name)
    return ws.means[number], ws.scales[number]


def pair_tables(weights: Weights) -> tuple[int, int, int, int]:
    """First elements of interval and position tables, of keys and values each."""
    offset = weights.offset
    intervals = offset("intervals.0"), offset("intervals.1")
    return *intervals, offset("positions.0"), offset("positions.1")


def attention_grid(config: Config, meta: Tensor, tile: int, chunk: int = 0) -> tuple[int, int, int]:
    """Programs: tiles of a sequence, sequences, and heads, or chunks of heads."""
    chunks = -(-head_stride(config) // chunk) if chunk else 1
    return -(-config.max_length // tile), meta.shape[1] - 1, config.heads * chunks


def attention_shape(config: Config, meta: Tensor) -> dict[str, Any]:
    """Sizes of kernels over pairs, and of their tiles; what lies between heads counts as theirs."""
    queries = NARROW_QUERIES if head_stride(config) <= CHUNK else QUERIES
    return {
        "B": meta.shape[1] - 1,
        "H": config.heads,
        "T": config.max_length,
        "TS": aligned(config.max_length),
        "W": head_stride(config),
        "WC": min(CHUNK, power_of_two(head_stride(config))),
        "K": columns_by_head(config),
        "BM": min(queries, power_of_two(config.max_length)),
        "BN": min(KEYS, power_of_two(config.max_length)),
        **ATTENTION,
    }


def interval_shape(config: Config, ws: Workspace) -> dict[str, Any]:
    """How intervals are divided into rows."""
    return {"R": ws.weights_by_bucket.shape[3], "INTERVALS": config.intervals}


def row_shape(config: Config) -> dict[str, Any]:
    """Shapes of a tile of whole rows."""
    columns = columns_of(config)
    return {
        "D": config.width,
        "K": columns,
        "BM": ROWS_AT_ONCE,
        "P": power_of_two(columns),
    }


def norm_shape(config: Config, *, by_head: bool) -> dict[str, Any]:
    """The same of a norm beside which something may lie by head."""
    shape = head_shape(config) | row_shape(config)
    return shape | {"GAPS": shape["GAPS"] and by_head}


def softmax_tiles(
    exclude_seen: bool, width: int, smoothed: bool = False
) -> tuple[dict[str, int], dict[str, int]]:
    """For gradients of tokens and of items, of so wide vectors."""
    wide = width > 128
    found = (EXCLUDE_SEEN_WIDE if wide else EXCLUDE_SEEN) if exclude_seen else SOFTMAX
    return (found[0] | (SMOOTHED_WIDE if wide else SMOOTHED), found[1]) if smoothed else found
