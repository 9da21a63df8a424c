"""Places at which a test makes this program fail, as a crash, an error or a full disk would.

Nothing happens there unless the environment names one, `FPT_FAULT=PLACE:KIND[:NUMBER]`:

- `raise`: an error that nobody foresees;
- `kill`: the process is gone, as after a loss of power or the kernel's choice for want of memory;
- `full`: the disk has no room left;
- `delay`: it waits for so many seconds, each time;
- `note`: nothing but that each place is noted.

NUMBER says at which time of being there (the first, if none). The file that FPT_FAULT_NOTES names,
if any, gets a line for each place that failed or was noted. fpt_model and warehouse each hold
this file, the same to the byte, as neither may import the other.
"""

import errno
import os
import re
import signal
import sys
import time
from collections import Counter
from pathlib import Path

ASKED = "FPT_FAULT"
NOTES = "FPT_FAULT_NOTES"
_VARIES = re.compile(r"[0-9a-f]{8,}|[0-9]{3,}")  # ids and numbers within a file's name
_times: Counter[str] = Counter()


class FaultError(Exception):
    """What a test asked for."""


def point(name: str, path: Path | None = None) -> None:
    """A place with this name; if files of many kinds pass it, with the kind of `path` after it."""
    asked = os.environ.get(ASKED)
    if asked:
        _pass(name if path is None else f"{name} {kind_of(path)}", asked)


def kind_of(path: Path) -> str:
    """A file's name without what differs between files of one kind.

    >>> kind_of(Path("catalogue/0000000012-0f3a2b4c5d6e7f80.duckdb"))
    '*-*.duckdb'
    """
    return _VARIES.sub("*", path.name)


def _pass(place: str, asked: str) -> None:
    wanted, kind, number = (*asked.split(":"), "1", "")[:3]
    if kind == "note":
        _note(place)
    if wanted != place:
        return
    _times[place] += 1
    if kind == "delay":
        time.sleep(float(number))
    elif _times[place] == int(number):
        _note(place)
        _fail(place, kind)


def _fail(place: str, kind: str) -> None:
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place)
    raise FaultError(place)


def _note(place: str) -> None:
    """If a file is there for it; with the function passed through, which the source shows."""
    if NOTES not in os.environ:
        return
    frame = sys._getframe(3)
    if Path(frame.f_code.co_filename).name == "placing.py":
        frame = frame.f_back or frame  # who puts a file in its place
    line = f"{place}\t{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}\n"
    with Path(os.environ[NOTES]).open("a", encoding="utf-8") as notes:
        notes.write(line)
