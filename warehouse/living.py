"""Processes by number and start time: a number alone may be another process's by now."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

_STATE, _STARTED = 0, 19  # fields of /proc/<pid>/stat after the name


@dataclass(frozen=True)
class Process:
    """One that was seen.

    Attributes:
        pid: its number.
        started: when it began, in the kernel's ticks since the machine did; empty where nothing
            tells, which is so outside Linux.
    """

    pid: int
    started: str

    @classmethod
    def seen(cls, pid: int) -> "Process":
        """The process that has the number now."""
        fields = _stat(pid)
        return cls(pid, fields[_STARTED] if fields else "")

    @property
    def lives(self) -> bool:
        """Whether it is still there, and more than an entry that nobody took note of."""
        fields = _stat(self.pid)
        return bool(fields) and fields[_STATE] != "Z" and fields[_STARTED] == self.started

    def end(self) -> None:
        """Make it stop, if it is still there."""
        if self.lives:
            os.kill(self.pid, signal.SIGKILL)


def _stat(pid: int) -> list[str]:
    """State, parent and so on, from /proc; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []
