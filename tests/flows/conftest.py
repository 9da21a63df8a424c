"""A small archive in ML-1M's layout, the command line on it, and Prefect's own test harness."""

import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import pytest
from filelock import FileLock

FPT = Path(sys.executable).parent / "fpt"
N_USERS, N_ITEMS, LENGTH = 60, 140, 14


@dataclass(frozen=True)
class Answer:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict]:
        return json.loads(self.out)


def rating_lines() -> list[str]:
    """Two of three users go round the items, a day apart; the third wanders, to stay human."""
    rows = []
    for user in range(1, N_USERS + 1):
        rng = random.Random(user)
        start = rng.randrange(N_ITEMS)
        items = [(start + step) % N_ITEMS + 1 for step in range(LENGTH)]
        if user % 3 == 0:
            items = rng.sample(range(1, N_ITEMS + 1), LENGTH)
        rows += [
            f"{user}::{item}::{step % 5 + 1}::{960_000_000 + 90_000 * step}"
            for step, item in enumerate(items)
        ]
    return rows


@pytest.fixture(scope="session")
def lines() -> list[str]:
    return rating_lines()


@pytest.fixture(scope="session")
def write_archive() -> Callable[..., Path]:
    def write(path: Path, lines: list[str], *, end: str = "\n", name: str = "ml-1m") -> Path:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}/ratings.dat", "\n".join(lines) + end)
            movies = [f"{item}::Café {item} (1999)::Drama" for item in range(1, N_ITEMS + 1)]
            archive.writestr(f"{name}/movies.dat", ("\n".join(movies) + "\n").encode("latin-1"))
            users = [f"{user}::F::25::4::10115" for user in range(1, N_USERS + 1)]
            archive.writestr(f"{name}/users.dat", "\n".join(users) + "\n")
        return path

    return write


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder of all pytest-xdist workers: what takes long is made by the first that needs it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def archive(shared, write_archive, lines) -> Path:
    path = shared / "small.zip"  # the same bytes for all: a zip file holds the time of its making
    with FileLock(shared / "archive.lock"):
        return path if path.exists() else write_archive(path, lines)


@pytest.fixture(scope="session")
def fpt(tmp_path_factory) -> Callable[..., Answer]:
    """Type `fpt …` as a user would, in an environment without Prefect settings of ours."""
    prefect_home = tmp_path_factory.mktemp("prefect")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "FPT_"))}
    environment |= {"PREFECT_HOME": str(prefect_home), "COLUMNS": "200"}
    # of a busy machine, which the tests themselves make
    environment["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "120"

    def type_in(*arguments: object, home: Path, timeout: float = 240) -> Answer:
        done = subprocess.run(
            [FPT, *map(str, arguments), "--home", str(home)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return type_in


@pytest.fixture(scope="session")
def finished(archive, fpt, shared, tmp_path_factory) -> tuple[Path, Answer]:
    """The home that one `fpt run` on the small archive left, and what it said. Don't change it."""
    made, said = shared / "home", shared / "answer.json"
    with FileLock(shared / "home.lock"):
        if not said.exists():
            answer = fpt(
                *("run", "--dataset", "ml-1m", "--source", archive, "--retention", "cold-start"),
                *("--model", "sas_fpt", "--model", "sasrec", "--json"),
                home=made,
            )
            said.write_text(json.dumps(asdict(answer)))
    home = shutil.copytree(made, tmp_path_factory.mktemp("pipeline") / "home")
    return home, Answer(**json.loads(said.read_text()))


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A copy of that home, to be changed."""
    return shutil.copytree(finished[0], tmp_path / "home")


@pytest.fixture(scope="session")
def published_rows():
    """Everything that readers of a home see, but what audits said."""

    def read(home: Path) -> dict[str, list[tuple]]:
        with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
            names = connection.execute(
                "SELECT schema_name || '.' || table_name FROM duckdb_tables() "
                "WHERE table_name <> 'validation_results' ORDER BY 1"
            ).fetchall()
            return {
                name: connection.execute(f"FROM {name} ORDER BY ALL").fetchall()
                for (name,) in names
            }

    return read


@pytest.fixture(scope="session")
def prefect():
    """One temporary Prefect server for all flows that are called in this process."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=90):
        yield
