"""From a landed load to a staged snapshot and its sequences file."""

import tempfile
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq

from warehouse.by_parts.core_files import CoreFiles
from warehouse.by_parts.core_parts import ROWS_A_PART, core_parts
from warehouse.catalogue import reading
from warehouse.commands import prepare_command
from warehouse.database import literal_glob, quoted, rows_of, utc_now
from warehouse.described import raw_tables_of, rules_of
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.identity import identify, sha256_of
from warehouse.records import Snapshot
from warehouse.staging import auditable
from warehouse.store import has_files, stored_files
from warehouse.stored import CORE
from warehouse.transforms import candidates, core
from warehouse.transforms.options import Options

# Of the items that have some, by the metadata of the sequences file.
_GENRES = """
CREATE VIEW core.sequence_genres AS
SELECT item_id, [names[number] FOR number IN numbers] AS genres
FROM (
    SELECT said->>'$.names[*]' AS names,
           unnest(from_json(said->'$.items', '[["INTEGER"]]')) AS numbers,
           generate_subscripts(from_json(said->'$.items', '[["INTEGER"]]'), 1) AS item_id
    FROM (SELECT CAST(decode(value) AS JSON) AS said FROM parquet_kv_metadata({source})
          WHERE decode(key) = 'genres')
)
WHERE len(numbers) > 0
"""


def snapshot_id(load_id: str, retention: str, options: Options = core.CORRECT) -> str:
    """Id of the snapshot that `prepare` would make.

    Raises:
        RefusedError: there is no such retention.
    """
    if retention not in core.RETENTIONS:
        raise RefusedError(
            "Unknown retention", got=repr(retention), expected=" or ".join(core.RETENTIONS)
        )
    settings = {
        "retention": retention,
        "k": core.RETENTIONS[retention],
        "candidates": candidates.N_CANDIDATES,
        "seed": candidates.SEED,
        **options.changes(),
    }
    return identify("snapshot", load_id, settings, core.CODE_VERSION)


def prepare(
    home: Home, load_id: str, retention: str, folder: Path, options: Options = core.CORRECT
) -> Snapshot:
    """Transform a published load into staged files of the tables `core.*` and a sequences file.

    Args:
        home: of the pipeline.
        load_id: a published load.
        retention: a key of `core.RETENTIONS`.
        folder: a staging folder; its database for audits has the row of `core.snapshots` too.
        options: the rest of the settings.

    Raises:
        RefusedError: unknown load or retention; too little data is left.
    """
    identity = snapshot_id(load_id, retention, options)
    path = home.sequences_file(identity)
    with tempfile.TemporaryDirectory(dir=folder) as waiting:
        made = core_parts(
            *raw_tables(home, load_id),
            retention,
            Path(waiting),
            options,
            rules_of(home, load_id),
            ROWS_A_PART,
        )
        sha256 = CoreFiles(folder, Path(waiting), identity, made).write(path)
    snapshot = Snapshot(
        snapshot_id=identity,
        load_id=load_id,
        retention=retention,
        n_users=made.n_users,
        n_items=made.items.height,
        n_interactions=made.n_interactions,
        n_duplicates=made.n_duplicates,
        sequences=path,
        sequences_sha256=sha256,
        as_of=options.as_of,
        repeats=made.rules.repeats,
    )
    with auditable(folder) as connection:
        _insert_snapshot(connection, home, snapshot)
        connection.execute(f"CREATE VIEW core.sequences AS FROM {rows_of(path)}")
        connection.execute(_GENRES.format(source=quoted(literal_glob(path))))
    return snapshot


def find_snapshot(home: Home, identity: str) -> Snapshot | None:
    """The published snapshot of that id, if its tables and its sequences file are still whole."""
    with reading(home) as connection:
        row = connection.execute(
            "SELECT snapshot_id, load_id, retention, n_users, n_items, n_interactions, "
            "n_duplicates, sequences_path, sequences_sha256, as_of, coalesce(repeats, 'first') "
            "FROM core.snapshots "
            "WHERE snapshot_id = ?",
            [identity],
        ).fetchone()
        has_tables = has_files(connection, CORE, identity)
    if row is None or not has_tables:
        return None
    path = home.root / row[7]
    snapshot = Snapshot(*row[:7], path, *row[8:])  # type: ignore[call-arg]
    whole = path.exists() and sha256_of(path) == snapshot.sequences_sha256
    return snapshot if whole else None


def known_snapshot(home: Home, identity: str) -> Snapshot:
    """The published snapshot of that id.

    Raises:
        RefusedError: there is none, or its sequences file is gone or damaged.
    """
    snapshot = find_snapshot(home, identity)
    if snapshot is None:
        raise _not_whole(home, identity)
    return snapshot


def _not_whole(home: Home, identity: str) -> RefusedError:
    """A snapshot can't be trained on: with the command that makes it, or its file, again."""
    query = "SELECT load_id, retention, as_of FROM core.snapshots WHERE snapshot_id = ?"
    with reading(home) as connection:
        row = connection.execute(query, [identity]).fetchone()
    if row is None:
        return RefusedError("No such snapshot", got=identity, to_do="Run `fpt prepare` first")
    path = home.sequences_file(identity)
    return RefusedError(
        f"{path.name} is {'damaged' if path.exists() else 'missing'}",
        to_do=f"Run `{prepare_command(home, *row)}`: it makes it again",
    )


def raw_tables(home: Home, load_id: str) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Ratings and items of a published load, read as they are needed.

    Raises:
        RefusedError: there is none, or not all of its files are there any more.
    """
    with reading(home) as connection:
        files = stored_files(connection, home, load_id)
        lost = [table for table in raw_tables_of(connection, load_id) if table not in files]
    if lost:
        raise RefusedError(
            f"Load {load_id} is not whole" if files else "No such load",
            got=f"no {', '.join(lost)}" if files else load_id,
            to_do="Run `fpt ingest` for this data set first",
        )
    ratings, items = (_scan(files[table]) for table in ("raw.ratings", "raw.items"))
    # landing takes no number that would not fit
    whole = ("source_row", "raw_user_id", "raw_item_id")
    return ratings.with_columns(pl.col(whole).cast(pl.Int32)), items


def _scan(path: Path) -> pl.LazyFrame:
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def names_genres(path: Path) -> bool:
    """Whether a sequences file says which genres items have; those of earlier versions never do."""
    return b"genres" in (pq.read_metadata(path).metadata or {})


def _insert_snapshot(connection: duckdb.DuckDBPyConnection, home: Home, snapshot: Snapshot) -> None:
    connection.execute(
        "INSERT INTO core.snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
        [
            snapshot.snapshot_id,
            snapshot.load_id,
            snapshot.retention,
            snapshot.n_users,
            snapshot.n_items,
            snapshot.n_interactions,
            snapshot.n_duplicates,
            str(snapshot.sequences.relative_to(home.root)),
            snapshot.sequences_sha256,
            utc_now(),
            snapshot.as_of,
            snapshot.repeats,
        ],
    )
