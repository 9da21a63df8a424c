"""A word at the terminal while a command is at work and has said nothing yet.

It stands on the last line of the screen and is gone when the command says something itself.
"""

import atexit
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

AFTER_SECONDS = 0.8  # an answer that comes sooner is all that is said
AGAIN_SECONDS = 1.0
CLEAR = "\r\x1b[K"


class FirstWord:
    """Writes `fpt report … 3 s` over and over, until `over` is called.

    Args:
        screen: a terminal.
        name: of the command.
    """

    def __init__(self, screen: TextIO, name: str) -> None:
        self._screen, self._name, self._began = screen, name, time.monotonic()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._stands = False
        threading.Thread(target=self._work, daemon=True, name="first word").start()

    def over(self) -> None:
        """The command speaks: take the word from the screen, and say it no more."""
        with self._lock:
            self._over.set()
            if self._stands:
                self._stands = False
                self._screen.write(CLEAR)
                self._screen.flush()

    def _work(self) -> None:
        wait = AFTER_SECONDS
        while not self._over.wait(wait):
            wait = AGAIN_SECONDS
            with self._lock:
                if not self._over.is_set():
                    self._stands = True
                    passed = time.monotonic() - self._began
                    self._screen.write(f"{CLEAR}{self._name} … {passed:.0f} s")
                    self._screen.flush()


_word: FirstWord | None = None


def command() -> str:
    """What was typed, without its options: `fpt report`."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])


def begin() -> None:
    """Say a word for the command that was typed, if it is slow and there is a terminal."""
    global _word  # noqa: PLW0603 - a process has one command
    if _word is None and sys.stderr.isatty():
        _word = FirstWord(sys.stderr, command())
        atexit.register(over)


def over() -> None:
    """Something else is said now."""
    if _word is not None:
        _word.over()
