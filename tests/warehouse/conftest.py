"""A small published world, made without any of the pipeline's tasks; archives made by hand."""

import importlib.util
import os
import sys
import tempfile
import tomllib
import warnings
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from warehouse.archive import open_archive
from warehouse.catalogue import writing
from warehouse.datasets import find
from warehouse.datasets.dataset import Dataset
from warehouse.home import Home
from warehouse.identity import sha256_of
from warehouse.landing import Load, land
from warehouse.preparing import prepare
from warehouse.publishing import TrainedRun, publish_load, publish_runs, publish_snapshot
from warehouse.records import Snapshot
from warehouse.staging import auditable, audited, stage_frame, staging_folder
from warehouse.store import list_files, place_all
from warehouse.stored_files import StoredFile
from warehouse.transforms.core import CORRECT
from warehouse.transforms.options import Options

# by its path: the folder of tests on sys.path would hide packages of the same names
_spec = importlib.util.spec_from_file_location(
    "begun_homes", Path(__file__).with_name("begun_homes.py")
)
begun_homes = importlib.util.module_from_spec(_spec)
sys.modules["begun_homes"] = begun_homes
_spec.loader.exec_module(begun_homes)

NOT_ON_A_LAKE = tomllib.loads(
    Path(__file__).with_name("not_on_a_lake.toml").read_text(encoding="utf-8")
)
# with the environment of `make install-lake`, by `make test-lake`
ON_A_LAKE = os.environ.get("FPT_TEST_WAREHOUSE") == "lake"
collect_ignore = (
    [*NOT_ON_A_LAKE["publishes_nothing"]["files"], *NOT_ON_A_LAKE["other"]]
    if ON_A_LAKE
    else ["lake"]
)


@pytest.fixture
def home(same_place, warehouse) -> Home:
    return Home.at(same_place / "home")


@pytest.fixture(scope="session")
def kept_homes(tmp_path_factory, request) -> begun_homes.Kept:
    return begun_homes.Kept(
        tmp_path_factory.mktemp("kept"), lambda: request.getfixturevalue("lakes")
    )


@pytest.fixture
def begun(kept_homes, same_place) -> Callable[[Home, str, Callable[[], Any]], Any]:
    """Do what many tests begin with; from the second time on the home is copied as it was then.

    What it gives must be the same whenever it is done.
    """

    def begin(home: Home, name: str, make: Callable[[], Any]) -> Any:
        return kept_homes.begin(same_place, home, name, make)

    return begin


@pytest.fixture
def staging(home):
    """Make a staging folder; all of them go at the end of the test."""
    with ExitStack() as held:
        yield lambda: held.enter_context(staging_folder(home, "test"))


RATED = ("source_row", "raw_user_id", "raw_item_id", "rating", "timestamp")


@pytest.fixture(scope="session")
def stage_raw():
    """Stage a load of rows in a folder: user, item, timestamp, and stars where they are not 4."""

    def stage(folder: Path, load_id: str, rows: list[tuple], *, verified: bool = True) -> None:
        ratings = [
            (number, user, item, *(stars or [4.0]), moment)
            for number, (user, item, moment, *stars) in enumerate(rows, start=1)
        ]
        items = [(item, f"Item {item}", "") for item in sorted({row[1] for row in rows})]
        frames = {
            "raw.ratings": pl.DataFrame(ratings, RATED, orient="row"),
            "raw.items": pl.DataFrame(items, ("raw_item_id", "title", "genres"), orient="row"),
            "raw.users": pl.DataFrame([], ("raw_user_id", "gender", "age", "occupation")),
            "raw.rejects": pl.DataFrame([], ("member", "source_row", "line", "reason")),
        }
        for table, frame in frames.items():
            stage_frame(folder, table, load_id, frame)
        with auditable(folder) as connection:
            connection.execute(
                "INSERT INTO raw.loads VALUES (?, 'ml-1m', 'ml-1m.zip', 'abc', ?, ?, ?, 0, 0, 0)",
                [load_id, verified, datetime(2026, 1, 1), len(rows)],
            )

    return stage


@pytest.fixture
def stage_load(staging, stage_raw):
    """`stage_raw` in a folder that goes at the end of the test."""

    def stage(load_id: str, rows: list[tuple], *, verified: bool = True) -> Path:
        folder = staging()
        stage_raw(folder, load_id, rows, verified=verified)
        return folder

    return stage


@pytest.fixture
def publish_rows(home, stage_load):
    """Publish a load of rows, as `stage_load` takes them."""

    def go(load_id: str, rows: list[tuple], *, verified: bool = True) -> None:
        publish_load(home, stage_load(load_id, rows, verified=verified))

    return go


@pytest.fixture
def prepare_load(home, staging):
    """Prepare a published load and publish the snapshot."""

    def go(load_id: str, retention: str, options: Options = CORRECT) -> Snapshot:
        folder = staging()
        snapshot = prepare(home, load_id, retention, folder, options)
        publish_snapshot(home, snapshot, folder)
        return snapshot

    return go


@pytest.fixture
def store_frames(home):
    """Publish frames as the files of stored tables, by table and id."""

    def go(frames: dict[tuple[str, str], pl.DataFrame]) -> list[StoredFile]:
        with staging_folder(home, "test") as folder:
            for (table, identity), frame in frames.items():
                stage_frame(folder, table, identity, frame)
            files = place_all(home, folder)
        with writing(home) as connection:
            list_files(connection, home, files)
        return files

    return go


