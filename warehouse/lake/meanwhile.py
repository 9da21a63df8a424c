"""What other homes took out of the lake while this one was at work: nothing may rest on it.

Within one home nobody forgets or prunes beside a run. Runs of other homes are met here, at the end
of what they publish.
"""

from collections.abc import Collection

import duckdb

from warehouse.database import statements
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.lake import objects
from warehouse.store import listed

AGAIN = "Run the command again: it begins from what is published now"


def refuse_withdrawn(connection: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Refuse a draft that brings back what was withdrawn, or adds to it; its files go at once.

    Args:
        connection: of the draft, at the end of its transaction.
        home: of the draft; without a lake nothing can have happened meanwhile.

    Raises:
        RefusedError: another home forgot a person or pruned, and this rests on what went.
    """
    if home.lake is None:
        return
    rows = connection.execute(statements("lake/come_back")).fetchall()
    if rows:
        ids = {identity for identity, reason in rows if reason == "forgotten"}
        raise _refused(connection, home, ids, f"{rows[0][0]}, which was {rows[0][1]}")
    rows = connection.execute(statements("lake/groundless")).fetchall()
    if rows:
        raise _refused(connection, home, (), f"{rows[0][1]} of {rows[0][0]}, which is gone")
    if connection.execute("FROM raw.forgotten LIMIT 1").fetchall():
        connection.execute(statements("own_landing/may_name"))
        rows = connection.execute(statements("lake/with_forgotten")).fetchall()
        if rows:
            ids = {identity for (identity,) in rows}
            raise _refused(connection, home, ids, "a load with somebody who is forgotten now")


def _refused(
    connection: duckdb.DuckDBPyConnection, home: Home, ids: Collection[str], got: str
) -> RefusedError:
    """The refusal; a person's rows don't wait in the lake's folder until unlisted files go."""
    paths = [file.path for file in listed(connection) if file.identity in ids]
    objects.delete_files(home, paths)
    return RefusedError("Another home withdrew meanwhile what this rests on", got=got, to_do=AGAIN)
