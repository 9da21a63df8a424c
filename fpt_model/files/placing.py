"""Putting a written file in its place, so that a crash leaves the old one or the new one.

fpt_model and warehouse each hold this file, the same to the byte, as neither may import the other.
"""

import os
from pathlib import Path

from .faults import point


def put_in_place(partial: Path, path: Path) -> Path:
    """Rename a whole file to `path`; when this returns, no loss of power undoes it.

    The file's bytes come to the disk first, and the folder's entry after the rename: without the
    one the name may stand for half a file after a crash, without the other for the old one.
    """
    sync(partial)
    point("before the rename to", path)
    partial.replace(path)
    point("after the rename to", path)
    sync(path.parent)
    return path


def put_link_in_place(link: Path, path: Path) -> None:
    """The same for a symbolic link, which has no bytes of its own, and may lead nowhere."""
    point("before the rename to", path)
    link.replace(path)
    point("after the rename to", path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until what a file or folder holds is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
