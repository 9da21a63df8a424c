"""The files that a source of own data is made of, and what it is known by."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from warehouse.errors import RefusedError
from warehouse.identity import sha256_of
from warehouse.own_data.description import Description
from warehouse.own_data.opening import parts_of

LOGS = ("-wal", ".wal")  # of SQLite and DuckDB: what is not in the database's own file yet


@dataclass(frozen=True)
class SourceFiles:
    """All files that are read, as they were when they were hashed.

    Attributes:
        source: the file or folder that was given.
        files: by the name that they are listed by.
        sha256: of the one file; of several, of the lines that `sha256sum` writes of them by name.
        marks: size and time of the last change of each.
    """

    source: Path
    files: dict[str, Path]
    sha256: str
    marks: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(size for size, _ in self.marks)

    def refuse_changed(self) -> None:
        """What was read must be what was hashed.

        Raises:
            RefusedError: a file was changed since.
        """
        if _marks(self.files) != self.marks:
            raise RefusedError(
                f"{self.source} changed while it was read", to_do="Run the command again"
            )


def source_files(description: Description, source: Path) -> SourceFiles:
    """Hash all that will be read.

    Raises:
        RefusedError: a file can't be read.
    """
    files = dict(sorted(_listed(description, source)))
    try:
        marks = _marks(files)  # before the hashes: a change meanwhile is seen later
        return SourceFiles(source, files, _sum(files, source), marks)
    except OSError as error:
        raise RefusedError(
            f"{error.filename or source} can't be read",
            got=error.strerror or str(error),
            to_do="Check --source and the description",
        ) from error


def _listed(description: Description, source: Path) -> Iterator[tuple[str, Path]]:
    if source.is_dir():
        for part in parts_of(source):
            yield part.relative_to(source).as_posix(), part
    else:
        yield source.name, source
    if description.items:
        yield f"items/{description.items.file.name}", description.items.file
    for name in LOGS:
        log = source.with_name(source.name + name)
        if log.is_file() and log.stat().st_size:
            yield log.name, log


def _marks(files: dict[str, Path]) -> tuple[tuple[int, int], ...]:
    return tuple((one.st_size, one.st_mtime_ns) for one in map(Path.stat, files.values()))


def _sum(files: dict[str, Path], source: Path) -> str:
    sums = {name: sha256_of(path) for name, path in files.items()}
    if list(files.values()) == [source]:
        return next(iter(sums.values()))
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sums.items())
    return hashlib.sha256(lines.encode()).hexdigest()
