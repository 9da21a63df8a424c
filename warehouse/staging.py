"""Folders for what is not published yet: one a run and content, held while its owner lives."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warehouse.database import locked
from warehouse.home import Home

LOCK = "staging-"  # and the folder's name: the lock that its owner holds


@contextmanager
def staging_folder(home: Home, name: str) -> Iterator[Path]:
    """A new folder in `staging/` that nobody else has, gone at the end, whatever happens.

    Two runs at once that stage the same content do not meet. The lock is held before the folder is
    there, and the kernel frees it when its owner dies: a folder without a holder is garbage (see
    `warehouse/garbage.py`).

    Args:
        home: of the pipeline.
        name: what is staged, such as an id.
    """
    own = f"{name}-{secrets.token_hex(4)}"
    folder = home.staging / own
    with locked(home, f"{LOCK}{own}", wait_seconds=0):
        try:
            folder.mkdir(mode=0o750)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            (home.locks / f"{LOCK}{own}.lock").unlink(missing_ok=True)
