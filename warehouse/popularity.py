"""What every model must beat: items ranked by how often training saw them, the same for all users.

Its ranks are of the same users, held-out items and candidates as those of every model, and become
figures in the same way.
"""

from collections.abc import Iterator
from itertools import product

import duckdb
import pyarrow as pa

from warehouse import figures
from warehouse.database import insert, statements

PARTS = tuple(product(("valid", "test"), ("uniform_100", "full")))
NAME = "popularity"
ROWS_A_PART = 4_000_000  # interactions, about


def popularity_metrics(connection: duckdb.DuckDBPyConnection, snapshot_id: str) -> pa.Table | None:
    """Rows of `mart.popularity_metrics`; None where nobody has held-out items.

    Args:
        connection: reads the tables `core.*` of the snapshot.
        snapshot_id: whose.
    """
    rows = pa.concat_tables(_ranks(connection, snapshot_id))
    if not len(rows):
        return None
    tables = [_metrics(rows, *part) for part in PARTS]
    ids = pa.array([snapshot_id] * sum(map(len, tables)), pa.string())
    return pa.concat_tables(tables).append_column("snapshot_id", ids)


def _ranks(connection: duckdb.DuckDBPyConnection, snapshot_id: str) -> Iterator[pa.Table]:
    """Of all users, some after others: memory does not grow with the interactions."""
    query = "SELECT count(*), max(user_id) FROM core.interactions WHERE snapshot_id = ?"
    rows, last = connection.execute(query, [snapshot_id]).fetchall()[0]
    users = -(-(last or 1) // max(1, rows // ROWS_A_PART))
    for first in range(1, (last or 1) + 1, users):
        asked = [snapshot_id, first, first + users]
        yield connection.sql(statements("figures/popularity"), params=asked).to_arrow_table()


def keep_popularity(
    connection: duckdb.DuckDBPyConnection, snapshot_id: str, rows: pa.Table | None
) -> None:
    """Write the figures of a snapshot; those it had are replaced."""
    query = "DELETE FROM mart.popularity_metrics WHERE snapshot_id = ?"
    connection.execute(query, [snapshot_id])
    if rows is not None:
        insert(connection, "mart.popularity_metrics", rows)


def _metrics(rows: pa.Table, split: str, protocol: str) -> pa.Table:
    import pyarrow.compute as pc  # a tenth of a second, which a question does without

    ours = rows.filter(
        pc.and_(pc.equal(rows["split"], split), pc.equal(rows["protocol"], protocol))
    )
    places = pa.array([0] * len(ours), pa.int32())
    table = figures.metrics(figures.arrange([NAME], ours.append_column("place", places)))
    for name, label in (("split", split), ("protocol", protocol)):
        table = table.append_column(name, pa.array([label] * len(table), pa.string()))
    return table.drop_columns("run_id")
