"""What a GPU is to do again and again, as a graph."""

import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def capture_cuda_graph(work: Callable[[], object], pool: Any = None) -> tuple[Any, Any]:
    """A graph of what `work` launches, which must have run before, and what it returns.

    Graphs of one memory `pool` are never replayed side by side.

    Nothing is collected meanwhile: an older engine's graph that is freed while another one is
    recorded spoils it.
    """
    graph, collecting = torch.cuda.CUDAGraph(), gc.isenabled()
    # Libraries have scratch for each stream. Graphs that PyTorch records on a stream of its choice
    # share it, and two that are replayed side by side would write over each other's.
    current = torch.cuda.current_stream()
    own = None if current == torch.cuda.default_stream() else current
    gc.disable()
    try:
        with torch.cuda.graph(graph, pool=pool, stream=own):
            found = work()
    finally:
        if collecting:
            gc.enable()
    return graph, found


def captured(
    work: Callable[[], object],
    state: Sequence[Tensor],
    first: Callable[[], object] | None = None,
    pool: Any = None,
) -> Any:
    """A graph of what `work` launches, run once before: that compiles, and sets libraries up.

    Args:
        work: what to record.
        state: what it changes, which is put back.
        first: what runs before, where that is not the work itself.
        pool: see `capture_cuda_graph`.
    """
    kept = [value.clone() for value in state]
    try:
        (first or work)()
        torch.cuda.synchronize()
        return capture_cuda_graph(work, pool)[0]
    finally:
        for value, before in zip(state, kept, strict=True):
            value.copy_(before)
