"""Kernels compiled by processes of their own, as many at a time as there are cores.

Half of a compilation is Python, under one lock in a process. Each of these processes knows what
kind of GPU to compile for, and never sees it. What it compiled stays in Triton's cache on the disk,
where the process that launches finds it: the key is made of the kernel's source, of what it is
specialised to and of that kind, alike in both.
"""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from fpt_model.processes import CONTEXT, end_with_parent

AT_ONCE = 32  # each takes a quarter of a gigabyte
STUB = "FPT_LIBCUDA"  # an empty library in the place of CUDA's driver, see `compile_for.py`
LONGEST_SECONDS = 120.0  # then what is left is compiled by threads of ours

Kind = tuple[str, int | str, int]
"""A GPU's backend, its architecture and how many threads go in step."""


class Compilers:
    """Processes that compile what they are told to; what fails there fails again at its launch.

    Args:
        kind: of GPU to compile for.
    """

    def __init__(self, kind: Kind) -> None:
        count = min(os.cpu_count() or 1, AT_ONCE)
        self._pool = ProcessPoolExecutor(count, CONTEXT, initializer=_begin, initargs=(kind,))
        self._begun: set[str] = set()
        self._promised: list[Future[int]] = []
        self._able = True

    def compile(self, kernel: str) -> None:
        """Begin with a kernel, and do not wait.

        Args:
            kernel: what it is specialised to, in Triton's words.
        """
        if not self._able or kernel in self._begun:
            return
        self._begun.add(kernel)
        try:
            self._promised.append(self._pool.submit(_compile, kernel))
        except (BrokenProcessPool, OSError, EOFError):  # no room for processes; they were killed
            self._able = False

    def end(self, *, now: bool = False) -> None:
        """Wait until all of it is compiled, and no longer than it may take; or end it at once."""
        _, late = wait(self._promised, 0 if now else LONGEST_SECONDS)
        if late:
            for process in multiprocessing.active_children():
                process.kill()
        self._pool.shutdown(cancel_futures=True)

    @property
    def compiled(self) -> int:
        """Kernels that were compiled, and not found, by now."""
        done = (one for one in self._promised if one.done() and not one.cancelled())
        return sum(one.result() for one in done if one.exception() is None)


@contextmanager
def compilers(kind: Kind | None) -> Iterator[Compilers | None]:
    """Compilers for a block; at its end all is compiled. None for no kind, or where none can be."""
    found = _of(kind) if kind else None
    if found is None:
        yield None
        return
    try:
        yield found
        found.end()
    except BaseException:  # a Ctrl-C comes while its end is waited for, too
        found.end(now=True)
        raise


def _of(kind: Kind) -> Compilers | None:
    try:
        return Compilers(kind)
    except (OSError, ImportError, NotImplementedError):  # no semaphores, as without /dev/shm
        return None


def hash_triton() -> None:
    """Triton hashes all of its own files for its keys, once a process: a third of a second."""
    with suppress(ImportError):  # another version does it elsewhere
        from triton.runtime.cache import triton_key

        triton_key()


def _begin(kind: Kind) -> None:
    """In the new process: it ends with the one that asked, and knows of one GPU of the kind."""
    from fpt_model.engines.gpu.aim import aim

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the process that asked
    end_with_parent(signal.SIGKILL)
    aim(*kind)
    _know_stub()


def _know_stub() -> None:
    """Load launchers though CUDA's driver is not here: what they call is looked for at a call."""
    stub = os.environ.get(STUB)
    if stub:
        ctypes.CDLL(stub)
        sys.setdlopenflags(os.RTLD_LAZY)


def _compile(kernel: str) -> int:
    """1 if it had to be compiled, 0 if it was found."""
    from triton import knobs

    from fpt_model.engines.gpu.kernel_keys import settle

    found: list[bool] = []
    knobs.compilation.listener = lambda *, cache_hit, **_: found.append(cache_hit)
    module, _, name = json.loads(kernel)["name"].rpartition(".")
    function = getattr(import_module(module), name)
    settle(function)
    _make_launcher(function.preload(kernel))
    return found.count(False)


def _make_launcher(compiled: Any) -> None:
    """Some versions of Triton launch by C code of the kernel's own, a third of a second of gcc."""
    with suppress(Exception):  # others have no such code; its launch makes what lacks
        from triton.backends.nvidia.driver import CudaLauncher

        CudaLauncher(compiled.src, compiled.metadata)
