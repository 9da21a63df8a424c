"""An archive's files into staged tables, unchanged, the unreadable lines aside."""

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from warehouse.archive import Archive, checksums, open_archive
from warehouse.database import connected, literal_glob, statements
from warehouse.datasets.dataset import Dataset, Row
from warehouse.errors import RefusedError
from warehouse.identity import code_version, identify
from warehouse.lines import MAX_LINE_BYTES, Advance, copy_lines
from warehouse.raw_ids import MAX_ID
from warehouse.small_files import Reject, TextFile, read_small_file, wrong_header
from warehouse.staging import auditable, stage_rows

_HERE = Path(__file__).parent
CODE_VERSION = code_version(
    [
        *(
            _HERE / f"{name}.py"
            for name in ("landing", "lines", "encodings", "small_files", "raw_ids", "shown")
        ),
        *(_HERE / "sql" / "landing").glob("*.sql"),
        _HERE / "datasets" / "layouts.py",
    ]
)
EARLIEST = int(datetime(1995, 1, 1, tzinfo=UTC).timestamp())  # MovieLens began in 1995


@dataclass(frozen=True)
class Load:
    """A landed archive, as in `raw.loads`; its rejects are counted."""

    load_id: str
    dataset: str
    source: str
    source_sha256: str
    verified: bool
    n_ratings: int
    n_users: int
    n_items: int
    n_rejects: int
    n_forgotten: int = 0  # users that were left out, as they had asked


def load_id_of(dataset: Dataset, source: Path, forgotten: Collection[int] = ()) -> str:
    """The id that the load of this archive has or would have without the forgotten users.

    Raises:
        RefusedError: the source can't be read.
    """
    return _load_id(dataset, checksums(source)[0], forgotten)


def land(
    dataset: Dataset,
    source: Path,
    folder: Path,
    progress: Advance | None = None,
    forgotten: Collection[int] = (),
) -> Load:
    """Parse an archive into files of the tables `raw.*`, staged in a folder.

    Args:
        dataset: what the archive should be.
        source: the archive.
        folder: a staging folder; its database for audits has the row of `raw.loads` too.
        progress: is told the bytes of ratings done and in all.
        forgotten: users whose rows are left out, wherever they stand.

    Raises:
        RefusedError: see `open_archive`, `copy_lines`; also a wrong header, a wrong encoding, or
            no rating that can be read.
    """
    with (
        tempfile.TemporaryDirectory(dir=folder) as unpacked,
        open_archive(dataset, source, Path(unpacked)) as archive,
        connected(Path(unpacked) / "parsed.duckdb") as connection,
    ):
        load_id = _load_id(dataset, archive.sha256, forgotten)
        connection.execute(statements("schema/raw"))
        _land_ratings(connection, dataset, archive, load_id, folder, progress, forgotten)
        _land_items(connection, dataset, archive, load_id)
        _land_users(connection, dataset, archive, load_id)
        if forgotten:
            connection.register("forgotten", pa.table({"raw_user_id": list(forgotten)}))
            connection.execute(statements("landing/forgotten"))
        for table in ("raw.items", "raw.users", "raw.rejects"):
            stage_rows(connection, folder, table, load_id, f"SELECT * FROM {table}")
    with auditable(folder) as connection:
        load = _record(connection, dataset, archive, load_id)
    return replace(load, n_forgotten=len(forgotten))


def _load_id(dataset: Dataset, sha256: str, forgotten: Collection[int]) -> str:
    without = [sorted(forgotten)] if forgotten else []
    return identify("load", dataset.name, sha256, CODE_VERSION, *without)


def _land_ratings(
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    archive: Archive,
    load_id: str,
    folder: Path,
    progress: Advance | None,
    forgotten: Collection[int],
) -> None:
    layout = dataset.layout
    name = f"{dataset.name}/{layout.ratings}"
    text = archive.folder / "ratings.txt"
    with archive.member(name) as packed, text.open("wb") as target:
        size = archive.size(name)
        lines = copy_lines(packed, target, name=name, size=size, progress=progress)
    if layout.header not in (None, lines.first):
        raise wrong_header(name, lines.first, str(layout.header))
    n_headers = 0 if layout.header is None else 1
    parameters = {
        "separator": layout.separator,
        "headers": n_headers,
        "max_id": MAX_ID,
        "stars": dataset.scale.spellings(),
        "earliest": EARLIEST,
        "latest": int((datetime.now(UTC) + timedelta(days=1)).timestamp()),
    }
    connection.execute(statements("landing/why_not"))
    connection.execute(statements("landing/lines"), {"path": literal_glob(text)})
    rows, told = statements("landing/ratings"), dict(parameters)
    if forgotten:
        rows += " AND NOT list_contains($forgotten::BIGINT[], TRY_CAST(field[1] AS BIGINT))"
        told["forgotten"] = list(forgotten)
    n_ratings = stage_rows(connection, folder, "raw.ratings", load_id, rows, told)
    if n_ratings < lines.count - n_headers:
        parameters |= {"load_id": load_id, "member": name, "longest": MAX_LINE_BYTES}
        connection.execute(statements("landing/rejects"), parameters)
    connection.execute("DROP TABLE lines")
    if n_ratings == 0:
        raise _no_ratings(connection, name)


