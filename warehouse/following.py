"""Which catalogue is a home's newest: of a home with a lake, after what others published there."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from warehouse.catalogue_tables import connected_to_new
from warehouse.database import WAIT_SECONDS, connected, locked
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.kept_catalogues import forget_draft, here, number_here, number_of, put_newest
from warehouse.lake import objects, upstream
from warehouse.lake.address import Address
from warehouse.lake.elsewhere import carry_out_in_turn
from warehouse.store import listed, show_listed
from warehouse.stored import KEYS
from warehouse.stored_files import refuse_unreadable

_in_turn: set[tuple[Home, int]] = set()  # who publishes, by threads: it need not ask the lake


def newest(home: Home) -> Path | None:
    """The newest catalogue; None before the first publication.

    Raises:
        RefusedError: of a home with a lake: the lake can't be asked whether there is a newer one.
    """
    _follow(home)
    return here(home)


def publication(home: Home) -> int:
    """The number of the newest publication; 0 before the first."""
    path = newest(home)
    return number_of(path) if path else 0


@contextmanager
def turn(home: Home, *, wait_seconds: float = WAIT_SECONDS) -> Iterator[Callable[[], None]]:
    """Be the only one who publishes; yields what raises when that has come to an end.

    Raises:
        InUseError: somebody else publishes for longer than `wait_seconds`.
    """
    with locked(home, "warehouse", wait_seconds=wait_seconds):
        if home.lake is None:
            yield lambda: None
            return
        with upstream.turn(home.lake, wait_seconds) as sure, as_it_is(home):
            _catch_up(home)
            yield sure


@contextmanager
def as_it_is(home: Home) -> Iterator[None]:
    """In the block the home's newest catalogue is what it has now: no lake is asked.

    For whoever has just looked, and whoever must not reach PostgreSQL.
    """
    this = _turn_of(home)
    _in_turn.add(this)
    try:
        yield
    finally:
        _in_turn.discard(this)


def _turn_of(home: Home) -> tuple[Home, int]:
    return home, threading.get_ident()


def _follow(home: Home) -> None:
    """Bring what other homes have published into a lake; whose turn it is knows it already."""
    if home.lake is None or _turn_of(home) in _in_turn:
        return
    if upstream.is_news(home, number_here(home)):
        Home.at(home.root)  # who only asks has made nothing of it yet
        with locked(home, "warehouse"), as_it_is(home):
            _catch_up(home)


def _catch_up(home: Home) -> None:
    """The caller holds the home's lock."""
    seen = number_here(home)
    if home.lake is None or (news := upstream.news(home, seen)) is None:
        return
    snapshot, number = news
    if number < seen:
        expected = f"{seen} or later, which this home has seen"
        raise upstream.gone_back(f"publication {number}", expected)
    if number > seen:
        number = _bring(home, home.lake)
    carry_out_in_turn(home)  # also when who brought it died before this
    upstream.follow_from(home, snapshot, number)


def _bring(home: Home, lake: Address) -> int:
    """Make the lake's newest publication the home's; its number.

    Of one that another home has just replaced, forgetting or pruning, files may be gone already.
    """
    while True:
        before = upstream.last_change(lake)
        try:
            return _brought(home, lake)
        except RefusedError:
            if upstream.last_change(lake) == before:
                raise


def _brought(home: Home, lake: Address) -> int:
    draft = home.catalogue / f"draft-{os.getpid()}.partial"
    forget_draft(draft)
    try:
        with connected_to_new(draft, home):
            pass
        upstream.fetch(lake, draft)
        with connected(draft) as connection:
            objects.bring(home, listed(connection))
            refuse_unreadable(home, listed(connection))
            show_listed(connection, home, KEYS)
            root = str(home.files)
            connection.execute("UPDATE mart.catalogue SET root = ?", [root])
            number = number_in(connection)
            connection.execute("CHECKPOINT")
        put_newest(home, draft, number)
    finally:
        forget_draft(draft)
    return number


def number_in(connection: duckdb.DuckDBPyConnection) -> int:
    """The number of the publication that an open catalogue is."""
    return int(connection.execute("SELECT publication FROM mart.catalogue").fetchall()[0][0])
