"""Which of three kinds a file of scores is: what may be said of a rank depends on it."""

from dataclasses import dataclass, fields
from typing import Literal, cast

import duckdb

from warehouse.database import statements
from warehouse.errors import RefusedError
from warehouse.visible import counted

Kind = Literal["all", "candidates", "top"]
WORDS: dict[Kind, str] = {
    "all": "scores of all items",
    "candidates": "scores of the 100 sampled items",
    "top": "top lists",
}
PROTOCOLS: dict[Kind, tuple[str, ...]] = {
    "all": ("uniform_100", "full"),
    "candidates": ("uniform_100",),
    "top": ("full",),
}
MOST = 0.5  # of all unseen items: a file with more of them than this is no file of top lists
MISSES = 0.1  # of all users: where so many targets are missing, it is not by mistake
SHOWN = 3


@dataclass(frozen=True)
class Summary:
    """Counts over users of whom a rank is wanted; see `sql/importing/summary.sql`."""

    n_users: int
    n_without: int
    n_all: int
    n_candidates: int
    n_scored_unseen: int
    n_scored_drawn: int
    n_unseen: int
    n_seen: int
    n_whole: int
    longest: int
    most_rows: int
    fewest_rows: int
    known_to: int | None
    n_misses: int


def summary(connection: duckdb.DuckDBPyConnection) -> Summary:
    """Of the table `places`."""
    columns = ", ".join(field.name for field in fields(Summary))
    rows = connection.execute(f"SELECT {columns} FROM ({statements('importing/summary')})")
    return Summary(*rows.fetchall()[0])


def kind_of(
    connection: duckdb.DuckDBPyConnection, found: Summary, asked: str | None, name: str
) -> Kind:
    """The kind of a file; where it is not asked for, the file must leave no doubt.

    Args:
        connection: has the table `places`.
        found: its summary.
        asked: the kind that its owner says.
        name: of the file.

    Raises:
        RefusedError: it lacks what a file of its kind has.
    """
    kind = cast(Kind, asked) if asked else _guess(found)
    whole = {"all": found.n_all, "candidates": found.n_candidates, "top": found.n_users}
    if whole[kind] < found.n_users:
        raise _lacking(connection, kind, asked is not None, name)
    if kind == "top" and found.known_to == 0:
        raise RefusedError(
            f"{name} has lists without an item that is new to the user",
            expected="at least one in each list",
            to_do="Items of a user's history count as no recommendation: leave them out",
        )
    return kind


def _guess(found: Summary) -> Kind:
    if found.n_all == found.n_users:
        return "all"
    if _are_lists(found):
        return "top"
    if found.n_scored_unseen == found.n_scored_drawn:
        return "candidates"
    return "all" if found.n_scored_unseen > MOST * found.n_unseen else "top"


def _are_lists(found: Summary) -> bool:
    """Whether users have lists of one length, which leave out much, many a target too.

    Where there are few items, all of them are drawn, and a list may hold most of them. Who only
    forgot the targets has all the others.
    """
    one_length = found.most_rows == found.fewest_rows
    many_misses = found.n_misses - found.n_without >= MISSES * found.n_users
    return one_length and many_misses and found.n_whole < MOST * found.n_users


def _lacking(
    connection: duckdb.DuckDBPyConnection, kind: Kind, is_said: bool, name: str
) -> RefusedError:
    rows = connection.execute(statements("importing/lacking"), [kind == "all"]).fetchall()
    shown = "; ".join(
        f"user {user} lacks {n} of {needed} scores ({split})"
        for user, split, n, needed in rows[:SHOWN]
    )
    to_do = "" if is_said else "Top lists are told by `--kind top`"
    return RefusedError(
        f"{name} has not all {WORDS[kind]}",
        got=f"{counted(len(rows), 'user')} without some of them: {shown}",
        expected="a score of each for each user with held-out items, the held-out item too",
        to_do=to_do,
    )


def known_to(kind: Kind, found: Summary) -> int | None:
    """Up to which place ranks are known; None: all are.

    A list says nothing beyond its end, so the shortest one without its target sets the limit. Who
    has no list was recommended nothing: a miss at every place.
    """
    if kind != "top" or not found.n_misses:
        return None
    return found.longest if found.known_to is None else found.known_to
