"""Models of somebody else, of which scores were imported: what is published of them."""

from pathlib import Path

import duckdb

from warehouse.catalogue import fetch_all, reading, writing
from warehouse.database import statements, utc_now
from warehouse.home import Home
from warehouse.importing.ranking import Imported
from warehouse.ranks import core_files
from warehouse.rehearsal import figures_of
from warehouse.run_figures import add_figures
from warehouse.staging import auditable, audited
from warehouse.store import has_files, list_files, place_all

_COLUMNS = (
    "run_id", "snapshot_id", "name", "kind", "known_to", "trained_on", "promise", "file",
    "file_sha256", "n_rows", "n_users", "n_without", "n_seen", "n_left_out",
)  # fmt: skip


def counts_already(home: Home, run_id: str) -> bool:
    """Whether these very scores are published, whole, and no later ones under their name."""
    query = (
        "SELECT count(*) FROM mart.latest_imports AS latest JOIN mart.imports USING (run_id) "
        "WHERE run_id = ? AND len(latest.splits) = len(imports.splits)"
    )
    with reading(home) as connection:
        found = connection.execute(query, [run_id]).fetchall()[0][0]
        return bool(found) and has_files(connection, ["mart.user_ranks"], run_id)


def replaced_by(home: Home, imported: Imported) -> list[tuple[str, list[str]]]:
    """Imports whose place these scores will take, each with the splits in which they do."""
    query = (
        "SELECT run_id, list_intersect(splits, $splits) AS taken FROM mart.latest_imports "
        "WHERE snapshot_id = $snapshot_id AND name = $name AND run_id <> $run_id "
        "AND len(taken) > 0 ORDER BY run_id"
    )
    facts = {"splits": list(imported.splits), "run_id": imported.run_id}
    facts |= {"snapshot_id": imported.snapshot_id, "name": imported.name}
    rows = fetch_all(home, query, facts)
    return [(run_id, sorted(splits, reverse=True)) for run_id, splits in rows]


def audit_database(home: Home, imported: Imported, folder: Path) -> Path:
    """The database that an audit reads: the staged ranks beside the snapshot's tables."""
    with auditable(folder, core_files(home, imported.snapshot_id)):
        return audited(folder)


def publish_import(home: Home, imported: Imported, folder: Path) -> None:
    """Take staged ranks into `mart`, with their figures; the same again replaces."""
    files = place_all(home, folder)
    row = [getattr(imported, name) for name in _COLUMNS]
    row += [utc_now(), list(imported.splits)]

    def write(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(statements("publish/import"), row)

    made = figures_of(home, folder, files, write, [imported.run_id])
    with writing(home) as connection:
        write(connection)
        list_files(connection, home, files)
        add_figures(connection, [imported.run_id], made)
