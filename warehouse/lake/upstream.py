"""A lake as a home's catalogues follow it: is there a newer one, whose turn is it, what changed.

Each home keeps the last catalogues as it does without a lake. What differs is where the next one
comes from: from the lake, whenever another home has published; and it goes there before it counts.
A home without a lake passes through here as if each of its publications were known to all.
"""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.lake.address import Address

NOTE = "followed.json"
Change = tuple[int, int]  # of the lake; see `server.py`
KEPT_DAYS = 7  # to which one can go back in the lake


@contextmanager
def turn(address: Address, wait_seconds: float) -> Iterator[Callable[[], None]]:
    """See `server.turn`."""
    from warehouse.lake import server

    with server.turn(address, wait_seconds) as sure:
        yield sure


def is_news(home: Home, here: int) -> bool:
    """Whether the lake has changed since the home looked last; DuckLake itself is not asked."""
    return _news(home, here) is not None


def news(home: Home, here: int) -> tuple[Change, int] | None:
    """The lake's last change, if it is news, and the number of its newest publication.

    Args:
        home: which follows.
        here: the number of its newest publication; 0: it has none.
    """
    from warehouse.lake import changes
    from warehouse.lake.attached import attached

    snapshot = _news(home, here)
    if snapshot is None or home.lake is None:
        return None
    with attached(home.lake) as lake:
        return snapshot, changes.now(lake)[0]


def _news(home: Home, here: int) -> Change | None:
    from warehouse.lake.server import has_had, newest_snapshot

    if home.lake is None:
        return None
    snapshot = newest_snapshot(home.lake)
    if snapshot is None and here:
        raise RefusedError(
            "The lake is gone",
            got=f"nothing in {home.lake.url}",
            expected="what this home has followed so far",
            to_do="Bring its database back, or give another --home",
        )
    last = _followed(home) if here else None
    if last == (snapshot, here):
        return None
    if last is not None and not has_had(home.lake, last[0]):
        raise gone_back(f"a lake without what it was at publication {last[1]}", "the same lake")
    return snapshot


def gone_back(got: str, expected: str) -> RefusedError:
    """An old copy of the lake's database is in its place; others may have gone on from there."""
    return RefusedError(
        "The lake has gone back",
        got=got,
        expected=expected,
        to_do="Bring its database back as it was, or give another --home",
    )


def fetch(address: Address, draft: Path) -> None:
    """Fill an empty catalogue with what the lake has."""
    from warehouse.lake import replica
    from warehouse.lake.attached import attached

    with attached(address) as lake:
        replica.fill(lake, draft)


def publish(
    home: Home, draft: Path, before: Path | None, sure: Callable[[], None]
) -> Change | None:
    """Bring what a draft changes into the lake: when this returns, it counts.

    Args:
        home: of the draft.
        draft: the next catalogue.
        before: what it was made from.
        sure: see `turn`.

    Returns:
        The lake's change.
    """
    from warehouse.lake import changes
    from warehouse.lake.attached import attached
    from warehouse.lake.folders import share
    from warehouse.lake.server import newest_snapshot
    from warehouse.lake.tables import wanted

    if home.lake is None:
        return None
    if not home.owns_files:  # DuckLake would make them for its own user alone
        for table in wanted():
            share(home.files, home.files.joinpath(*table.split(".")))
    with attached(home.lake) as lake:
        changes.publish(lake, draft, before, home.lake.data, sure)
    return newest_snapshot(home.lake)


def follow_from(home: Home, snapshot: Change | None, number: int) -> None:
    """Note up to which change of the lake the publication `number` has all."""
    if snapshot is None:
        return
    # half of it is no JSON: then the lake is asked for more
    (home.root / NOTE).write_text(json.dumps([snapshot, number]), encoding="utf-8")


def last_change(address: Address) -> Change | None:
    """The number and time of the lake's last change."""
    from warehouse.lake.server import newest_snapshot

    return newest_snapshot(address)


def is_made(home: Home) -> bool:
    """Whether somebody has published into the home's lake."""
    from warehouse.lake.attached import attached
    from warehouse.lake.changes import NEVER, now
    from warehouse.lake.server import newest_snapshot

    if home.lake is None or newest_snapshot(home.lake) is None:
        return False
    with attached(home.lake) as lake:
        return now(lake) != NEVER


def held(home: Home) -> set[Path]:
    """Files of the store that some moment which the lake can still go back to has."""
    from warehouse.lake.server import data_files

    if home.lake is None or home.lake.is_remote:  # of which the home has copies
        return set()
    return {home.files / path for path in data_files(home.lake)}


def is_long(home: Home) -> bool:
    """Whether the lake can go back by more than it should."""
    from warehouse.lake.server import is_older

    return home.lake is not None and is_older(home.lake, KEPT_DAYS + 1)


def expire(home: Home, listed: Collection[str]) -> None:
    """Let the lake forget what it was long ago, with the files that are of then alone.

    Args:
        home: of a lake, or not; the caller has the turn.
        listed: paths of files that are published.
    """
    from warehouse.lake import past

    if home.lake is not None and is_long(home):
        past.expire(home.lake, KEPT_DAYS, listed)


def drop_past(home: Home, *, rows: bool) -> None:
    """Let the lake forget all that it was, with the files that are of then alone.

    Args:
        home: of a lake, or not; the caller has the turn.
        rows: those that were deleted leave PostgreSQL, too.

    Raises:
        InUseError: somebody has it open as it was, so that rows stay.
    """
    from warehouse.lake import past

    if home.lake is not None:
        (past.drop if rows else past.drop_files)(home.lake)


def _followed(home: Home) -> tuple[Change, int] | None:
    try:
        (snapshot, moment), number = json.loads((home.root / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return None
    return (snapshot, moment), number
