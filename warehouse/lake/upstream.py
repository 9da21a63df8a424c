"""A lake as a home's catalogues follow it: is there a newer one, whose turn is it, what changed.

Each home keeps the last catalogues as it does without a lake. What differs is where the next one
comes from: from the lake, whenever another home has published; and it goes there before it counts.
A home without a lake passes through here as if each of its publications were known to all.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.lake.address import Address
from warehouse.placing import put_in_place

NOTE = "followed.json"


@contextmanager
def turn(address: Address, wait_seconds: float) -> Iterator[Callable[[], None]]:
    """See `server.turn`."""
    from warehouse.lake import server

    with server.turn(address, wait_seconds) as sure:
        yield sure


def is_news(home: Home, has_catalogue: bool) -> bool:
    """Whether the lake has changed since the home looked last; DuckLake itself is not asked."""
    return _news(home, has_catalogue) is not None


def news(home: Home, has_catalogue: bool) -> tuple[int, int] | None:
    """The number of the lake's last change, if it is news, and of its newest publication."""
    from warehouse.lake import changes
    from warehouse.lake.attached import attached

    snapshot = _news(home, has_catalogue)
    if snapshot is None or home.lake is None:
        return None
    with attached(home.lake) as lake:
        return snapshot, changes.now(lake)[0]


def _news(home: Home, has_catalogue: bool) -> int | None:
    from warehouse.lake.server import newest_snapshot

    if home.lake is None:
        return None
    snapshot = newest_snapshot(home.lake)
    if snapshot is None and has_catalogue:
        raise RefusedError(
            "The lake is gone",
            got=f"nothing in {home.lake.url}",
            expected="what this home has followed so far",
            to_do="Bring its database back, or give another --home",
        )
    return None if has_catalogue and snapshot == _followed(home) else snapshot


def fetch(address: Address, draft: Path) -> None:
    """Fill an empty catalogue with what the lake has."""
    from warehouse.lake import replica
    from warehouse.lake.attached import attached

    with attached(address) as lake:
        replica.fill(lake, draft)


def publish(
    home: Home, draft: Path, before: Path | None, sure: Callable[[], None], *, anew: bool
) -> int | None:
    """Bring what a draft changes into the lake: when this returns, it counts.

    Args:
        home: of the draft.
        draft: the next catalogue.
        before: what it was made from.
        sure: see `turn`.
        anew: nothing of what was deleted may be left there.

    Returns:
        The number of the lake's change.
    """
    from warehouse.lake import changes
    from warehouse.lake.attached import attached
    from warehouse.lake.server import newest_snapshot

    if home.lake is None:
        return None
    with attached(home.lake) as lake:
        changes.publish(lake, draft, before, home.files, sure, anew=anew)
    return newest_snapshot(home.lake)


def follow_from(home: Home, snapshot: int | None) -> None:
    """Note up to which change of the lake the home's newest catalogue has all."""
    if snapshot is None:
        return
    note = home.catalogue / NOTE
    partial = note.with_suffix(".partial")
    partial.write_text(json.dumps({"snapshot": snapshot}), encoding="utf-8")
    put_in_place(partial, note)


def _followed(home: Home) -> int | None:
    try:
        return int(json.loads((home.catalogue / NOTE).read_text(encoding="utf-8"))["snapshot"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
