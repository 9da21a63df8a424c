"""Ids are hashes of what made them: a repeated run finds its rows instead of doubling them."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


def identify(*parts: Any) -> str:
    """Sixteen hex digits for JSON-able `parts`.

    >>> identify("ml-1m", {"k": 5}) == identify("ml-1m", {"k": 5})
    True
    >>> len(identify("ml-1m"))
    16
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def code_version(paths: Iterable[Path]) -> str:
    """Sixteen hex digits for the bytes of source files, whatever folder they are installed in."""
    return identify([(path.name, sha256_of(path)) for path in sorted(paths)])
