"""Kernels are looked for in a folder that travels, and put there; without Triton, which is slow.

Triton is told by the environment, so that processes that are forked, for compilers or GPUs, look
in the same folder.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

FOLDER = "FPT_KERNELS"
MANAGER = "TRITON_CACHE_MANAGER"
OURS = "fpt_model.engines.gpu.carried:Carried"
LINES = "TRITON_DISABLE_LINE_INFO"


def named_in(jobs: Path) -> Path | None:
    """The folder that a jobs file names; what is wrong with the file is told by who reads it."""
    with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        return jobs.parent / json.loads(jobs.read_text(encoding="utf-8"))["kernels"]
    return None


def carry(folder: Path) -> None:
    """From now on this process, and those it starts, look for kernels in a folder.

    Whoever has told Triton of another cache keeps it. Kernels are compiled without the lines of
    their sources, unless the environment says otherwise: with them, a kernel's bytes depend on the
    folder that its source lies in. The instructions are the same.
    """
    if os.environ.get(MANAGER, OURS) != OURS:
        return
    os.environ[FOLDER] = str(folder.absolute())
    os.environ[MANAGER] = OURS
    os.environ.setdefault(LINES, "1")


def carried() -> Path | None:
    """The folder, where kernels are looked for in one."""
    folder = os.environ.get(FOLDER)
    return Path(folder) if folder and os.environ.get(MANAGER) == OURS else None
