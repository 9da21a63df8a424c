"""Whether a file that the models wrote is the one that they wrote."""

from pathlib import Path

from warehouse.errors import RefusedError
from warehouse.identity import sha256_of
from warehouse.sealing import is_whole
from warehouse.values import stated, values_sha256


def is_written(path: Path) -> bool:
    """Whether a table is there and whole.

    A file of an older version has no seal; its checksum stands in a file beside it.
    """
    if not path.is_file():
        return False
    sealed = is_whole(path)
    return _agrees(path) if sealed is None else sealed


def check_written(path: Path) -> None:
    """Refuse a table that is not what the models wrote.

    Raises:
        RefusedError: it is missing or damaged.
    """
    if not is_written(path):
        got = "other bytes than were written" if path.exists() else "no such file"
        to_do = "Run the command again: it makes it anew"
        raise RefusedError(f"{path.name} is not whole", got=f"{got} in {path.parent}", to_do=to_do)


def check_sequences(path: Path) -> None:
    """Refuse a sequences file whose values are not those that it states.

    Raises:
        RefusedError: it is missing or damaged.
    """
    said = stated(path) if path.is_file() else None
    if said is None:
        check_written(path)  # an older version's, with a checksum beside it
    elif values_sha256(path) != said:
        to_do = "Run the command again: it makes it anew"
        raise RefusedError(f"{path.name} is not whole", got="other values", to_do=to_do)


def _agrees(path: Path) -> bool:
    """With the checksum beside it, in `sha256sum`'s format."""
    try:
        words = Path(f"{path}.sha256").read_text(encoding="utf-8", errors="replace").split()
    except FileNotFoundError:
        return False
    return words[:1] == [sha256_of(path)]
