"""Rows that don't fit into memory together, in files that do: a few for each part."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl


class Spill:
    """Frames of parts, on the disk; a part may come in pieces.

    Args:
        folder: is made; what is in it goes with the folder around it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pieces: dict[int, int] = {}
        folder.mkdir()

    def __len__(self) -> int:
        """Parts, numbered from 0."""
        return max(self._pieces, default=-1) + 1

    def add(self, part: int, frame: pl.DataFrame) -> None:
        """Write a piece of a part."""
        piece = self._pieces.get(part, 0)
        frame.write_ipc(self._path(part, piece), compression="lz4")
        self._pieces[part] = piece + 1

    def read(self, part: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """A part, or some of its columns, its pieces in their order."""
        wanted = None if columns is None else list(columns)
        return pl.concat(pl.read_ipc(path, columns=wanted) for path in self._paths(part))

    def drop(self, part: int) -> None:
        """Give a part's room on the disk back."""
        for path in self._paths(part):
            path.unlink()

    def _paths(self, part: int) -> list[Path]:
        return [self._path(part, piece) for piece in range(self._pieces[part])]

    def _path(self, part: int, piece: int) -> Path:
        return self.folder / f"{part}-{piece}.arrow"
