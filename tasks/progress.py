"""How long work tells how far it is: to the terminal, or to the log of a scheduled run."""

import time
from collections.abc import Callable
from typing import Protocol

from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger

LOG_EVERY_SECONDS = 10.0
Advance = Callable[[int, int | None], None]


class Reporter(Protocol):
    """Takes what a step has done so far."""

    def report(self, step: str, done: float, total: float | None, note: str) -> None:
        """`done` of `total` (None: unknown) units of `step`, with a word on the latest."""

    def note(self, text: str) -> None:
        """Something worth knowing once."""


class LogReporter:
    """Writes a line to the run's log now and then.

    Args:
        every: seconds between two lines on a step; its end is always told.
    """

    def __init__(self, every: float = LOG_EVERY_SECONDS) -> None:
        self._every = every
        self._last: dict[str, float] = {}

    def report(self, step: str, done: float, total: float | None, note: str) -> None:
        """See `Reporter`."""
        now = time.monotonic()
        if done != total and now - self._last.get(step, -self._every) < self._every:
            return
        self._last[step] = now
        share = f"{done / total:4.0%}" if total else f"{done:,.0f}"
        get_run_logger().info("%s: %s %s", step, share, note)

    def note(self, text: str) -> None:
        """See `Reporter`."""
        get_run_logger().info(text)


_reporter: Reporter = LogReporter()


def use(reporter: Reporter) -> None:
    """Report to `reporter` from here on; the command line shows bars this way."""
    global _reporter  # noqa: PLW0603 - one terminal, one reporter a process
    _reporter = reporter


def report(step: str, done: float, total: float | None = None, note: str = "") -> None:
    """Tell how far `step` is."""
    _reporter.report(step, done, total, note)


def note(text: str) -> None:
    """Tell something once."""
    _reporter.note(text)


def warn(text: str) -> None:
    """Tell something that somebody should look at: shown at once, and kept in the log."""
    if not isinstance(_reporter, LogReporter):
        _reporter.note(text)
    try:
        get_run_logger().warning(text)
    except MissingContextError:  # a task's function called without its run
        get_logger("fpt").warning(text)


def advancing(step: str) -> Advance:
    """A callback for the pure functions, which know nothing of reporters."""
    return lambda done, total: report(step, done, total)
