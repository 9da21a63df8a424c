"""A published id from its first digits, as people type it."""

from warehouse.catalogue import fetch_all
from warehouse.database import statements
from warehouse.errors import RefusedError
from warehouse.home import Home

_PLACES = {
    "load": ("raw.loads", "load_id", "fpt ingest"),
    "snapshot": ("core.snapshots", "snapshot_id", "fpt prepare"),
}


def newest(home: Home, kind: str) -> tuple[str, str]:
    """The id of what was published last of that kind (`load` or `snapshot`), and what it is.

    Raises:
        RefusedError: there is none.
    """
    found = fetch_all(home, statements(f"questions/newest_{kind}"))
    if not found:
        raise RefusedError(f"There is no {kind} yet", to_do=f"Run `{_PLACES[kind][2]}` first")
    return str(found[0][0]), str(found[0][1])


def newest_of(home: Home, dataset: str | None, retention: str | None) -> tuple[str, str]:
    """The id of the snapshot that was published last of a data set and a retention, and what it is.

    Those as of some day, which are for backtests, are left out.

    Args:
        home: where to look.
        dataset, retention: None for any.

    Raises:
        RefusedError: there is none.
    """
    found = fetch_all(home, statements("questions/newest_snapshot_of"), [dataset, retention])
    if not found:
        asked = " ".join(word for word in (dataset, retention) if word)
        raise RefusedError(
            f"There is no snapshot{f' of {asked}' if asked else ''} yet",
            to_do="`fpt run` or `fpt prepare` makes it; `fpt sql data-sets` lists those there are",
        )
    return str(found[0][0]), str(found[0][1])


def resolve_id(home: Home, kind: str, beginning: str) -> str:
    """The one published id of that kind that begins so.

    Args:
        home: where to look.
        kind: `load` or `snapshot`.
        beginning: the first digits of the id, or all of them.

    Raises:
        RefusedError: none begins so, or several do.
    """
    table, column, command = _PLACES[kind]
    query = f"SELECT {column} FROM {table} WHERE starts_with({column}, ?) ORDER BY ALL"
    found = [identity for (identity,) in fetch_all(home, query, [beginning])]
    if len(found) == 1:
        return str(found[0])
    if found:
        raise RefusedError(
            f"The ids of several {kind}s begin with {beginning or 'nothing'}",
            expected=f"one of {', '.join(found)}",
        )
    raise RefusedError(
        f"No such {kind}", got=beginning or "an empty id", to_do=f"Run `{command}` first"
    )
