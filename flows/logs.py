"""Where the command line keeps what is too long for a terminal."""

import logging
import traceback
from pathlib import Path

from warehouse.home import Home

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Log(logging.FileHandler):
    """A log that says nothing of its own failures: a full disk is told once, by what it stops."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Drop the record; Python would print a traceback for each."""


def log_to(home: Path) -> None:
    """Send the logs of flows, tasks and their tracebacks to `logs/fpt.log`."""
    handler = _Log(log_file(home), encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.getLogger("prefect").addHandler(handler)


def keep_traceback(home: Path) -> Path:
    """Append the exception being handled to the log; return the log's path."""
    path = log_file(home)
    with path.open("a", encoding="utf-8") as file:
        file.write(traceback.format_exc())
    return path


def log_file(home: Path) -> Path:
    """The log of a home; its folder is made when missing."""
    folder = Home.at(home).root / "logs"
    folder.mkdir(mode=0o750, exist_ok=True)
    return folder / "fpt.log"
