"""Files that are there whole or not at all, also after a loss of power."""

import os
from pathlib import Path


def put_in_place(written: Path, path: Path) -> None:
    """Give a finished file its name: its bytes are on the disk first, its name right after."""
    sync(written)
    written.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
