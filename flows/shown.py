"""What is seen of work while it goes on: bars at a terminal, lines elsewhere; never silence.

Something is said before the heavy packages are imported, and again and again in a long silence.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from flows import console, first_word
from warehouse.visible import printable

PULSE_SECONDS = 10.0
LOOK_SECONDS = 0.2


class Shown(Protocol):
    """`tasks.progress.Reporter`, which this room can't import without its heavy packages."""

    def report(self, step: str, done: float, total: float | None, note: str) -> None:
        """See `tasks.progress.Reporter`."""

    def note(self, text: str) -> None:
        """See `tasks.progress.Reporter`."""


class Share(ProgressColumn):
    """Percent done, or the count where nobody knows of how much."""

    def render(self, task: Task) -> Text:
        """The cell."""
        if task.total is None:
            return Text(f"{task.completed:,.0f}" if task.completed else "")
        return Text(f"{task.percentage:>3.0f}%")


class BarReporter:
    """Shows each step as a bar on stderr."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def report(self, step: str, done: float, total: float | None, note: str) -> None:
        """See `tasks.progress.Reporter`."""
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=total, note="")
        self._bars.update(self._tasks[step], completed=done, total=total, note=note)

    def note(self, text: str) -> None:
        """See `tasks.progress.Reporter`."""
        self._bars.console.print(escape(printable(text)))


class LineReporter:
    """Writes a line when a step begins and ends, and one now and then while all is silent.

    Args:
        to: where the lines go.
        name: of the command.
        clock: seconds, from anywhere on.
    """

    def __init__(self, to: Console, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._to, self._clock = to, clock
        self._name = name
        self._at_work: dict[str, str] = {}  # steps, and the latest of each; the last one spoke last
        self._begun: dict[str, float] = {name: clock()}
        self._ended: set[str] = set()
        self._spoke: float | None = None
        self._lock = threading.Lock()

    def report(self, step: str, done: float, total: float | None, note: str) -> None:
        """See `tasks.progress.Reporter`."""
        new = step not in self._begun
        since = self._begun.setdefault(step, self._clock())
        share = f"{done / total:.0%}" if total else f"{done:,.0f}" if done else ""
        latest = ", ".join(part for part in (f"{step}: {share}".rstrip(": "), note) if part)
        self._at_work.pop(step, None)
        if total and done >= total:
            if step not in self._ended:
                self._ended.add(step)
                self._say(f"{latest}, after {_time(self._clock() - since)}")
            return
        self._at_work[step] = latest
        if new:
            self._say(f"{step}: begins")

    def note(self, text: str) -> None:
        """See `tasks.progress.Reporter`."""
        self._say(text)

    def look(self) -> None:
        """Say something if nothing was said for long."""
        now, began = self._clock(), self._begun[self._name]
        silent = now - (began if self._spoke is None else self._spoke)
        if self._spoke is None and silent >= first_word.AFTER_SECONDS:
            self._say(f"{self._name}: starts")
        elif silent >= PULSE_SECONDS:
            latest = list(self._at_work.values())[-1:] or [self._name]
            self._say(f"{latest[0]} … {_time(now - began)}")

    def _say(self, text: str) -> None:
        with self._lock:
            self._spoke = self._clock()
            self._to.print(escape(printable(text)), soft_wrap=True, highlight=False)


@contextmanager
def progress() -> Iterator[Shown]:
    """Show what goes on, on stderr, while the block runs; the reporter shows it."""
    name = first_word.command()
    at_terminal = console.err.is_terminal and not console.err.is_dumb_terminal
    with _bars(name) if at_terminal else _lines(name) as reporter:
        yield reporter


@contextmanager
def _bars(name: str) -> Iterator[BarReporter]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        Share(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    bars = Progress(*columns, console=console.err)
    whole = bars.add_task(name, total=None, note="")  # it moves, whatever else stands still
    with bars:
        try:
            yield BarReporter(bars)
        finally:
            bars.remove_task(whole)


@contextmanager
def _lines(name: str) -> Iterator[LineReporter]:
    reporter, over = LineReporter(console.err, name), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            reporter.look()

    threading.Thread(target=look, daemon=True, name="pulse").start()
    try:
        yield reporter
    finally:
        over.set()


def _time(seconds: float) -> str:
    """Seconds as people say them.

    >>> _time(7.4), _time(3727)
    ('7 s', '62 min 7 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
