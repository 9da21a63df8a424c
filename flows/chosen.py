"""The load or snapshot that a command works on: the one named, else the newest, and it says so."""

from tasks.progress import note
from warehouse.home import Home
from warehouse.resolve_id import newest, resolve_id


def chosen_id(home: Home, kind: str, beginning: str | None) -> str:
    """The id of a published `load` or `snapshot`.

    Args:
        home: where to look.
        kind: which of the two.
        beginning: its first digits; None for the newest.

    Raises:
        RefusedError: there is none, or none that begins so, or several.
    """
    if beginning is not None:
        return resolve_id(home, kind, beginning)
    identity, what = newest(home, kind)
    note(f"the newest {kind}: {what}, {identity}")
    return identity
