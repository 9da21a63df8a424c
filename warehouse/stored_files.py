"""A file of the store as the catalogue lists it, and whether it is still what was written."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.identity import sha256_of

MAGIC = b"PAR1"
GRACE_SECONDS = 24 * 3600.0  # readers of a catalogue of before may still open its files


@dataclass(frozen=True)
class StoredFile:
    """A row of `mart.files`.

    Attributes:
        table: the table it holds rows of.
        identity: the load, snapshot or training whose rows they are.
        path: relative to the home.
        sha256: of its bytes.
        size: in bytes.
        rows: how many.
    """

    table: str
    identity: str
    path: str
    sha256: str
    size: int
    rows: int


def damaged(
    home: Home, files: Iterable[StoredFile], *, whole: bool = False
) -> Iterator[tuple[StoredFile, str]]:
    """Files that are not as they were written, each with what is wrong.

    Args:
        home: where they are.
        files: those to look at.
        whole: hash every byte; else sizes and the marks at both ends, which takes no time.
    """
    for file in files:
        path = home.files / file.path
        if fault := fault_of(path, file, whole):
            yield file, fault


def refuse_unreadable(home: Home, files: Iterable[StoredFile]) -> None:
    """A share that is not mounted here must not make a lake's data go for everybody.

    Nor does DuckLake let a file go that it can't open.

    Raises:
        RefusedError: a file of the lake is missing here, or this user can't read it.
    """
    for file, fault in damaged(home, files, whole=False):
        raise RefusedError(
            "A file of the lake can't be read here",
            got=f"{home.files / file.path}: {fault}",
            to_do="Mount the lake's folder, or bring the file back from a copy of it",
        )


def fault_of(path: Path, file: StoredFile, whole: bool) -> str:
    """What is wrong with it; empty when nothing is."""
    try:
        size = path.stat().st_size
        if size != file.size:
            return f"{size:,} bytes instead of {file.size:,}"
        with path.open("rb") as opened:
            begins = opened.read(len(MAGIC))
            opened.seek(-len(MAGIC), os.SEEK_END)
            if begins != MAGIC or opened.read() != MAGIC:
                return "no Parquet file any more"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return error.strerror or str(error)
    return "other bytes than were written" if whole and sha256_of(path) != file.sha256 else ""
