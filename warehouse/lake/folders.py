"""Folders in a lake's folder, which other users write into too."""

import stat
from pathlib import Path


def share(lake: Path, inside: Path) -> None:
    """Make a folder within a lake's, and those on the way: who may write that may write them."""
    missing = []
    while inside != lake and not inside.is_dir():
        missing.append(inside)
        inside = inside.parent
    for folder in reversed(missing):
        try:
            folder.mkdir()
        except FileExistsError:  # its rights are of who has just made it
            continue
        folder.chmod(stat.S_IMODE(lake.stat().st_mode))
