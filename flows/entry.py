"""The entry point of `fpt`: a Ctrl-C is answered from here on, while all else is still imported."""

import os
import signal
from types import FrameType

from tasks.collector import collector
from tasks.last_words import interrupted

NEW_LINE = "\r\n" if os.isatty(2) else ""  # after the ^C that a terminal shows


def _end_at_once(number: int, _: FrameType | None) -> None:
    """Nothing is begun yet that would have to be ended in order."""
    os.write(2, f"{NEW_LINE}{interrupted(128 + number)}\n".encode())
    os._exit(128 + number)


for _number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(_number, _end_at_once)


def main() -> None:
    """Import the commands, which takes moments, and run the one that was typed."""
    collector.freezes = True
    with collector.held():
        from flows.cli import main as command_line

    command_line()