@pytest.fixture
def published_snapshot(home, begun, publish_rows, prepare_load) -> Snapshot:
    """Four users × six items in turn, cold start, published."""
    rows = [(user, (user + step) % 6 + 1, 10 * step) for user in range(1, 5) for step in range(5)]

    def make() -> Snapshot:
        publish_rows("load", rows)
        return prepare_load("load", "cold-start")

    return begun(home, "published snapshot", make)


@pytest.fixture(scope="session")
def write_run():
    """A training in a home with given ranks by user, of which the files are written."""

    def write(
        home: Home, run_id: str, snapshot_id: str, ranks: list[float], **changes
    ) -> TrainedRun:
        folder = home.run(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        path = write_ranks(folder / "ranks.parquet", ranks)
        values = {
            "run_id": run_id,
            "snapshot_id": snapshot_id,
            "model": "sas_fpt",
            "preset": "quick",
            "seed": 0,
            "config": {"item_width": 50},
            "device": "cpu",
            "code_version": "c0de",
            "versions": {"torch": "2"},
            "started_at": datetime(2026, 1, 1),
            "finished_at": datetime(2026, 1, 2),
            "train_seconds": 1.5,
            "best_epoch": 1,
            "checkpoint_sha256": "abc",
            "epochs": ({"epoch": 1, "train_loss": 0.5, "valid_ndcg_10": 0.1, "seconds": 1.0},),
            "ranks": path,
        }
        return TrainedRun(**(values | changes))

    return write


@pytest.fixture
def make_run(home, write_run):
    """`write_run` in the test's own home."""
    return partial(write_run, home)


def write_ranks(path: Path, ranks: list[float]) -> Path:
    rows = [
        {"split": split, "protocol": protocol, "user_id": user, "rank": rank, "n_candidates": 101}
        for split in ("valid", "test")
        for protocol in ("uniform_100", "full")
        for user, rank in enumerate(ranks, start=1)
    ]
    schema = pa.schema(
        [
            ("split", pa.string()),
            ("protocol", pa.string()),
            ("user_id", pa.int32()),
            ("rank", pa.float32()),
            ("n_candidates", pa.int32()),
        ]
    )
    path.unlink(missing_ok=True)  # what is published may be these very bytes
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    Path(f"{path}.sha256").write_text(f"{sha256_of(path)}  {path.name}\n")
    return path


@pytest.fixture
def publish(home, make_run, published_snapshot):
    """Publish a training with these ranks on the published snapshot."""

    def go(run_id: str, ranks: list[float], **changes) -> None:
        publish_runs(home, [make_run(run_id, published_snapshot.snapshot_id, ranks, **changes)])

    return go


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    """The members of a small archive of ML-1M."""
    return {
        "ml-1m/ratings.dat": b"1::7::5::960000000\n2::7::4::960000001\n" * 40,
        "ml-1m/movies.dat": b"7::Seven (1995)::Thriller\n",
        "ml-1m/users.dat": b"1::F::25::4::10115\n2::M::25::4::10115\n",
    }


@pytest.fixture
def write_zip(tmp_path):
    """Write an archive of these members; more of them by hand through `edit`."""

    def write(files, *, method=zipfile.ZIP_DEFLATED, edit=lambda archive: None) -> Path:
        path = tmp_path / "source.zip"
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
            warnings.simplefilter("ignore")  # of names that stand there twice
            for name, data in files.items():
                archive.writestr(name, data)
            edit(archive)
        return path

    return write


@pytest.fixture
def take(tmp_path, files):
    """Open a source as an archive of ML-1M and unpack its three files."""
    folder = tmp_path / "private"
    folder.mkdir()

    def unpack(source: Path) -> dict[str, bytes]:
        unpacked = {}
        with open_archive(find("ml-1m"), source, folder) as archive:
            for name in files:
                with archive.member(name) as file:
                    unpacked[name] = file.read()
        return unpacked

    return unpack


@dataclass(frozen=True)
class Landed:
    """A load and the folder in which it is staged."""

    load: Load
    folder: Path

    def rows(self, query: str) -> list[tuple]:
        with duckdb.connect(str(audited(self.folder)), read_only=True) as connection:
            return connection.execute(query).fetchall()


SMALL_ITEMS = {
    "movies.dat": b"7::Seven (1995)::Thriller\n",
    "movies.csv": b"movieId,title,genres\n7,Seven (1995),Thriller\n",
    "u.item": b"7|Seven (1995)|01-Jan-1995||http://x" + b"|0" * 16 + b"|1|0|0",
}
SMALL_USERS = {"users.dat": b"1::F::25::4::10115\n", "u.user": b"1|25|F|writer|10115\n"}


@pytest.fixture
def land_archive(tmp_path):
    """Land an archive in a folder of its own."""

    def go(dataset: Dataset, source: Path) -> Landed:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        return Landed(land(dataset, source, folder), folder)

    return go


@pytest.fixture
def land_files(write_zip, land_archive):
    """Land an archive of a data set with these ratings; its other files may be given too."""

    def go(name: str, ratings: bytes, *, items: bytes = b"", users: bytes = b"") -> Landed:
        layout = find(name).layout
        files = {layout.ratings: ratings, layout.items: items or SMALL_ITEMS[layout.items]}
        if layout.users:
            files[layout.users] = users or SMALL_USERS[layout.users]
        members = {f"{name}/{file}": data for file, data in files.items()}
        return land_archive(find(name), write_zip(members, method=zipfile.ZIP_STORED))

    return go
