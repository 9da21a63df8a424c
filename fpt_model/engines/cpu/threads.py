"""Several threads, each with work of its own, instead of all within each operation.

Operations on a part of a batch are too short to be divided: all threads would have to wait for the
slowest after each of them, and other processes on the machine make that worse.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

# mallopt(3)
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_TOP_PAD = -2

_granted = 0

Work = TypeVar("Work")
Found = TypeVar("Found")


def parallel_map(do: Callable[[Work], Found], works: Iterable[Work], threads: int) -> list[Found]:
    """What comes of each work, in their order.

    They must not draw from PyTorch's own generators: which of them comes first is chance.
    """
    return list(map(do, works) if threads == 1 else _pool(threads).map(do, works))


def grant(threads: int) -> None:
    """Let this process take so many, from its next step on: another one needs its own no more."""
    global _granted  # noqa: PLW0603 - a process has one share of the machine
    _granted = threads


def threads_now() -> int:
    """How many threads this process may take. What is computed does not depend on it."""
    return max(torch.get_num_threads(), _granted)


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Within it this thread's operations are not divided either, so that no other one waits."""
    keep_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def keep_memory() -> None:
    """What is freed stays with the process, where the C library can be told so (glibc).

    It would give the tensors of a part back to the system and ask for them anew: the first touch
    of a page takes longer than what is computed on it. A thread's memory comes in pieces of 64 MB,
    and an empty one goes back, whatever the threshold, unless as much is to be kept to spare.
    """
    tell = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if tell is not None:
        tell(_TRIM_THRESHOLD, 2**30)
        tell(_MMAP_THRESHOLD, 2**25)  # the most it takes
        tell(_TOP_PAD, 2**26)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "part", initializer=lambda: torch.set_num_threads(1))
