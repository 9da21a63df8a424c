"""What dead runs left, and nothing that a living one uses.

Who works holds a lock, which the kernel frees when the process dies, however it dies:

- a folder in `staging/` has its owner's lock (`warehouse/staging.py`);
- anything else that is half made (files ending in `.partial`, loose files in `staging/`) can be
  any flow's of this home, so it stays while another flow's sign of life is held;
- a draft of a catalogue is of whoever holds the warehouse's lock.

Processes need none of this: what a command starts ends with it (`tasks/leash.py`).
"""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from warehouse import locks
from warehouse.database import is_held, locked
from warehouse.errors import InUseError, RefusedError
from warehouse.home import Home

SIGNS_OF_LIFE = ("flow-", "alone-")  # locks of flow runs: of a server's, of a command of its own
SETTLED_SECONDS = 60.0  # a lock's file is there for a moment before it is held
LOOK_SECONDS = 0.1
OLD_SECONDS = 24 * 3600.0  # readers hold no lock


@dataclass(frozen=True)
class Garbage:
    """Something that nobody uses any more.

    Attributes:
        what: in words.
        path: where it is, or the note of it.
        remove: makes it go.
    """

    what: str
    path: Path
    remove: Callable[[], None]


def collect(home: Home, own: str = "") -> list[str]:
    """Remove all garbage of a home; what can't be removed stays.

    Args:
        home: of the pipeline.
        own: the lock that the caller's own flow holds.

    Returns:
        What was removed, in words.
    """
    gone = []
    for one in find(home, own):
        try:
            one.remove()
        except (OSError, RefusedError):
            continue
        gone.append(one.what)
    return gone


def find(home: Home, own: str = "") -> list[Garbage]:
    """All garbage of a home; arguments as in `collect`."""
    # looked for before flows are: what one that starts just now makes is not among it
    loose = list(_loose(home))
    found = [*_staged(home), *_locks_of_staging(home), *_drafts(home)]
    if not others_live(home, own):
        found += loose
    return found


def others_live(home: Home, own: str = "") -> bool:
    """Whether a flow is at work in a home, but the one whose lock ends with `own`."""
    others = (path.stem for path in signs_of_life(home) if not own or not path.stem.endswith(own))
    return any(is_held(home, sign) for sign in others)


def signs_of_life(home: Home) -> list[Path]:
    """The locks of flow runs, of dead ones too."""
    return _sorted(home.locks.glob(f"{prefix}*.lock") for prefix in SIGNS_OF_LIFE)


def refuse_at_work(home: Home, to_do: str, seconds: float = 0.0) -> None:
    """Refuse what no flow may be at work beside, after waiting so long for its end.

    Raises:
        InUseError: one is.
    """
    deadline = time.monotonic() + seconds
    while others_live(home):
        if time.monotonic() >= deadline:
            waited = f"not done within {seconds:.0f} s" if seconds else None
            raise InUseError("A run is at work in this home", got=waited, to_do=to_do)
        time.sleep(LOOK_SECONDS)


def _staged(home: Home) -> Iterator[Garbage]:
    """Folders whose owner is gone."""
    for folder in sorted(home.staging.iterdir()):
        lock = home.locks / f"{locks.STAGING}{folder.name}.lock"
        if lock.exists() and not is_held(home, lock.stem):
            yield Garbage(f"staging/{folder.name}", folder, _both(folder, lock))


def _both(folder: Path, lock: Path) -> Callable[[], None]:
    def remove() -> None:
        shutil.rmtree(folder)
        locks.remove(lock)

    return remove


def _locks_of_staging(home: Home) -> Iterator[Garbage]:
    """Locks without a folder: it is removed first, or was not made yet."""
    for lock in sorted(home.locks.glob(f"{locks.STAGING}*.lock")):
        folder = home.staging / lock.stem.removeprefix(locks.STAGING)
        if not folder.exists() and _age(lock) > SETTLED_SECONDS and not is_held(home, lock.stem):
            yield Garbage(str(lock.relative_to(home.root)), lock, partial(locks.remove, lock))


def _loose(home: Home) -> Iterator[Garbage]:
    """What is half made and has no lock of its own."""
    for path in sorted(home.staging.iterdir()):
        if not (home.locks / f"{locks.STAGING}{path.name}.lock").exists():
            yield _file(home, path)
    for folder in (home.root, home.sequences, home.runs):
        depths = ("*/", "*/search/") if folder == home.runs else ("",)
        for path in _sorted(folder.glob(f"{depth}*.partial") for depth in depths):
            yield _file(home, path)
    for path in sorted(home.sources.glob("*.partial")):
        if not path.with_suffix(".version").exists():  # otherwise the download goes on from there
            yield _file(home, path)
    for path in sorted(home.sources.glob("*.version")):
        if not path.with_suffix(".partial").exists():
            yield _file(home, path)


def _sorted(several: Iterable[Iterable[Path]]) -> list[Path]:
    return sorted(path for some in several for path in some)


def _drafts(home: Home) -> Iterator[Garbage]:
    """Catalogues that were not finished, and memory spilled while one was made or read."""
    for path in sorted(home.catalogue.glob("*.partial*")):

        def remove(draft: Path = path) -> None:
            with locked(home, "warehouse", wait_seconds=0):
                draft.unlink(missing_ok=True)

        yield Garbage(str(path.relative_to(home.root)), path, remove)
    for path in _sorted([home.catalogue.glob("*.spill"), home.root.glob("*.spill")]):
        if _age(path) > OLD_SECONDS:
            yield _file(home, path)


def _file(home: Home, path: Path) -> Garbage:
    def remove() -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    return Garbage(str(path.relative_to(home.root)), path, remove)


def _age(path: Path) -> float:
    """Seconds since something in it changed last."""
    times = [path.stat().st_mtime, *(one.stat().st_mtime for one in path.glob("*"))]
    return time.time() - max(times)
