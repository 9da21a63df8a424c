"""How a command runs: what it says while it works, and the one message when it fails."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import typer

from flows import console
from warehouse.errors import RefusedError

T = TypeVar("T")


def working(flow: Callable[[], T], home: Path) -> T:
    """Run a flow with progress bars; its log, tracebacks included, goes to `logs/fpt.log`."""

    def logged() -> T:
        from flows.logs import log_to

        log_to(home)
        with console.progress_bars():
            return flow()

    return guarded(logged, home)


def guarded(action: Callable[[], T], home: Path) -> T:
    """Run `action`; end the process with one clear message when it fails."""
    try:
        return action()
    except RefusedError as error:
        # Prefect keeps the error; its frames would keep open connections to the end and past it.
        traceback.clear_frames(error.__traceback__)
        message, code = str(error), 1
    except KeyboardInterrupt:
        message, code = "interrupted; what was finished is kept", 130
    except Exception as error:
        from flows.logs import keep_traceback

        log = keep_traceback(home)
        message, code = f"{type(error).__name__}: {error} (traceback in {log})", 1
    console.fail(message)
    raise typer.Exit(code)
