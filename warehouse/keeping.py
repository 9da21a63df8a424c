"""Figures of each training, kept beside its ranks: they are computed when it is published.

Every function here works in the transaction of its caller and reads `mart.user_ranks` and `core`
by SELECT alone. Some 25,000 ranks of a training become eighty rows of metrics and slices, and
eight rows for each other training that it is compared with.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from warehouse import figures
from warehouse.database import SQL, statements
from warehouse.identity import code_version

PARTS = tuple(product(("valid", "test"), ("uniform_100", "full")))
KEPT = ("run_metrics", "run_slices", "run_pairs")


def add_figures(connection: duckdb.DuckDBPyConnection, run_ids: Sequence[str]) -> None:
    """Compute the figures of trainings that have just been written; those they had are replaced.

    Raises:
        RefusedError: trainings of one snapshot don't rank the same users.
    """
    these = "IN (SELECT unnest($1::VARCHAR[]))"
    for table in ("run_metrics", "run_slices"):
        connection.execute(f"DELETE FROM mart.{table} WHERE run_id {these}", [list(run_ids)])
    of_pairs = f"DELETE FROM mart.run_pairs WHERE run_id {these} OR other_id {these}"
    connection.execute(of_pairs, [list(run_ids)])
    question = f"SELECT DISTINCT snapshot_id FROM mart.training_runs WHERE run_id {these}"
    _complete(connection, connection.execute(question, [list(run_ids)]).fetchall())


def bring_up_to_date(connection: duckdb.DuckDBPyConnection) -> None:
    """Compute whatever figures are missing, or all when other code made them, and drop the rest.

    To be called where trainings come or go by another way than `add_figures`.

    Raises:
        RefusedError: trainings of one snapshot don't rank the same users.
    """
    version = code_version(figure_files())
    if connection.execute("SELECT version FROM mart.figures_version").fetchall() != [(version,)]:
        for table in (*KEPT, "figures_version"):
            connection.execute(f"DELETE FROM mart.{table}")
        connection.execute("INSERT INTO mart.figures_version VALUES (?)", [version])
    question = "SELECT DISTINCT snapshot_id FROM mart.training_runs WHERE status = 'published'"
    _complete(connection, connection.execute(question).fetchall())


def figure_files() -> list[Path]:
    """The files that define figures: when they change, all are computed again."""
    return [Path(figures.__file__), *(SQL / "figures").glob("*.sql")]


def _complete(connection: duckdb.DuckDBPyConnection, snapshots: Sequence[tuple[str]]) -> None:
    connection.execute(statements("figures/tidy"))
    for (snapshot_id,) in snapshots:
        runs = connection.execute(statements("figures/runs"), [snapshot_id]).fetchall()
        wanted = connection.execute(statements("figures/pairs"), [snapshot_id]).fetchall()
        new = {run_id for (run_id,) in runs}
        parts = _parts(connection, snapshot_id) if new else None
        involved = sorted(new.union(*wanted))
        for split, protocol in PARTS if involved else ():
            ranks = _ranks(connection, involved, split, protocol)
            if not ranks.run_ids:
                continue
            _keep(connection, "pairs", figures.pairs(ranks, wanted), split, protocol)
            if parts is not None:
                of_new, held = ranks.only(new), parts.filter(pc.equal(parts["split"], split))
                _keep(connection, "metrics", figures.metrics(of_new), split, protocol)
                slices = figures.slices(of_new, held.drop_columns("split"))
                _keep(connection, "slices", slices, split, protocol)


def _parts(connection: duckdb.DuckDBPyConnection, snapshot_id: str) -> pa.Table:
    return connection.sql(statements("figures/users"), params=[snapshot_id]).to_arrow_table()


def _ranks(
    connection: duckdb.DuckDBPyConnection, run_ids: list[str], split: str, protocol: str
) -> figures.Ranks:
    question = connection.sql(statements("figures/ranks"), params=[run_ids, split, protocol])
    return figures.arrange(run_ids, question.to_arrow_table())


def _keep(
    connection: duckdb.DuckDBPyConnection, kind: str, frame: pa.Table, split: str, protocol: str
) -> None:
    connection.register("frame", frame)
    connection.execute(statements(f"figures/keep_{kind}"), [split, protocol])
    connection.unregister("frame")
