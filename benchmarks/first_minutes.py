"""docs/first-minutes.md: what somebody new types, and the terminal as it then looks.

    python benchmarks/first_minutes.py

Each command runs in a new home at a pseudo-terminal of 100 columns; what a terminal would show at
its end is kept, with the seconds it took and those to its first words. A long answer is cut where
the page says so. Nothing of MovieLens is used.
"""

import argparse
import os
import platform
import pty
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fcntl import ioctl
from pathlib import Path

import pyte
from harness import ROOT, put
from results import cpu

PAGE = ROOT / "docs" / "first-minutes.md"
FPT = Path(sys.executable).parent / "fpt"
COLUMNS, LINES, SHOWN = 100, 400, 40
CTRL_C = b"\x03"


@dataclass(frozen=True)
class Step:
    """A command of the page.

    Attributes:
        says: what it is for, a sentence.
        words: what stands behind `fpt`.
        interrupt_at: Ctrl-C is pressed when these words are on the screen.
    """

    says: str
    words: tuple[str, ...]
    interrupt_at: str = ""


STEPS = (
    Step("What would happen, before anything does.", ("plan",)),
    Step("Ctrl-C at any moment is one line, and loses nothing.", ("run",), interrupt_at="train "),
    Step("The same command goes on, and ends with the metrics.", ("run",)),
    Step("Again: nothing has changed, nothing is done.", ("run",)),
    Step("A question with a name.", ("sql", "leaderboard")),
    Step("Any SQL.", ("sql", "SELECT model, ndcg_10 FROM leaderboard ORDER BY ndcg_10 DESC")),
    Step(
        "What one user may like next; nothing is published.",
        ("recommend", "--user", "1", "--top", "3"),
    ),
    Step("A mistype is one line that says what to do.", ("recommend", "--user", "99999")),
    Step("The report.", ("report", "--output", "report.html")),
)


@dataclass(frozen=True)
class Shown:
    """How a command went: its screen, its exit code, seconds to the first words and to the end."""

    lines: list[str]
    code: int
    first: float
    whole: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=PAGE)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FPT_HOME"] = "demo"
        parts = [device(), *(told(step, played(step, Path(folder))) for step in STEPS)]
    put(asked.output, "terminal", "\n\n".join(parts))
    return 0


def device() -> str:
    return f"On {cpu()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}."


def told(step: Step, shown: Shown) -> str:
    """A step as Markdown."""
    print(f"fpt {' '.join(step.words)}: {shown.whole:.1f} s, code {shown.code}", file=sys.stderr)
    words = " ".join(f'"{word}"' if " " in word else word for word in step.words)
    lines = cut(shown.lines)
    took = f"{shown.whole:.1f} s, its first words after {shown.first:.1f} s; exit code {shown.code}"
    return "\n".join(
        [f"**{step.says}** {took}.", "", "```console", f"$ fpt {words}", *lines, "```"]
    )


def cut(lines: list[str]) -> list[str]:
    """The first lines of a long answer, and how many are left out.

    >>> cut(["a"] * 50)[-1]
    '… 10 more lines'
    """
    if len(lines) <= SHOWN:
        return lines
    return [*lines[:SHOWN], f"… {len(lines) - SHOWN} more lines"]


def played(step: Step, folder: Path, timeout: float = 600.0) -> Shown:
    """Run a step at a pseudo-terminal until it ends."""
    began = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ.update(TERM="xterm-256color", TZ="UTC")
        os.execv(FPT, ["fpt", *step.words])
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    screen = pyte.Screen(COLUMNS, LINES)
    keys = Keys(step.interrupt_at, terminal)
    stream = pyte.ByteStream(screen)
    first = _watch(terminal, stream, lambda: keys.press(screen.display), timeout)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    whole = time.monotonic() - began
    return Shown(
        lines, os.waitstatus_to_exitcode(status), (first or time.monotonic()) - began, whole
    )


def _watch(
    terminal: int, stream: pyte.ByteStream, react: Callable[[], None], timeout: float
) -> float | None:
    """Feed the screen until the command closes it; returns when the first words came."""
    end, first = time.monotonic() + timeout, None
    for data in _read(terminal, end):
        first = first or time.monotonic()
        stream.feed(data)
        react()
    return first


def _read(terminal: int, end: float) -> Iterator[bytes]:
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux says so when the other side has closed
            return
        if not data:
            return
        yield data
    raise TimeoutError("the command did not end")


class Keys:
    """Presses Ctrl-C, once, when the words are on the screen."""

    def __init__(self, words: str, terminal: int) -> None:
        self.words, self.terminal, self.waits = words, terminal, bool(words)

    def press(self, lines: list[str]) -> None:
        """Look at the screen."""
        if self.waits and any(self.words in line for line in lines):
            self.waits = False
            os.write(self.terminal, CTRL_C)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & leaves it ignored
    sys.exit(main())
