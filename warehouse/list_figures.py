"""What the lists of trainings are made of, beyond being right: coverage, novelty, popularity, Gini.

The definitions are in `sql/figures/lists.sql`. Figures of new trainings are computed from their
files before the warehouse is locked; `bring_up_to_date` computes what is missing otherwise.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from warehouse.database import insert, quoted, rows_of, statements

LISTS = "mart.top_lists"


def figures_of_files(
    connection: duckdb.DuckDBPyConnection, snapshot_id: str, files: Mapping[str, Path]
) -> pa.Table:
    """Rows of `mart.run_lists`.

    Args:
        connection: reads the tables `core.*` of the snapshot; may be read-only.
        snapshot_id: whose.
        files: the lists of each training of it.
    """
    parts = " UNION ALL ".join(
        f"SELECT {quoted(run_id)} AS run_id, * FROM {rows_of(path)}"
        for run_id, path in files.items()
    )
    return _figures(connection, snapshot_id, list(files), parts)


def add_missing(connection: duckdb.DuckDBPyConnection) -> None:
    """Compute the figures of every published training that has lists and no figures of them."""
    rows = connection.execute(
        "SELECT snapshot_id, list(run_id ORDER BY run_id) FROM mart.training_runs"
        " SEMI JOIN mart.files ON table_name = $1 AND id = run_id"
        " WHERE status = 'published' AND run_id NOT IN (SELECT run_id FROM mart.run_lists)"
        " GROUP BY snapshot_id",
        [LISTS],
    ).fetchall()
    for snapshot_id, run_ids in rows:
        keep(connection, run_ids, _figures(connection, snapshot_id, run_ids, f"FROM {LISTS}"))


def lost_lists(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Trainings whose lists have left the catalogue: their figures are still there.

    Those that an earlier version published have neither.
    """
    rows = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'run_lists'")
    if not rows.fetchall():
        return set()  # the catalogue itself is of an earlier version
    query = (
        "SELECT DISTINCT run_id FROM mart.run_lists"
        " ANTI JOIN mart.files ON table_name = $1 AND id = run_id"
    )
    return {run_id for (run_id,) in connection.execute(query, [LISTS]).fetchall()}


def keep(
    connection: duckdb.DuckDBPyConnection, run_ids: Sequence[str], rows: pa.Table | None
) -> None:
    """Write the figures of trainings; those they had are replaced."""
    these = "run_id IN (SELECT unnest($1::VARCHAR[]))"
    connection.execute(f"DELETE FROM mart.run_lists WHERE {these}", [list(run_ids)])
    if rows is not None:
        insert(connection, "mart.run_lists", rows)


def _figures(
    connection: duckdb.DuckDBPyConnection, snapshot_id: str, run_ids: Sequence[str], listed: str
) -> pa.Table:
    parts = connection.sql(statements("figures/users"), params=[snapshot_id]).to_arrow_table()
    connection.register("held_out", parts)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW listed AS {listed}")
    found = connection.sql(statements("figures/lists"), params=[snapshot_id, list(run_ids)])
    table = found.to_arrow_table()
    connection.execute("DROP VIEW listed")
    connection.unregister("held_out")
    return table
