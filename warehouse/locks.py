"""Who holds a lock: a note beside it for those who wait; the kernel alone says that it is held."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def signed(lock: Path) -> Iterator[None]:
    """Leave word of this process beside a lock that it holds.

    A full disk is no reason not to work: then the note is missing.
    """
    note = _note(lock)
    with suppress(OSError):
        note.write_text(json.dumps({"pid": os.getpid(), "command": _command()}), encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink()


def holder(lock: Path) -> str:
    """Who holds it, as far as the note beside it says and that process lives."""
    try:
        said = json.loads(_note(lock).read_text(encoding="utf-8"))
        pid, command = int(said["pid"]), str(said["command"])
        os.kill(pid, 0)
    except PermissionError:  # another user's
        return f"process {pid}, `{command}`"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"
    return "this very run" if pid == os.getpid() else f"process {pid}, `{command}`"


def remove(lock: Path) -> None:
    """Remove the file of a lock that is never taken again, with the note that a dead holder left.

    The note goes first: what is left of a lock without a note is still found as one.
    """
    _note(lock).unlink(missing_ok=True)
    lock.unlink(missing_ok=True)


def _note(lock: Path) -> Path:
    return lock.with_suffix(".holder")


def _command() -> str:
    """What was typed, without where the program is, short enough for a message."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
