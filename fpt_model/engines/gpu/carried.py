"""Triton's cache of compiled kernels, in a folder that travels; see `fpt_model/files/kernels.py`.

Triton's own cache has whole paths in it, so that nothing is found in one that was moved. It asks a
class for what it looks for, which `TRITON_CACHE_MANAGER` names. This one looks in the folder that
travels, and checks what it finds there. Triton reads files, so what was found is laid into its own
cache folder, which counts for nothing by itself: what is there may have been cut short.
"""

import json
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import triton
from triton import knobs
from triton.runtime.cache import FileCacheManager

from fpt_model.engines.carry import carried
from fpt_model.files.kernels import Kept, read, write

OWN = "fpt-kernels"  # in Triton's cache folder: where the folder that travels can't be written to
BINARIES = (".cubin", ".hsaco")
LAUNCHER = ".so"
LIBRARIES = "extern_libs"  # a kernel's metadata has their paths, which nobody reads again


def build() -> str:
    """Who compiles, for which Python and platform."""
    python = sys.implementation.cache_tag
    return f"triton-{triton.__version__}-{python}-{sysconfig.get_platform()}"


class Carried(FileCacheManager):  # type: ignore[misc] # Triton has no types
    """What Triton keeps under one key: a group of files for a kernel, one for a launcher."""

    def __init__(self, key: str, override: bool = False, dump: bool = False) -> None:
        super().__init__(key, override, dump)
        there = carried()
        self._folders = []
        if there is not None and not (override or dump):
            self._folders = [place / build() for place in (there, Path(knobs.cache.dir) / OWN)]
        self._new: dict[str, bytes] = {}

    def get_group(self, filename: str) -> dict[str, str] | None:
        """Paths of a kernel's files by their names; None if it has to be compiled."""
        if not self._folders:
            return super().get_group(filename)
        found = self._read(filename)
        return self._laid_out(found.files) if found else None

    def get_file(self, filename: str) -> str | None:
        """The path of one file."""
        if not self._is_carried(filename):
            return super().get_file(filename)
        found = self._read(filename)
        return self._laid_out(found.files)[filename] if found else None

    def put(self, data: Any, filename: str, binary: bool = True) -> str:
        """Keep a file; what belongs to a kernel travels when the group is whole."""
        kept = _portable(data, filename)
        if self._is_carried(filename):
            self._write(filename, {filename: kept})
        elif filename.endswith((*BINARIES, ".json")):
            self._new[filename] = kept
        return str(super().put(data, filename, binary))

    def put_group(self, filename: str, group: dict[str, str]) -> str:
        """Keep a kernel: what is launched and what is known of it, not what came between."""
        files = {name: self._new[name] for name in group if name in self._new}
        if self._folders and filename in files and any(map(_is_binary, files)):
            self._write(filename, files)
        return str(super().put_group(filename, group))

    def _is_carried(self, filename: str) -> bool:
        return bool(self._folders) and filename.endswith(LAUNCHER)

    def _read(self, name: str) -> Kept | None:
        found = (read(folder, self.key, name) for folder in self._folders)
        return next((kept for kept in found if kept is not None), None)

    def _write(self, name: str, files: Mapping[str, bytes]) -> None:
        for folder in self._folders:
            with suppress(OSError):  # read-only, or full: then beside Triton's own
                write(folder, Kept(self.key, name, files))
                return

    def _laid_out(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """The files as files, each with the bytes that were checked."""
        return {name: self._laid(name, data) for name, data in files.items()}

    def _laid(self, name: str, data: bytes) -> str:
        path = Path(self.cache_dir, name)
        with suppress(OSError):
            if path.read_bytes() == data:
                return str(path)
        return str(super().put(data, name))


def _is_binary(name: str) -> bool:
    return name.endswith(BINARIES)


def _portable(data: Any, filename: str) -> bytes:
    """A file's bytes; a kernel's metadata without the folder that Triton is installed in."""
    if isinstance(data, bytes):
        return data
    text = str(data)
    with suppress(ValueError, TypeError, AttributeError):
        said = json.loads(text) if filename.endswith(".json") else {}
        if LIBRARIES in said:
            said[LIBRARIES] = _names_alone(said[LIBRARIES])
            return json.dumps(said).encode()
    return text.encode()


def _names_alone(libraries: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, Path(path).name) for name, path in libraries]
