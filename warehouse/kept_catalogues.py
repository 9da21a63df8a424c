"""The files of catalogues, by number and content, and the copy of the newest that readers open.

A catalogue is never changed where it lies. `published.duckdb` is a copy of the newest for people
and their tools, who may do with it what they like: no program of ours rests on it, and it is known
by its content.
"""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from warehouse.errors import RefusedError
from warehouse.faults import point
from warehouse.home import Home
from warehouse.identity import sha256_of
from warehouse.placing import put_in_place, put_link_in_place
from warehouse.records import Published

KEPT = 3  # catalogues: the newest, and two to go back to
NUMBER_DIGITS = 10
HASH_DIGITS = 32
# DuckDB makes the file beside a database that takes its changes; through a link to nowhere it
# can't. So nobody can change the readers' copy, and nobody's changes meet the next one.
NOWHERE = "nobody/writes-here"
READ_ONLY = 0o440
NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)  # of a file system without links


def catalogues(home: Home) -> list[Path]:
    """All that are kept, the newest first."""
    return sorted(home.catalogue.glob(f"{'[0-9]' * NUMBER_DIGITS}-*.duckdb"), reverse=True)


def here(home: Home) -> Path | None:
    """The newest that the home has."""
    return next(iter(catalogues(home)), None)


def number_here(home: Home) -> int:
    """The number of its publication; 0: there is none."""
    path = here(home)
    return number_of(path) if path else 0


def number_of(path: Path) -> int:
    """The number of its publication."""
    return int(path.name[:NUMBER_DIGITS])


def is_whole(path: Path) -> bool:
    """Whether a catalogue's bytes are those that were written: its name tells."""
    return sha256_of(path).startswith(path.stem[NUMBER_DIGITS + 1 :])


def refuse_damaged(path: Path) -> None:
    """A copy of damaged bytes would be published under their own hash, as if they were whole.

    Raises:
        RefusedError: it is not as it was written.
    """
    if not is_whole(path):
        raise RefusedError(
            f"{path.name} is damaged",
            got="other bytes than were written",
            to_do="`fpt doctor --mend` goes back to the last good one",
        )


def forget_older(home: Home) -> None:
    """Remove all catalogues but the newest, and damaged ones: they hold who was forgotten since."""
    for old in catalogues(home)[1:]:
        point("before a catalogue with a forgotten person goes")
        old.unlink()
    for damaged in home.catalogue.glob("*.damaged"):
        damaged.unlink()


def forget_draft(draft: Path) -> None:
    """Remove a catalogue that was not finished, and what DuckDB put beside it."""
    for left in (draft, Path(f"{draft}.wal"), draft.with_name(f"clean-{draft.name}")):
        left.unlink(missing_ok=True)


def put_newest(home: Home, draft: Path, number: int) -> None:
    """Make a draft the newest catalogue, and what readers open."""
    draft.chmod(READ_ONLY)
    put_in_place(draft, home.catalogue / name_of(draft, number))
    give_to_readers(home)
    for old in catalogues(home)[KEPT:]:
        point("before an old catalogue goes")
        old.unlink()  # who has it open keeps it


def name_of(path: Path, number: int) -> str:
    """What a catalogue is called: its publication, and its bytes."""
    return f"{number:0{NUMBER_DIGITS}}-{sha256_of(path)[:HASH_DIGITS]}.duckdb"


def give_to_readers(home: Home) -> Published:
    """Make the readers' copy the newest catalogue, if it is not; what readers left beside it goes.

    Raises:
        RefusedError: nothing is published yet.
    """
    path = here(home)
    if path is None:
        raise RefusedError("Nothing is published yet", to_do="Run `fpt run` first")
    _guard_copy(home)
    size = path.stat().st_size
    if home.published.is_file() and _same(path, home.published):
        return Published(changed=False, size=size)
    partial = home.catalogue / f"readers-{os.getpid()}.partial"
    try:
        shutil.copyfile(path, partial)
        point("a catalogue is copied for readers")
        partial.chmod(READ_ONLY)
        put_in_place(partial, home.published)
    finally:
        partial.unlink(missing_ok=True)
    return Published(changed=True, size=size)


def copy_fault(home: Home) -> str:
    """What is wrong with the readers' copy; empty when nothing is."""
    path = here(home)
    if path is None:
        return ""
    if not home.published.is_file():
        return "missing"
    if not _same(path, home.published):
        return "changed by somebody, or damaged"
    return "" if _is_guarded(home) else "a reader left changes beside it, or its guard is gone"


def _same(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and sha256_of(one) == sha256_of(other)


def _guard_path(home: Home) -> Path:
    return Path(f"{home.published}.wal")


def _is_guarded(home: Home) -> bool:
    guard = _guard_path(home)
    return guard.is_symlink() and str(guard.readlink()) == NOWHERE


def _guard_copy(home: Home) -> None:
    """Put the link to nowhere beside the readers' copy, in place of what a reader left there."""
    if _is_guarded(home):
        return
    link = home.catalogue / f"guard-{os.getpid()}.partial"
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(NOWHERE)
        put_link_in_place(link, _guard_path(home))
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # its mode alone protects the copy
        with suppress(FileNotFoundError):
            _guard_path(home).unlink()
