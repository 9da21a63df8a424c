"""How processes of places, and of compilers, are made: forked from a server with PyTorch in it.

The server knows no GPU yet, so what it forks can use one. It is started before this process has
imported PyTorch itself, so neither waits for the other.
"""

import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

from fpt_model.errors import ModelError

CONTEXT = multiprocessing.get_context("forkserver")
WORKER = "fpt_model.training.worker"
ON_CPU = ("fpt_model.engines.cpu.training",)
ON_GPU = ("triton.language", "fpt_model.engines.forked_compilers")


def start_server(device: str) -> None:
    """Start it, unless it runs, with what is needed on a device: `cpu` or `cuda`.

    Raises:
        ModelError: it has no socket, such as where the temporary folder's path is too long for one.
    """
    CONTEXT.set_forkserver_preload([WORKER, *(ON_CPU if device == "cpu" else ON_GPU)])
    try:
        forkserver.ensure_running()
    except OSError as error:
        raise ModelError(
            "No other processes can be forked",
            got=str(error),
            to_do="Set TMPDIR to a short path that can be written to",
        ) from error


def server() -> int | None:
    """The process of the server that this process has started."""
    known = getattr(forkserver, "_forkserver", None)  # Python tells it in no other way
    return getattr(known, "_forkserver_pid", None)


def stop_server(pid: int) -> None:
    """End it at once: to unload its libraries takes seconds, while it holds our output open."""
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def end_server() -> None:
    """End what this process has started, when nothing more is to be forked."""
    if pid := server():
        stop_server(pid)


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """In a process that was forked: get a signal when the one that asked for it is gone."""
    threading.Thread(target=_wait_for_parent, args=(number,), daemon=True).start()


def _wait_for_parent(number: signal.Signals) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), number)


def cores() -> int:
    """How many threads this process may take, as far as it is known before PyTorch is there."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() else os.cpu_count() or 1


def sees_gpus() -> int:
    """A guess at how many GPUs; PyTorch, which knows, takes seconds to import."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return there if chosen is None else min(there, len(chosen.split(",")) if chosen else 0)
