"""Opening an archive that nobody vouches for."""

import hashlib
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from warehouse.datasets.dataset import Dataset
from warehouse.errors import RefusedError
from warehouse.shown import visible

MAX_ARCHIVE_BYTES = 4 << 30
MAX_MEMBER_BYTES = 8 << 30
MAX_RATIO = 200  # text of ratings packs about 4 : 1; a bomb is beyond 1000 : 1
_CHUNK = 1 << 20
_ENCRYPTED = 0x1
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
_LOST = (*_DAMAGED, OSError, ValueError, OverflowError)  # a damaged directory points anywhere


@dataclass(frozen=True)
class Archive:
    """A private copy of an archive in a folder of its own, with the checksums of these bytes."""

    source: Path
    folder: Path
    file: zipfile.ZipFile
    members: Mapping[str, zipfile.ZipInfo]  # by the names of the data set's files
    sha256: str
    md5: str

    def size(self, name: str) -> int:
        """The unpacked bytes of one of its files, as the archive states them."""
        return self.members[name].file_size

    @contextmanager
    def member(self, name: str) -> Iterator[IO[bytes]]:
        """The unpacked bytes of one of its files.

        Raises:
            RefusedError: they are damaged, which may show on any read.
        """
        try:
            unpacked = self.file.open(self.members[name])
        except _LOST as error:
            raise self._damaged(name, error) from error
        try:
            with unpacked:
                yield unpacked
        except _DAMAGED as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, error: Exception) -> RefusedError:
        return RefusedError(
            f"{name} is damaged in {self.source.name}",
            got=str(error) or "its end before its time",
            to_do="Fetch the archive again",
        )


def checksums(source: Path) -> tuple[str, str]:
    """SHA-256 and MD5 of a source file, in hex.

    Raises:
        RefusedError: it is missing, not a plain file, unreadable or too large.
    """
    with open_source(source) as file:
        return _hash(file, None)


@contextmanager
def open_archive(dataset: Dataset, source: Path, folder: Path) -> Iterator[Archive]:
    """Copy `source` into `folder` while hashing it, and open the copy.

    What is parsed is what was hashed, whatever happens to the source meanwhile.

    Raises:
        RefusedError: it can't be read, is no archive, is unsafe, or is not one of `dataset`.
    """
    copy = folder / "archive.zip"
    with open_source(source) as file, copy.open("wb") as target:
        sha256, md5 = _hash(file, target)
    try:
        opened = zipfile.ZipFile(copy)
    except _LOST as error:
        raise RefusedError(
            f"{source.name} is not a whole zip archive",
            got=f"{copy.stat().st_size:,} bytes, SHA-256 {sha256}: {error}",
            expected=_known(dataset),
            to_do="Fetch it again",
        ) from error
    with opened:
        members = _members(dataset, source, opened)
        _refuse_other(dataset, source, opened, members)
        yield Archive(source, folder, opened, members, sha256, md5)


@contextmanager
def open_source(source: Path) -> Iterator[IO[bytes]]:
    """Open a plain file for reading; never hangs on a FIFO or device.

    Raises:
        RefusedError: it is missing, not a plain file, unreadable or too large.
    """
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError) as error:  # the latter when a NUL is in it
        got = getattr(error, "strerror", None) or str(error)
        raise RefusedError(f"{source} can't be read", got=got, to_do="Check --source") from error
    try:
        _refuse_unfit(source, os.fstat(descriptor))
    except RefusedError:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _refuse_unfit(source: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise RefusedError(
            f"{source} is not a file",
            got="a folder or a device",
            expected="a zip archive",
            to_do="Check --source",
        )
    if status.st_size > MAX_ARCHIVE_BYTES:
        raise RefusedError(
            f"{source} is too large",
            got=f"{status.st_size:,} bytes",
            expected=f"at most {MAX_ARCHIVE_BYTES:,}",
        )


def _hash(file: IO[bytes], target: IO[bytes] | None) -> tuple[str, str]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    while chunk := file.read(_CHUNK):
        sha256.update(chunk)
        md5.update(chunk)
        if target:
            target.write(chunk)
    return sha256.hexdigest(), md5.hexdigest()


def _known(dataset: Dataset) -> str:
    size = f"{dataset.size:,} bytes, " if dataset.size else ""
    return f"{size}MD5 {dataset.md5}" if dataset.md5 else f"an archive of {dataset.title}"


def _members(dataset: Dataset, source: Path, opened: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The data set's files among the members, by name.

    Whatever else is there is never unpacked, and may stand there twice.

    Raises:
        RefusedError: a member is unsafe, or two would be read under one name.
    """
    wanted, found = set(_files(dataset)), dict[str, zipfile.ZipInfo]()
    for member in opened.infolist():
        name = _plain_name(member)
        is_wanted = name in wanted and not _is_folder(member)
        problem = _problem(member)
        if is_wanted and not problem:
            problem = _problem_of_wanted(member, is_second=name in found)
        if problem:
            raise RefusedError(
                f"{source.name} is not safe to open", got=f"member {member.filename!r}: {problem}"
            )
        if is_wanted:
            found[name] = member
    return found


def _files(dataset: Dataset) -> list[str]:
    layout = dataset.layout
    names = (layout.ratings, layout.items, layout.users)
    return [f"{dataset.name}/{name}" for name in names if name]


def _plain_name(member: zipfile.ZipInfo) -> str:
    """The name with single slashes: some programs on Windows write backslashes."""
    return str(PurePosixPath(member.filename.replace("\\", "/")))


def _is_folder(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith(("/", "\\"))


def _problem(member: zipfile.ZipInfo) -> str | None:
    """What is wrong with a member, though it may never be unpacked by us."""
    path = PurePosixPath(_plain_name(member))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", str(path)):
        return "points out of its folder"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if member.file_size > MAX_MEMBER_BYTES:
        return f"is {member.file_size:,} bytes when unpacked"
    if member.file_size > MAX_RATIO * max(member.compress_size, 1 << 12):
        return f"packs {member.file_size:,} bytes into {member.compress_size:,}"
    return None


def _problem_of_wanted(member: zipfile.ZipInfo, *, is_second: bool) -> str | None:
    if is_second:
        return "stands there twice"
    if member.compress_type not in _METHODS:
        return f"is packed by method {member.compress_type}, which no publisher uses"
    return None


def _refuse_other(
    dataset: Dataset,
    source: Path,
    opened: zipfile.ZipFile,
    members: Mapping[str, zipfile.ZipInfo],
) -> None:
    missing = [name for name in _files(dataset) if name not in members]
    if missing:
        shown = [visible(name) for name in sorted(set(opened.namelist()))[:8]]
        raise RefusedError(
            f"{source.name} is not an archive of {dataset.name}",
            got=", ".join(shown) or "no files",
            expected=", ".join(missing),
            to_do="Check --dataset and --source",
        )
