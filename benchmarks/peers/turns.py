"""One after the other: processes get ready side by side, then each has the machine for itself.

Whoever starts them holds a lock until all are ready; then each takes it in turn.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK, READY = "turn.lock", "ready"


@contextmanager
def held(path: Path) -> Iterator[None]:
    """The lock of a file; waits for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def wait_for_turn(folder: Path) -> None:
    """Say that this process is ready, and come back when it is its turn, which ends with it.

    Args:
        folder: its own, in which it says so; the lock lies beside.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / READY).touch()
    lock = os.open(folder.parent / LOCK, os.O_RDWR | os.O_CREAT)  # a number: nobody closes it
    fcntl.flock(lock, fcntl.LOCK_EX)


def all_ready(folders: dict[Path, Callable[[], bool]]) -> bool:
    """Whether each process is ready, or has ended.

    Args:
        folders: of the processes, and what says whether one has ended.
    """
    return all((folder / READY).exists() or ended() for folder, ended in folders.items())
