"""A home of the version that kept all in one database, brought into the store and a catalogue."""

from collections.abc import Iterator
from pathlib import Path

import duckdb

from warehouse.catalogue import is_old, writing
from warehouse.database import connected, quoted, table_files
from warehouse.errors import RefusedError
from warehouse.faults import point
from warehouse.following import newest, turn
from warehouse.garbage import collect
from warehouse.home import Home
from warehouse.kept_catalogues import give_to_readers
from warehouse.renamed import rename
from warehouse.run_figures import bring_up_to_date
from warehouse.staging import stage_rows, staging_folder
from warehouse.store import list_files, place_all
from warehouse.stored import KEYS, OWN
from warehouse.stored_files import StoredFile

# Tables that stay tables, and what tells which of their rows came first.
SMALL = {
    "raw.loads": "loaded_at, load_id",
    "core.snapshots": "created_at, snapshot_id",
    "mart.training_runs": "finished_at, run_id",
    "mart.epochs": None,
    "mart.validation_results": None,
}
LATER = {*OWN, "mart.top_lists"}  # tables that the one database never had
BULKY = {name: key for name, key in KEYS.items() if name not in LATER}


def upgrade(home: Home) -> dict[str, int]:
    """Bring all that an old home has published into the store and a first catalogue.

    The old database and its copy go when every row of them is there.

    Returns:
        Rows carried over, by table; none where all of it was done before.

    Raises:
        RefusedError: there is nothing published; the old database does not open; a row is missing.
    """
    collect(home)  # one before this may have been killed
    if newest(home) is None and not home.old_warehouse.exists():
        raise RefusedError("Nothing to bring up to date", got=str(home.root))
    if not is_old(home):
        _finish(home)  # one before this was ended between its publication and here
        return {}
    with staging_folder(home, "upgrade") as folder:
        with connected(home.old_warehouse, read_only=True) as old:
            wanted = {name: _count(old, name) for name in (*BULKY, *SMALL)}
        _stage(home, folder)
        files = place_all(home, folder)
        _fill(home, files, wanted)
    point("before the database of an earlier version goes")
    _finish(home)
    return {name: count for name, count in wanted.items() if count}


def _finish(home: Home) -> None:
    """Every row is in the catalogue, which is published only when it is: the old file may go."""
    with turn(home):
        give_to_readers(home)
    for path in (home.old_warehouse, Path(f"{home.old_warehouse}.wal")):
        path.unlink(missing_ok=True)


def _stage(home: Home, folder: Path) -> None:
    """Every load, snapshot and training of the bulky tables as a file of its own."""
    for name, key in BULKY.items():
        with connected(folder / "carried.duckdb") as connection:
            _attach_old(connection, home)
            for identity in _identities(connection, name, key):
                _new_definitions(connection)
                rows = f"SELECT * FROM old.{name} WHERE {key} = $identity"
                stage_rows(connection, folder, name, identity, rows, {"identity": identity})
                connection.execute(f"DROP VIEW {name}")


def _fill(home: Home, files: list[StoredFile], wanted: dict[str, int]) -> None:
    """The first catalogue: small tables with all their rows, bulky ones by their files.

    Raises:
        RefusedError: a row is missing.
    """
    with writing(home, beside_old=True) as connection:
        _attach_old(connection, home)
        for name, order in SMALL.items():
            number = f", row_number() OVER (ORDER BY {order}) AS publication" if order else ""
            connection.execute(f"INSERT INTO {name} BY NAME SELECT *{number} FROM old.{name}")
        # later publications have greater numbers than any of those carried over
        connection.execute(
            "UPDATE mart.catalogue SET publication = (SELECT max(publication) FROM ("
            "SELECT publication FROM raw.loads UNION ALL SELECT publication FROM core.snapshots "
            "UNION ALL SELECT publication FROM mart.training_runs UNION ALL SELECT 1))"
        )
        list_files(connection, home, files)
        rename(connection)
        bring_up_to_date(connection)
        for name, count in wanted.items():
            if (there := _count(connection, name)) != count:
                raise RefusedError(
                    f"{name} is not whole", got=f"{there:,} rows", expected=f"{count:,}"
                )


def _attach_old(connection: duckdb.DuckDBPyConnection, home: Home) -> None:
    connection.execute(f"ATTACH {quoted(str(home.old_warehouse))} AS old (READ_ONLY)")


def _new_definitions(connection: duckdb.DuckDBPyConnection) -> None:
    for path in table_files():
        connection.execute(path.read_text(encoding="utf-8"))


def _identities(connection: duckdb.DuckDBPyConnection, name: str, key: str) -> Iterator[str]:
    rows = connection.execute(f"SELECT DISTINCT {key} FROM old.{name} ORDER BY ALL").fetchall()
    return (identity for (identity,) in rows)


def _count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0])
