"""Files that people name: looked for only where a name can be one, and refused before the work."""

import os
import tempfile
from pathlib import Path

from warehouse.errors import RefusedError

MAX_HISTORY_BYTES = 10 << 20


def history_words(history: str) -> list[str]:
    """Items as given: numbers or titles with commas between, or the lines of a file.

    Raises:
        RefusedError: the file can't be read, or is no list of titles.
    """
    path = None if _is_numbers(history) else existing_file(history)
    words = history.split(",") if path is None else _lines(path)
    return [word.strip() for word in words if word.strip()]


def existing_file(text: str) -> Path | None:
    """The file of this name; None where there is none, or where a name can't be so."""
    try:
        return Path(text) if Path(text).is_file() else None
    except (OSError, ValueError):  # too long, not to be looked at, a NUL in it
        return None


def refuse_missing(path: Path) -> None:
    """Raise when there is no such file.

    Raises:
        RefusedError: it is missing, or a folder.
    """
    if existing_file(str(path)) is None:
        raise RefusedError("There is no such file", got=str(path), to_do="Give another one")


def refuse_unwritable(output: Path | None) -> None:
    """Raise before the work when a file can't be written afterwards.

    Raises:
        RefusedError: its folder is missing or can't be written; it is a folder itself.
    """
    if output is None:
        return
    try:
        if output.is_dir():
            raise _unwritable(output, "a folder", "the name of a file")
        if not output.parent.is_dir():
            raise _unwritable(output, f"no folder {output.parent}", "a folder that is there")
        output.exists()  # too long a name is an error
        _try_to_write(output.parent)
    except (OSError, ValueError) as error:
        raise _unwritable(output, getattr(error, "strerror", None) or str(error), None) from error


def refuse_unmakeable(folder: Path) -> None:
    """Raise before the work when a folder can't be made or written afterwards; none is made.

    Raises:
        RefusedError: it is a file, or what is there of its path can't be written.
    """
    try:
        there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
        if not there.is_dir():
            raise _unwritable(folder, f"{there} is a file", "a folder")
        _try_to_write(there)
    except (OSError, ValueError) as error:
        raise _unwritable(folder, getattr(error, "strerror", None) or str(error), None) from error


def _is_numbers(text: str) -> bool:
    return all(part.strip().isdecimal() for part in text.split(",") if part.strip())


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > MAX_HISTORY_BYTES:
            got = f"{path.stat().st_size:,} bytes"
            raise RefusedError(f"{path} is no list of titles", got=got, expected="a title a line")
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise RefusedError(f"{path} can't be read", got=error.strerror) from error
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path} is no text in UTF-8", got=str(error)) from error


def _try_to_write(folder: Path) -> None:
    """Rights alone don't tell: a file system may be read-only or full."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(os.urandom(1))


def _unwritable(output: Path, got: str, expected: str | None) -> RefusedError:
    to_do = "Give another place, or make the folder first"
    return RefusedError(f"{output} can't be written", got=got, expected=expected, to_do=to_do)
