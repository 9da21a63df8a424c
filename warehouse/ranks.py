"""Ranks on their way to the warehouse: staged beside the tables that they must agree with."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from warehouse.database import connected, literal_glob, locked, quoted, statements
from warehouse.home import Home
from warehouse.publishing import TrainedRun
from warehouse.written import check_written


def stage_ranks(home: Home, snapshot_id: str, runs: Sequence[TrainedRun]) -> Path:
    """Make a database of one snapshot's core tables and the ranks of its new trainings.

    Returns:
        The database; its `mart.user_ranks` and `core` tables are what an audit reads.

    Raises:
        RefusedError: a file of ranks is not whole.
    """
    path = home.staged(f"ranks-{snapshot_id}")
    with beside_core(home, path, snapshot_id, ("users", "items", "candidates")) as connection:
        for run in runs:
            check_written(run.ranks)
            ranks = literal_glob(run.ranks)
            connection.execute(statements("publish/user_ranks"), [run.run_id, ranks])
    return path


@contextmanager
def beside_core(
    home: Home, path: Path, snapshot_id: str, tables: Sequence[str]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new database at `path` with a snapshot's core `tables` in it, open for what is audited."""
    path.unlink(missing_ok=True)
    with locked(home, "warehouse"), connected(path) as connection:
        for name in ("core", "mart"):
            connection.execute(statements(f"schema/{name}"))
        connection.execute(f"ATTACH {quoted(str(home.warehouse))} AS warehouse (READ_ONLY)")
        for table in tables:
            connection.execute(statements(f"ranks/{table}"), [snapshot_id])
        connection.execute("DETACH warehouse")
        yield connection
