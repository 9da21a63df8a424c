"""What of a data set is published and whole, for those who only look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from warehouse.catalogue import opened
from warehouse.database import statements
from warehouse.home import Home
from warehouse.identity import sha256_of
from warehouse.list_figures import LISTS, lost_lists
from warehouse.renamed import preset_of_now
from warehouse.store import listed
from warehouse.stored import CORE, OWN, RAW
from warehouse.stored_files import damaged

RANKS = "mart.user_ranks"


@dataclass(frozen=True)
class Standing:
    """What a run would find when it had put away what is damaged.

    Attributes:
        loads: ids of those with all their files.
        snapshots: ids of those with all their files and their sequences.
        checkpoints: checksum of the weights of each published training with its ranks.
        seconds: what past trainings on the data set took, by model and preset.
    """

    loads: frozenset[str]
    snapshots: frozenset[str]
    checkpoints: Mapping[str, str]
    seconds: Mapping[tuple[str, str], float]


def standing(home: Home, dataset: str) -> Standing:
    """What stands in a home; nothing is changed or mended."""
    with opened(home) as connection:
        files = listed(connection)
        broken = {(file.table, file.identity) for file, _ in damaged(home, files)}
        tables: dict[str, set[str]] = {}
        for file in files:
            if (file.table, file.identity) not in broken:
                tables.setdefault(file.identity, set()).add(file.table)
        lost = lost_lists(connection) | {name for table, name in broken if table == LISTS}
        return Standing(
            frozenset(_with(tables, RAW)) - _without_keys(connection, tables),
            frozenset(set(_with(tables, CORE)) & _with_sequences(home, connection)),
            _checkpoints(connection, set(_with(tables, [RANKS])) - lost),
            _seconds(connection, dataset),
        )


def _without_keys(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, set[str]]
) -> set[str]:
    """Loads of own data that have lost the numbers of their ids."""
    try:
        own = connection.execute("SELECT load_id FROM raw.descriptions").fetchall()
    except duckdb.CatalogException:  # of code that knew no own data
        return set()
    return {load_id for (load_id,) in own if not tables.get(load_id, set()).issuperset(OWN)}


def _with(tables: Mapping[str, set[str]], wanted: Sequence[str]) -> list[str]:
    return [identity for identity, found in tables.items() if found.issuperset(wanted)]


def _with_sequences(home: Home, connection: duckdb.DuckDBPyConnection) -> set[str]:
    query = "SELECT snapshot_id, sequences_path, sequences_sha256 FROM core.snapshots"
    paths = {row[0]: (home.root / row[1], row[2]) for row in connection.execute(query).fetchall()}
    return {
        identity
        for identity, (path, sha256) in paths.items()
        if path.exists() and sha256_of(path) == sha256
    }


def _checkpoints(connection: duckdb.DuckDBPyConnection, ranked: set[str]) -> dict[str, str]:
    query = "SELECT run_id, checkpoint_sha256 FROM mart.training_runs WHERE status = 'published'"
    return {row[0]: row[1] for row in connection.execute(query).fetchall() if row[0] in ranked}


def _seconds(connection: duckdb.DuckDBPyConnection, dataset: str) -> dict[tuple[str, str], float]:
    rows = connection.execute(statements("questions/seconds"), [dataset]).fetchall()
    return {(model, preset_of_now(preset)): seconds for model, preset, seconds in rows}
