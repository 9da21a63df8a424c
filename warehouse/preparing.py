"""From a landed load to a staged snapshot and its sequences file."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from warehouse.catalogue import reading
from warehouse.commands import prepare_command
from warehouse.database import literal_glob, quoted, rows_of, utc_now
from warehouse.described import raw_tables_of, rules_of
from warehouse.errors import RefusedError
from warehouse.faults import point
from warehouse.home import Home
from warehouse.identity import identify, sha256_of
from warehouse.placing import put_in_place
from warehouse.records import Snapshot
from warehouse.staging import auditable, stage_frame
from warehouse.store import has_files, stored_files
from warehouse.stored import CORE
from warehouse.transforms import candidates, core
from warehouse.transforms.genres import genres
from warehouse.transforms.options import Options
from warehouse.transforms.sequences import sequences
from warehouse.values import KEY, Digest

_LISTS = {
    "item_ids": pa.int32(),
    "timestamps": pa.int64(),
    "weeks": pa.int8(),
    "ratings": pa.int8(),
}
SEQUENCES_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.int32()),
        *(pa.field(name, pa.list_(kind)) for name, kind in _LISTS.items()),
        pa.field("n_train", pa.int32()),
        pa.field("time_scale", pa.int64()),
        pa.field("valid_candidates", pa.list_(pa.int32())),
        pa.field("test_candidates", pa.list_(pa.int32())),
    ]
)
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
USERS_A_GROUP = 2048  # of the sequences file; groups are read side by side


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
    rules = rules_of(home, load_id)
    tables = core.core_tables(*raw_tables(home, load_id), retention, options, rules)
    path = home.sequences_file(identity)
    # one core draws and compresses while the other writes the tables
    with ThreadPoolExecutor(1) as pool:
        drawn = pool.submit(core.candidates_of, tables)
        written = pool.submit(lambda: write_sequences(path, tables, drawn.result(), identity))
        for name in ("interactions", "items", "users"):
            stage_frame(folder, f"core.{name}", identity, getattr(tables, name))
        stage_frame(folder, "core.candidates", identity, drawn.result())
        snapshot = Snapshot(
            snapshot_id=identity,
            load_id=load_id,
            retention=retention,
            n_users=tables.users.height,
            n_items=tables.items.height,
            n_interactions=tables.interactions.height,
            n_duplicates=tables.n_duplicates,
            sequences=path,
            sequences_sha256=written.result(),
            as_of=options.as_of,
            repeats=rules.repeats,
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


def write_sequences(path: Path, tables: core.CoreTables, drawn: pl.DataFrame, identity: str) -> str:
    """Write whole or not at all, with the hash of its values in it. Returns its checksum."""
    metadata = {"snapshot_id": identity, "n_items": str(tables.items.height)}
    if tables.rules.comes_again:
        metadata["repeats"] = tables.rules.repeats
    if known := genres(tables.items):
        metadata["genres"] = known
    rows = sequences(tables, drawn.lazy()).collect()
    schema = SEQUENCES_SCHEMA.with_metadata(metadata)
    partial = path.with_suffix(".partial")
    digest = Digest(schema)
    with pq.ParquetWriter(partial, schema, compression="zstd", use_dictionary=False) as writer:
        for group in rows.select(schema.names).iter_slices(USERS_A_GROUP):
            table = group.to_arrow().cast(schema)
            digest.add(table)
            writer.write_table(table)
        writer.add_key_value_metadata({KEY: digest.hexdigest()})
    sha256 = sha256_of(partial)
    point("sequences are written")
    put_in_place(partial, path)
    Path(f"{path}.sha256").unlink(missing_ok=True)  # an older version's, of what was there
    return sha256


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
