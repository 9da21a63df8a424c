"""An archive's files into staged tables, unchanged, the unreadable lines aside."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from warehouse.archive import Archive, checksums, open_archive
from warehouse.database import literal_glob, statements
from warehouse.datasets.dataset import Dataset, Row
from warehouse.errors import RefusedError
from warehouse.identity import code_version
from warehouse.landed import Into, Origin
from warehouse.lines import MAX_LINE_BYTES, copy_lines
from warehouse.raw_ids import MAX_ID
from warehouse.small_files import Reject, TextFile, read_small_file, wrong_header
from warehouse.staging import stage_rows

_HERE = Path(__file__).parent
CODE_VERSION = code_version(
    [
        *(
            _HERE / f"{name}.py"
            for name in (
                "landing",
                "landed",
                "archive_landing",
                "lines",
                "encodings",
                "small_files",
                "raw_ids",
                "shown",
            )
        ),
        *(_HERE / "sql" / "landing").glob("*.sql"),
        _HERE / "datasets" / "layouts.py",
    ]
)
EARLIEST = int(datetime(1995, 1, 1, tzinfo=UTC).timestamp())  # MovieLens began in 1995
TABLES = ("raw.items", "raw.users", "raw.rejects")


def sha256_of(source: Path) -> str:
    """What the archive is known by.

    Raises:
        RefusedError: it can't be read.
    """
    return checksums(source)[0]


@dataclass(frozen=True)
class OpenedArchive:
    """An archive that is ready to be landed."""

    dataset: Dataset
    archive: Archive

    @property
    def origin(self) -> Origin:
        """What is recorded of it."""
        ours, archive = self.dataset, self.archive
        verified = ours.is_synthetic or _is_known(ours, archive)
        return Origin(archive.source.name, archive.sha256, verified)

    def land(self, into: Into) -> None:
        """Stage its ratings; its movies, users and unreadable lines go into tables.

        Raises:
            RefusedError: see `copy_lines`; also a wrong header, a wrong encoding, or no rating
                that can be read.
        """
        _land_ratings(into, self.dataset, self.archive)
        _land_items(into.connection, self.dataset, self.archive, into.load_id)
        _land_users(into.connection, self.dataset, self.archive, into.load_id)
        if into.forgotten:
            users = pa.table({"raw_user_id": list(into.forgotten)})
            into.connection.register("forgotten", users)
            into.connection.execute(statements("landing/forgotten"))
        into.stage(TABLES)


@contextmanager
def opened(dataset: Dataset, source: Path, folder: Path) -> Iterator[OpenedArchive]:
    """A private copy of an archive, in a folder; see `open_archive`."""
    with open_archive(dataset, source, folder) as archive:
        yield OpenedArchive(dataset, archive)


def _land_ratings(into: Into, dataset: Dataset, archive: Archive) -> None:
    layout, connection, load_id = dataset.layout, into.connection, into.load_id
    name = f"{dataset.name}/{layout.ratings}"
    text = archive.folder / "ratings.txt"
    with archive.member(name) as packed, text.open("wb") as target:
        size = archive.size(name)
        lines = copy_lines(packed, target, name=name, size=size, progress=into.progress)
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
    if into.forgotten:
        rows += " AND NOT list_contains($forgotten::BIGINT[], TRY_CAST(field[1] AS BIGINT))"
        told["forgotten"] = list(into.forgotten)
    n_ratings = stage_rows(connection, into.folder, "raw.ratings", load_id, rows, told)
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


def _is_known(dataset: Dataset, archive: Archive) -> bool:
    """Whether these are the publisher's bytes."""
    if dataset.sha256:
        return archive.sha256 == dataset.sha256
    return dataset.md5 is not None and archive.md5 == dataset.md5


def _no_ratings(connection: duckdb.DuckDBPyConnection, name: str) -> RefusedError:
    row = connection.execute(
        "SELECT source_row, line, reason FROM raw.rejects ORDER BY source_row LIMIT 1"
    ).fetchone()
    seen = f"0 rows; line {row[0]} is {row[1]!r}: {row[2]}" if row else "0 rows"
    return RefusedError(
        f"{name} holds no rating that can be read", got=seen, to_do="Check --dataset and --source"
    )
