"""One after the other: processes get ready side by side, then each has the machine for itself.

Whoever starts them holds a lock until all are ready; then each takes it in turn.
"""

import fcntl
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


class Turn:
    """A process's own; kept until it is closed.

    Args:
        folder: the process's own, in which it says that it is ready; the lock lies beside.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = held(folder.parent / LOCK)

    def wait(self) -> None:
        """Say that it is ready, and come back when it is its turn."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / READY).touch()
        self.lock.__enter__()


def all_ready(folders: dict[Path, Callable[[], bool]]) -> bool:
    """Whether each process is ready, or has ended.

    Args:
        folders: of the processes, and what says whether one has ended.
    """
    return all((folder / READY).exists() or ended() for folder, ended in folders.items())
