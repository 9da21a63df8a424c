"""What a command that did not finish leaves behind is removed, unless it may be another's."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows import server
from tasks.ends import ends
from tasks.flow_runs import current
from tasks.last_words import INTERRUPTED
from warehouse.garbage import others_live
from warehouse.home import Home

_CLOCKS = 2.0  # by how much a file's time may differ from ours


@contextmanager
def swept(root: Path) -> Iterator[None]:
    """Remove what the block began in staging, and half-written files, when it fails.

    Also at an end by force, when no `finally` runs any more.
    """
    remove = _sweeper(Home.at(root), time.time() - _CLOCKS)
    before, ends.at_last = ends.at_last, [remove, _tell_cancelled]
    try:
        yield
    except BaseException:
        with suppress(OSError):
            remove()
        raise
    finally:
        ends.at_last = before


def _tell_cancelled() -> None:
    if current.id is not None and not current.done:
        server.tell_cancelled(current.id, INTERRUPTED)


def _sweeper(home: Home, since: float) -> Callable[[], None]:
    def remove() -> None:
        if not others_live(home, str(current.id or "")):
            for path in _unfinished(home):
                _remove(path, since)

    return remove


def _unfinished(home: Home) -> Iterator[Path]:
    yield from list(home.staging.iterdir())
    for folder in (home.root, home.sources, home.sequences):
        yield from list(folder.glob("*.partial*"))


def _remove(path: Path, since: float) -> None:
    with suppress(OSError):
        if path.stat().st_mtime < since:
            return
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
