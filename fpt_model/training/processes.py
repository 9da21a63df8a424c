"""How the processes of places are made: forked from a server that has imported PyTorch once.

The server knows no GPU yet, so what it forks can use one. It is started before this process has
imported PyTorch itself, so neither waits for the other.
"""

import multiprocessing
import os
import signal
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")


def start_server() -> None:
    """Start it, unless it runs."""
    CONTEXT.set_forkserver_preload(["fpt_model.training.worker", "triton.language"])
    forkserver.ensure_running()


def stop_server(pid: int) -> None:
    """End it at once: to unload its libraries takes seconds, while it holds our output open."""
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def sees_several_gpus() -> bool:
    """A guess that costs nothing: PyTorch, which knows, takes seconds to import."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", ",")
    return "," in chosen and len(list(Path("/dev").glob("nvidia[0-9]*"))) > 1
