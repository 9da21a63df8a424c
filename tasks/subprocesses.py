"""Run a training program as a process of its own, and follow the JSON lines it prints.

Prefect breaks forked children, a GPU context should die with its run, and a kill must be
survivable: hence a process, in a group of its own that ends with us, even if we are killed.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from warehouse.errors import StepError

GRACE_SECONDS = 2.5  # to keep a checkpoint; a command that is interrupted has five seconds in all
SILENCE_SECONDS = 1800.0

LEASH = Path(__file__).with_name("leash.py")

Event = dict[str, Any]
Lines = queue.Queue[str | None]


def leashed(command: Sequence[str]) -> list[str]:
    """The command that ends when the pipe that is its standard input does; see `leash.py`."""
    return [sys.executable, "-I", "-S", str(LEASH), *command]


def follow(
    command: Sequence[str],
    on_event: Callable[[Event], None],
    *,
    log: Path,
    silence_seconds: float = SILENCE_SECONDS,
) -> None:
    """Run `command` to its end, passing on each event; what it says on stderr goes to `log`.

    Raises:
        StepError: it failed (with its own words), or was silent for `silence_seconds`.
    """
    with log.open("a") as errors:
        process = subprocess.Popen(
            leashed(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        lines: Lines = queue.Queue()
        threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
        try:
            last = _pass_on(process, lines, on_event, silence_seconds)
        finally:
            _end(process, lines)
            close(process)
    if process.returncode != 0:
        raise _failure(process.returncode, last, log)


def _pass_on(
    process: subprocess.Popen[str],
    lines: Lines,
    on_event: Callable[[Event], None],
    silence_seconds: float,
) -> Event:
    """Pass on the events; return the last one."""
    last: Event = {}
    while True:
        try:
            line = lines.get(timeout=silence_seconds)
        except queue.Empty:
            raise StepError(
                "Training hung", got=f"no sign of life for {silence_seconds:.0f} s"
            ) from None
        if line is None:
            process.wait()
            return last
        if line.startswith("{"):
            last = json.loads(line)
            on_event(last)


def _read(stream: IO[str], lines: Lines) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _end(process: subprocess.Popen[str], lines: Lines) -> None:
    """Ask the whole group to stop; `close` makes it.

    It says when its checkpoint is kept; to unload its libraries then takes seconds, for nothing.
    """
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    with suppress(queue.Empty):
        while line := lines.get(timeout=max(0.0, deadline - time.monotonic())):
            if line.startswith("{") and json.loads(line).get("event") == "interrupted":
                return


def close(process: subprocess.Popen[Any]) -> None:
    """Let go of the leash: what is left of the group is killed."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    process.wait()


def _failure(code: int, last: Event, log: Path) -> StepError:
    if last.get("event") == "error":
        return StepError(str(last["message"]).rstrip("."))
    return StepError(
        "Training stopped", got=f"exit code {code}", to_do=f"Its own words are in {log}"
    )
