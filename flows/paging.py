"""What is longer than the screen, in a pager; where there is none, or no screen, as it is."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable

from rich.console import Console

from flows import first_word

LESS = "FRX"  # ends at once where all fits; colours; leaves the text on the screen


def show(console: Console, draw: Callable[[], None], *, paged: bool) -> None:
    """Draw on a console, through a pager where that helps.

    Args:
        console: to draw on.
        draw: prints on it.
        paged: whether a pager may be used.
    """
    first_word.over()
    command = _pager() if paged and console.is_terminal and sys.stdin.isatty() else None
    if command is None:
        draw()
        return
    with console.capture() as drawn:
        draw()
    text = drawn.get()
    if text.count("\n") < console.height:
        console.file.write(text)
        console.file.flush()
    else:
        _page(command, text)


def _pager() -> list[str] | None:
    """The program that `PAGER` names, else less; None where the terminal can't move its cursor."""
    if os.environ.get("TERM", "dumb") == "dumb":
        return None
    command = shlex.split(os.environ.get("PAGER", "less"))
    return command if command and command != ["cat"] and shutil.which(command[0]) else None


def _page(command: list[str], text: str) -> None:
    """A Ctrl-C in it is the pager's own: it goes on, and so do we."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        environment = os.environ | {"LESS": os.environ.get("LESS", LESS), "LESSCHARSET": "utf-8"}
        subprocess.run(command, input=text, encoding="utf-8", env=environment, check=False)
    finally:
        signal.signal(signal.SIGINT, before)