def _land_items(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, archive: Archive, load_id: str
) -> None:
    layout = dataset.layout
    name = f"{dataset.name}/{layout.items}"
    header, ends_whole = layout.items_header, layout.items_end_whole
    file = TextFile(name, "movie", layout.read_items, layout.encoding, header, ends_whole)
    movies = read_small_file(archive, file)
    names = ("raw_item_id", "title", "genres")
    _insert(connection, "raw.items", load_id, names, movies.rows)
    _insert_rejects(connection, load_id, movies.rejects)


def _land_users(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, archive: Archive, load_id: str
) -> None:
    layout = dataset.layout
    if layout.users is None or layout.read_users is None:
        connection.execute(statements("landing/users_of_ratings"), {"load_id": load_id})
        return
    name = f"{dataset.name}/{layout.users}"
    users = read_small_file(archive, TextFile(name, "user", layout.read_users, layout.encoding))
    names = ("raw_user_id", "gender", "age", "occupation")
    _insert(connection, "raw.users", load_id, names, users.rows)
    _insert_rejects(connection, load_id, users.rejects)


def _insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    load_id: str,
    names: Sequence[str],
    rows: Sequence[Row],
) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    kinds = [pa.int64(), *(pa.string() for _ in names[1:])]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    frame = pa.table([pa.array([load_id] * len(rows), pa.string()), *arrays], ["load_id", *names])
    connection.register("frame", frame)
    connection.execute(f"INSERT INTO {table} BY NAME FROM frame")
    connection.unregister("frame")


def _insert_rejects(
    connection: duckdb.DuckDBPyConnection, load_id: str, rejects: Sequence[Reject]
) -> None:
    """As one table: a statement a row would take minutes for a file of bad lines."""
    if not rejects:
        return
    members, numbers, lines, reasons = zip(*rejects, strict=True)
    columns = [[load_id] * len(rejects), members, numbers, lines, reasons]
    names = ["load_id", "member", "source_row", "line", "reason"]
    kinds = [pa.string(), pa.string(), pa.int64(), pa.string(), pa.string()]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    connection.register("frame", pa.table(arrays, names))
    connection.execute("INSERT INTO raw.rejects BY NAME FROM frame")
    connection.unregister("frame")


def _record(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, archive: Archive, load_id: str
) -> Load:
    load = Load(
        load_id=load_id,
        dataset=dataset.name,
        source=archive.source.name,
        source_sha256=archive.sha256,
        verified=dataset.is_synthetic or _is_known(dataset, archive),
        n_ratings=_count(connection, "raw.ratings"),
        n_users=_count(connection, "(SELECT DISTINCT raw_user_id FROM raw.ratings)"),
        n_items=_count(connection, "(SELECT DISTINCT raw_item_id FROM raw.ratings)"),
        n_rejects=_count(connection, "raw.rejects"),
    )
    now = datetime.now(UTC).replace(tzinfo=None)
    connection.execute(
        "INSERT INTO raw.loads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
        [
            load_id,
            load.dataset,
            load.source,
            load.source_sha256,
            load.verified,
            now,
            load.n_ratings,
            load.n_users,
            load.n_items,
        ],
    )
    return load


def _is_known(dataset: Dataset, archive: Archive) -> bool:
    """Whether these are the publisher's bytes."""
    if dataset.sha256:
        return archive.sha256 == dataset.sha256
    return dataset.md5 is not None and archive.md5 == dataset.md5


def _count(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {rows}").fetchall()[0][0])


def _no_ratings(connection: duckdb.DuckDBPyConnection, name: str) -> RefusedError:
    row = connection.execute(
        "SELECT source_row, line, reason FROM raw.rejects ORDER BY source_row LIMIT 1"
    ).fetchone()
    seen = f"0 rows; line {row[0]} is {row[1]!r}: {row[2]}" if row else "0 rows"
    return RefusedError(
        f"{name} holds no rating that can be read", got=seen, to_do="Check --dataset and --source"
    )
