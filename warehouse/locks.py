"""Who holds a lock: a note beside it for those who wait; the kernel alone says that it is held."""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

STAGING = "staging-"  # and a folder's name: the lock that its owner holds
IMPATIENT_SECONDS = 5.0  # longer than anybody publishes


@dataclass
class Waiting:
    """How long this process waits for locks.

    Attributes:
        tell: gets a line on whom it waits for, now and then, and it waits without end, as a person
            at a terminal may want; None: it does not wait so.
        most: seconds after which it gives up in any case, if somebody asked for that.
        longest: seconds after which it gives up while it tells; a person presses Ctrl-C instead.
        pulse: seconds between two words, once it has waited for a while; None: a person's.
    """

    tell: Callable[[str], None] | None = None
    most: float | None = None
    longest: float = math.inf
    pulse: float | None = None

    def ask(self, wanted: bool, tell: Callable[[str], None]) -> None:
        """Wait without end, or hardly at all."""
        self.tell, self.most = (tell, None) if wanted else (None, IMPATIENT_SECONDS)


waiting = Waiting()


@contextmanager
def signed(lock: Path) -> Iterator[None]:
    """Leave word of this process beside a lock that it holds.

    A full disk is no reason not to work: then the note is missing.
    """
    note = _note(lock)
    with suppress(OSError):
        said = {"pid": os.getpid(), "command": _command(), "since": time.time()}
        note.write_text(json.dumps(said), encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink()


def holder(lock: Path) -> str:
    """Who holds it, as far as the note beside it says and that process lives."""
    try:
        said = json.loads(_note(lock).read_text(encoding="utf-8"))
        pid = int(said["pid"])
        name = f"process {pid}, `{said['command']}`{_since(said)}"
        os.kill(pid, 0)
    except PermissionError:  # another user's
        return name
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return "another run"
    return "this very run" if pid == os.getpid() else name


def _since(said: Mapping[str, Any]) -> str:
    """Since when, in the reader's time, with the day if it is another; older notes don't say."""
    if "since" not in said:
        return ""
    moment = datetime.fromtimestamp(float(said["since"])).astimezone()
    day = "" if moment.date() == datetime.now().astimezone().date() else "%Y-%m-%d "
    return f", since {moment.strftime(f'{day}%H:%M')}"


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
