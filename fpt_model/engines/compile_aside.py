"""Kernels compiled by processes of their own, as many at a time as there are cores.

Half of a compilation is Python, under one lock in a process. Each of these processes knows what
kind of GPU to compile for, and never sees it. What it compiled stays in Triton's cache on the disk,
where the process that launches finds it: the key is made of the kernel's source, of what it is
specialised to and of that kind, alike in both.
"""

import json
import os
import signal
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from fpt_model.processes import CONTEXT, end_with_parent

AT_ONCE = 32  # each takes a quarter of a gigabyte

Kind = tuple[str, int | str, int]
"""A GPU's backend, its architecture and how many threads go in step."""


def compile_aside(kernels: Iterable[str], kind: Kind) -> None:
    """Compile kernels into Triton's cache; what fails here is tried again by who launches it.

    Args:
        kernels: what each is specialised to, in Triton's words.
        kind: of GPU.
    """
    wanted = list(kernels)
    count = min(len(wanted), os.cpu_count() or 1, AT_ONCE)
    pool = ProcessPoolExecutor(count, CONTEXT, initializer=_begin, initargs=(kind,))
    try:
        done = [pool.submit(_compile, kernel) for kernel in wanted]
        for one in done:
            one.exception()
    except (BrokenProcessPool, OSError):  # there is no room for processes, or they were killed
        return
    finally:
        pool.shutdown(cancel_futures=True)


def hash_triton() -> None:
    """Triton hashes all of its own files for its keys, once a process: a third of a second."""
    with suppress(ImportError):  # another version does it elsewhere
        from triton.runtime.cache import triton_key

        triton_key()


def _begin(kind: Kind) -> None:
    """In the new process: it ends with the one that asked, and knows of one GPU of the kind."""
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the process that asked
    end_with_parent(signal.SIGKILL)
    target = GPUTarget(*kind)
    one: Any = SimpleNamespace(
        get_current_target=lambda: target,
        get_current_device=lambda: 0,
        get_current_stream=lambda _: 0,
    )
    driver.set_active(one)


def _compile(kernel: str) -> None:
    from fpt_model.engines.gpu.kernel_keys import settle

    module, _, name = json.loads(kernel)["name"].rpartition(".")
    function = getattr(import_module(module), name)
    settle(function)
    _make_launcher(function.preload(kernel))


def _make_launcher(compiled: Any) -> None:
    """Some versions of Triton launch by C code of the kernel's own, a third of a second of gcc."""
    with suppress(Exception):  # others have no such code; its launch makes what lacks
        from triton.backends.nvidia.driver import CudaLauncher

        CudaLauncher(compiled.src, compiled.metadata)
