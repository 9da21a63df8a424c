"""Homes as many tests begin with them, with their lakes: made by the first test, then copied.

A home names its files by whole paths, so a copy is as good as the one it was made from only in the
same place. The lake of a test is a schema of PostgreSQL with a name of its own, and a folder.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warehouse.home import Home

NOTE = "warehouse.url"  # the home's own: which schema its lake is


@dataclass
class _Kept:
    """What is copied, and what making it gave."""

    folder: Path
    gave: Any


class Kept:
    """Homes by the name of what was done in them.

    Args:
        folder: of copies.
        lakes: gives the server of lakes.
    """

    def __init__(self, folder: Path, lakes: Callable[[], Any]) -> None:
        self._folder, self._lakes = folder, lakes
        self._kept: dict[str, _Kept] = {}

    def begin(self, place: Path, home: Home, name: str, make: Callable[[], Any]) -> Any:
        """Do it, or bring the home to where it was then; what is not at its beginning is made.

        Args:
            place: has the home and the folder of its lake, and is the same for all tests.
            home: of the test.
            name: of what is made.
            make: does it.
        """
        if home.root.parent != place or self._is_used(home):
            return make()
        name = f"{home.root.name} {name}"
        if name not in self._kept:
            made = _Kept(self._folder / str(len(self._kept)), make())
            self._keep(place, home, made)
            self._kept[name] = made
        else:
            self._bring(place, home, self._kept[name])
        return self._kept[name].gave

    def _is_used(self, home: Home) -> bool:
        if any(home.catalogue.iterdir()):
            return True
        if home.lake is None:
            return False
        return home.lake.is_remote or self._lakes().has(home.lake.schema)

    def _keep(self, place: Path, home: Home, kept: _Kept) -> None:
        _copy(home.root, kept.folder / "home")
        if home.lake is not None:
            _copy(home.lake.files, kept.folder / "lake")
            self._lakes().copy(home.lake.schema, f"kept_{kept.folder.name}")

    def _bring(self, place: Path, home: Home, kept: _Kept) -> None:
        _copy(kept.folder / "home", home.root)
        if home.lake is not None:
            _copy(kept.folder / "lake", home.lake.files)
            self._lakes().copy(f"kept_{kept.folder.name}", home.lake.schema)


def _copy(one: Path, other: Path) -> None:
    but_the_note = shutil.ignore_patterns(NOTE)
    shutil.copytree(one, other, symlinks=True, dirs_exist_ok=True, ignore=but_the_note)
