"""What a GPU is to do again and again, as a graph."""

import gc
from collections.abc import Callable
from typing import Any

import torch


def recorded(work: Callable[[], object], pool: Any = None) -> tuple[Any, Any]:
    """A graph of what `work` launches, which must have run before, and what it returns.

    Graphs of one memory `pool` are never replayed side by side.

    Nothing is collected meanwhile: an older engine's graph that is freed while another one is
    recorded spoils it.
    """
    graph, collecting = torch.cuda.CUDAGraph(), gc.isenabled()
    gc.disable()
    try:
        with torch.cuda.graph(graph, pool=pool):
            found = work()
    finally:
        if collecting:
            gc.enable()
    return graph, found
