"""Homes as many tests begin with them, with their lakes: made by the first test, then copied.

A home names its files by whole paths, so a copy is as good as the one it was made from only in the
same place. The lake of a test is a schema of PostgreSQL with a name of its own, and a folder.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warehouse.following import newest
from warehouse.home import Home
from warehouse.lake.attached import let_go

# which schema is its lake; what is held by somebody
OWN = ("warehouse.url", "staging", "locks")


@dataclass
class _Kept:
    """What is copied, and what making it gave."""

    folder: Path
    gave: Any


class Kept:
    """Homes by what was done in them, and what they were before.

    Args:
        folder: of copies.
        lakes: gives the server of lakes.
    """

    def __init__(self, folder: Path, lakes: Callable[[], Any]) -> None:
        self._folder, self._lakes = folder, lakes
        self._kept: dict[tuple[str, str, frozenset[tuple[str, int]]], _Kept] = {}

    def begin(self, place: Path, home: Home, name: str, make: Callable[[], Any]) -> Any:
        """Do it, or bring the home to where it was when it had been done.

        Args:
            place: has the home and the folder of its lake, and is the same for all tests.
            home: of the test.
            name: of what is made.
            make: does it.
        """
        if home.root.parent != place or (home.lake is not None and home.lake.is_remote):
            return make()
        newest(home)  # what others have published into its lake it has, too
        key = (home.root.name, name, _state(home))
        if key not in self._kept:
            made = _Kept(self._folder / str(len(self._kept)), make())
            self._keep(home, made)
            self._kept[key] = made
        else:
            self._bring(home, self._kept[key])
        return self._kept[key].gave

    def _keep(self, home: Home, kept: _Kept) -> None:
        _copy(home.root, kept.folder / "home")
        if home.lake is not None:
            _copy(home.lake.files, kept.folder / "lake")
            self._lakes().copy(home.lake.schema, f"kept_{kept.folder.name}")

    def _bring(self, home: Home, kept: _Kept) -> None:
        _copy(kept.folder / "home", home.root)
        if home.lake is not None:
            let_go()  # it may have read what was there
            _copy(kept.folder / "lake", home.lake.files)
            self._lakes().copy(f"kept_{kept.folder.name}", home.lake.schema)


def _state(home: Home) -> frozenset[tuple[str, int]]:
    """What lies in a home, by name and size; those of catalogues and tables are names of bytes."""
    paths = [path for path in home.root.rglob("*") if path.is_file()]
    names = {path: path.relative_to(home.root) for path in paths}
    return frozenset(
        (str(name), path.stat().st_size) for path, name in names.items() if name.parts[0] not in OWN
    )


def _copy(one: Path, other: Path) -> None:
    """What is there goes."""
    for path in other.iterdir() if other.exists() else ():
        if path.name in OWN:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    but_its_own = shutil.ignore_patterns(*OWN)
    shutil.copytree(one, other, symlinks=True, dirs_exist_ok=True, ignore=but_its_own)
