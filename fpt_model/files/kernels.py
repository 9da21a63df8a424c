"""A folder of compiled kernels that may travel: found by what they are made of, checked by content.

    kernels/<build>/<what it is made of>-<SHA-256 of the file>.zip

A *build* is who compiled and for which Python and platform: for example
`triton-3.6.0-cpython-311-linux-x86_64`. Each file is a ZIP of what its compiler keeps of one
kernel, or of one launcher, without compression, so that the same contents have the same bytes
everywhere. Nothing is ever changed: a file comes into its place by one rename, and a reader checks
its bytes against its name. What is cut short or damaged is as good as missing.

The hash says that a file is what somebody wrote, not who wrote it. Kernels and launchers are
programs that a process will run: see docs/how-to/gpu-machine.md.
"""

import hashlib
import io
import json
import os
import re
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fpt_model.files.placing import put_in_place

ROOM = 512 << 20  # bytes of all files that a home keeps
LARGEST = 64 << 20  # bytes of one file
LEFT_SECONDS = 24 * 3600.0  # after which nobody is still writing
ABOUT = "about.json"
_BUILD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,150}")
_FILE = re.compile(r"([0-9a-f]{32})-([0-9a-f]{64})\.zip")
_MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,250}")
_MOMENT = 1980, 1, 1, 0, 0, 0  # of each file within: the first that a ZIP can say


class Kept(NamedTuple):
    """What one file holds.

    Attributes:
        key: the compiler's hash of all that it is made of.
        name: what the compiler asks for under that key.
        files: its contents by their names.
    """

    key: str
    name: str
    files: Mapping[str, bytes]


def write(folder: Path, kept: Kept) -> Path:
    """Put a kernel into a build's folder, which is made when missing.

    Raises:
        OSError: it can't be written to; nothing is left then.
    """
    data = _packed(kept)
    path = folder / f"{_place(kept)}-{hashlib.sha256(data).hexdigest()}.zip"
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{uuid.uuid4().hex}.partial"
    try:
        partial.write_bytes(data)
        put_in_place(partial, path)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    return path


def read(folder: Path, key: str, name: str) -> Kept | None:
    """What a build's folder has under a key and name; None if nothing whole."""
    place = _place(Kept(key, name, {}))
    for path in sorted(folder.glob(f"{place}-*.zip")):
        found = whole(path)
        if found is not None:
            with suppress(OSError):  # it was asked for just now; a folder may be read-only
                os.utime(path)
            return found
    return None


def whole(path: Path) -> Kept | None:
    """What a file holds, if it is one of ours and each byte is as it was written."""
    named = _FILE.fullmatch(path.name)
    if not named or path.is_symlink():
        return None
    try:
        if path.stat().st_size > LARGEST:
            return None
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != named[2]:
            return None
        kept = _unpacked(data)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, NotImplementedError):
        return None
    return kept if _place(kept) == named[1] else None


def builds(folder: Path) -> list[str]:
    """Whose kernels a folder has."""
    with suppress(OSError):
        return sorted(path.name for path in _folders(folder) if any(path.glob("*.zip")))
    return []


def copy_whole(source: Path, target: Path) -> int:
    """Bring each whole kernel of one folder into another; returns how many there are now of it.

    Raises:
        OSError: the target can't be written to.
    """
    count = 0
    for path in _files(source):
        kept = whole(path)
        if kept is None:
            continue
        count += 1
        if whole(target / path.parent.name / path.name) is None:
            write(target / path.parent.name, kept)
    return count


class Swept(NamedTuple):
    """How many files a folder has lost: damaged ones, and ones for which there was no room."""

    damaged: int
    old: int


def sweep(folder: Path, room: int = ROOM) -> Swept:
    """Remove what is not whole, and above `room` bytes what was not asked for the longest.

    Files of other names stay: they are somebody else's, and never read.
    """
    damaged, there = 0, []
    for path in _files(folder):
        if _FILE.fullmatch(path.name) and whole(path) is None:
            damaged += _removed(path)
        else:
            with suppress(OSError):
                state = path.stat()
                there.append((state.st_mtime, state.st_size, path))
    for path in (path for build in _folders(folder) for path in build.glob("*.partial")):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - LEFT_SECONDS:
                path.unlink()
    old, total = 0, sum(size for _, size, _ in there)
    for _, size, path in sorted(there):
        if total <= room:
            break
        old += _removed(path)
        total -= size
    return Swept(damaged, old)


def _removed(path: Path) -> int:
    with suppress(OSError):
        path.unlink()
        return 1
    return 0


def _folders(folder: Path) -> list[Path]:
    """Of builds."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if _BUILD.fullmatch(path.name))
    return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def _files(folder: Path) -> Iterator[Path]:
    """Those with names of ours."""
    for build in _folders(folder):
        yield from (path for path in sorted(build.glob("*.zip")) if _FILE.fullmatch(path.name))


def _place(kept: Kept) -> str:
    return hashlib.sha256(f"{kept.key}\0{kept.name}".encode()).hexdigest()[:32]


def _packed(kept: Kept) -> bytes:
    about = json.dumps({"key": kept.key, "name": kept.name}).encode()
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [(ABOUT, about), *sorted(kept.files.items())]:
            archive.writestr(zipfile.ZipInfo(name, _MOMENT), data)
    return sink.getvalue()


def _unpacked(data: bytes) -> Kept:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        names = [info.filename for info in infos]
        plain = all(info.compress_type == zipfile.ZIP_STORED for info in infos)
        if not plain or len(set(names)) < len(names) or not all(map(_MEMBER.fullmatch, names)):
            raise ValueError("not as it is written here")
        files = {name: archive.read(name) for name in names}
    about = json.loads(files.pop(ABOUT))
    kept = Kept(about["key"], about["name"], files)
    if not isinstance(kept.key, str) or kept.name not in files:
        raise ValueError("not what it is said to be")
    return kept
