"""Keeping a home whole: what was damaged is seen, goes out of the views, and is made again."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from warehouse.catalogue import opened, reading, writing
from warehouse.database import WAIT_SECONDS, connected
from warehouse.errors import RefusedError
from warehouse.faults import point
from warehouse.following import publication, turn
from warehouse.home import Home
from warehouse.kept_catalogues import catalogues, copy_fault, give_to_readers, is_whole
from warehouse.lake import objects, upstream
from warehouse.placing import put_in_place
from warehouse.store import listed, show_listed, unlist, unlisted
from warehouse.stored_files import GRACE_SECONDS, StoredFile, damaged, refuse_unreadable


def keep_whole(home: Home, *, whole: bool = False) -> Iterator[str]:
    """Look at what is published and mend it; says what was wrong, in a line each.

    At each run the bytes of the catalogue and of the readers' copy, and sizes and marks of every
    file; every byte of those with `whole`, after an end that was not orderly. A file that is not
    as it was written leaves the catalogue, so that it misleads nobody, and what it held counts as
    not done.

    Raises:
        RefusedError: no catalogue is whole.
    """
    if not publication(home):
        return
    yield from go_back(home)
    yield from _withdraw_damaged(home, whole)
    if copy_fault(home):
        with turn(home):
            fault = copy_fault(home)  # a publication may have been under way
            give_to_readers(home)
        if fault:
            yield f"{home.published.name} was {fault}: it is the last publication again"


def go_back(home: Home) -> Iterator[str]:
    """Put a damaged newest catalogue aside: the one before counts, and later work is done again.

    Raises:
        RefusedError: none of those that are kept is whole.
    """
    if is_whole(catalogues(home)[0]):
        return
    with turn(home):
        found = catalogues(home)
        good = next((path for path in found if is_whole(path)), None)
        if good is None and home.lake is None:
            raise RefusedError(
                "No catalogue is whole",
                got=f"{len(found)} damaged ones in {home.catalogue}",
                to_do="`fpt restore` brings back a backup",
            )
        # a lake has the newest: the next look brings it
        counts = "the lake's newest" if good is None or home.lake is not None else good.name
        for path in found[: found.index(good) if good else None]:
            put_in_place(path, path.with_suffix(".damaged"))
            yield f"{path.name} was damaged: {counts} counts again"


def prune(
    home: Home, *, older_than: float = GRACE_SECONDS, wait_seconds: float = WAIT_SECONDS
) -> list[Path]:
    """Delete files of the store that no kept catalogue lists and nobody touched for so long.

    Also what a lake can go back to beyond its days, which makes more such files.

    Those of the catalogues before the newest stay: `go_back` needs them.

    Raises:
        RefusedError: the newest catalogue is damaged, so that nobody knows what counts; somebody
            publishes for longer than `wait_seconds`.
    """
    if not (_going(home, older_than) or upstream.is_long(home)):
        return []  # mostly: and nobody's lock is waited for
    with turn(home, wait_seconds=wait_seconds):
        upstream.expire(home, [file.path for file in _kept_files(home)])
        left = _going(home, older_than)
        for path in left:
            point("before a file goes that nobody lists")
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
    return left


def _going(home: Home, older_than: float) -> list[Path]:
    return unlisted(home, _kept_files(home), older_than=older_than, held=upstream.held(home))


def _kept_files(home: Home) -> list[StoredFile]:
    """What is listed by the newest catalogue, and by those before it that are whole."""
    with opened(home) as connection:
        files = listed(connection)
    for path in catalogues(home)[1:]:
        if is_whole(path):
            with connected(path, read_only=True) as connection:
                files += listed(connection)
    return files


def _withdraw_damaged(home: Home, whole: bool) -> Iterator[str]:
    # a catalogue that counts again may be of before the home moved: its views look elsewhere
    with reading(home) as connection:
        files = listed(connection)
    if home.lake is not None:
        objects.bring(home, files, whole=whole)
        refuse_unreadable(home, files)
    broken = list(damaged(home, files, whole=whole))
    if not broken:
        return
    with writing(home) as connection:
        for file, _ in broken:
            unlist(connection, file.table, file.identity)
        show_listed(connection, home, {file.table for file, _ in broken})
    point("damaged files are out of the catalogue")
    for file, fault in broken:
        aside = home.files / file.path
        if aside.exists():
            with suppress(PermissionError):  # another user's, in a lake
                os.utime(aside)  # it stays for a day, to be looked at
            put_in_place(aside, aside.with_suffix(".damaged"))
        yield f"{file.path} is {fault}: the next run that needs it makes it again"
