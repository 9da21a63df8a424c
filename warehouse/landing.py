"""A source of any kind, an archive or own data, into staged tables: one way for all.

What differs between kinds is how a source is opened and parsed: `archive_landing.py` and
`own_data/landing.py`.
"""

import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import duckdb

from warehouse import archive_landing
from warehouse.database import connected, statements
from warehouse.datasets.dataset import Dataset
from warehouse.identity import identify
from warehouse.landed import Into, Origin
from warehouse.lines import Advance
from warehouse.own_data import landing as own_landing
from warehouse.own_data.description import Description
from warehouse.raw_ids import User
from warehouse.staging import auditable
from warehouse.transforms.rules import MOVIELENS, Rules

DataSet = Dataset | Description


class Opened(Protocol):
    """A source that is ready to be landed."""

    @property
    def origin(self) -> Origin:
        """What is recorded of it."""

    def land(self, into: Into) -> None:
        """Stage all of its rows."""


@dataclass(frozen=True)
class Load:
    """A landed source, as in `raw.loads`; its rejects are counted."""

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
    rules: Rules = MOVIELENS


def load_id_of(dataset: DataSet, source: Path, forgotten: Collection[User] = ()) -> str:
    """The id that the load of this source has or would have without the forgotten users.

    Raises:
        RefusedError: the source can't be read.
    """
    if isinstance(dataset, Description):
        return _load_id(dataset, own_landing.sha256_of(dataset, source), forgotten)
    return _load_id(dataset, archive_landing.sha256_of(source), forgotten)


def land(
    dataset: DataSet,
    source: Path,
    folder: Path,
    progress: Advance | None = None,
    forgotten: Collection[User] = (),
) -> Load:
    """Parse a source into files of the tables `raw.*`, staged in a folder.

    Args:
        dataset: what the archive should be, or how own data is described.
        source: the archive, or the file or folder of own data.
        folder: a staging folder; its database for audits has the row of `raw.loads` too.
        progress: is told the bytes of ratings done and in all.
        forgotten: users whose rows are left out, wherever they stand.

    Raises:
        RefusedError: it can't be read as what it should be; nothing of it can be taken.
    """
    with (
        tempfile.TemporaryDirectory(dir=folder) as unpacked,
        _opened(dataset, source, Path(unpacked)) as opened,
        connected(Path(unpacked) / "parsed.duckdb") as connection,
    ):
        origin = opened.origin
        load_id = _load_id(dataset, origin.sha256, forgotten)
        connection.execute(statements("schema/raw"))
        opened.land(Into(connection, folder, load_id, forgotten, progress))
    with auditable(folder) as connection:
        load = _record(connection, dataset.name, origin, load_id)
    return replace(load, n_forgotten=len(forgotten))


@contextmanager
def _opened(dataset: DataSet, source: Path, folder: Path) -> Iterator[Opened]:
    if isinstance(dataset, Description):
        yield own_landing.opened(dataset, source)
        return
    with archive_landing.opened(dataset, source, folder) as archive:
        yield archive


def _load_id(dataset: DataSet, sha256: str, forgotten: Collection[User]) -> str:
    without = [sorted(forgotten)] if forgotten else []  # type: ignore[type-var]
    if isinstance(dataset, Description):
        said = own_landing.content(dataset)
        code = own_landing.CODE_VERSION
        return identify("load", dataset.name, sha256, code, said, *without)
    return identify("load", dataset.name, sha256, archive_landing.CODE_VERSION, *without)


def _record(
    connection: duckdb.DuckDBPyConnection, dataset: str, origin: Origin, load_id: str
) -> Load:
    load = Load(
        load_id=load_id,
        dataset=dataset,
        source=origin.source,
        source_sha256=origin.sha256,
        verified=origin.verified,
        n_ratings=_count(connection, "raw.ratings"),
        n_users=_count(connection, "(SELECT DISTINCT raw_user_id FROM raw.ratings)"),
        n_items=_count(connection, "(SELECT DISTINCT raw_item_id FROM raw.ratings)"),
        n_rejects=_count(connection, "raw.rejects"),
        rules=origin.rules,
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
    if origin.description:
        low, high = origin.rules.scale or (None, None)
        row = [load_id, origin.rules.repeats, low, high, origin.description]
        connection.execute("INSERT INTO raw.descriptions VALUES (?, ?, ?, ?, ?)", row)
    return load


def _count(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {rows}").fetchall()[0][0])
