"""What tests of several rooms share."""

import atexit
import gc
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.util import Finalize
from pathlib import Path
from types import ModuleType

import pytest
from filelock import FileLock


def beside(name: str) -> ModuleType:
    """A file of this folder, by its path: on sys.path it would hide packages of the same names."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look
    spec.loader.exec_module(module)
    return module


lake_server, order = beside("lake_server"), beside("order")

os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"


@pytest.fixture(scope="session")
def lakes():
    """A PostgreSQL for lakes of tests."""
    with lake_server.lake_server() as server:
        yield server


@pytest.fixture(scope="session")
def home_at(request):
    """Make a home that several tests share: with a lake by `make test-lake`."""
    from warehouse.home import Home

    def make(root: Path) -> Home:
        if os.environ.get("FPT_TEST_WAREHOUSE") == "lake":
            url = request.getfixturevalue("lakes").new_url(root.with_name(f"{root.name} lake"))
            os.environ["PGPASSWORD"] = lake_server.PASSWORD  # the note of a home has none
            root.mkdir(parents=True)
            note = url.replace(f":{lake_server.PASSWORD}@", "@")
            (root / "warehouse.url").write_text(note)
        return Home.at(root)

    return make


@pytest.fixture
def same_place(tmp_path, tmp_path_factory) -> Iterator[Path]:
    """Where homes and lakes of a test lie: in the same place as those of the tests before it.

    For a home names files by their whole paths, so that copies are good in one place (`begun`).
    """
    folder = tmp_path_factory.getbasetemp() / "place"
    folder.mkdir()
    yield folder
    folder.rename(tmp_path / "place")


@pytest.fixture
def warehouse(request, monkeypatch, same_place) -> None:
    """What homes of a test publish into: `make test-lake` runs the same tests with a lake."""
    if os.environ.get("FPT_TEST_WAREHOUSE") == "lake":
        url = request.getfixturevalue("lakes").new_url(same_place / "lake")
        monkeypatch.setenv("FPT_WAREHOUSE", url)


@pytest.fixture(scope="session")
def real_archive():
    """The path of a real MovieLens archive in the folder `FPT_MOVIELENS`; without it, a skip."""

    def find(name: str) -> Path:
        folder = os.environ.get("FPT_MOVIELENS")
        if not folder or not Path(folder, name).exists():
            pytest.skip(f"no {name}: set FPT_MOVIELENS to the folder of your MovieLens archives")
        return Path(folder, name)

    return find


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder of all pytest-xdist workers: what takes long is made by the first that needs it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


# the last connection to a database brings its log of changes into it
A_SERVER = """
import sqlite3, sys
from contextlib import closing
from pathlib import Path
from flows.server import TemporaryServer
folder = Path(sys.argv[1])
server = TemporaryServer(folder.with_suffix(".log"))
server.start(120)
server.stop()
with closing(sqlite3.connect(folder / "prefect.db")) as database:
    database.execute("SELECT count(*) FROM block_type")
"""


@pytest.fixture(scope="session")
def prefect_home(shared) -> Callable[[Path], Path]:
    """Make a folder Prefect's home, as a server leaves a new one: a server itself takes 3 s more.

    Without it a command meets a new home, as that of a new user does.
    """
    made, part = shared / "prefect", shared / "prefect-part"

    def make(folder: Path) -> Path:
        with FileLock(shared / "prefect.lock"):
            if not made.exists():  # nor a part of it: a server that failed leaves one
                shutil.rmtree(part, ignore_errors=True)
                there = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
                there |= {"PREFECT_HOME": str(part), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
                subprocess.run([sys.executable, "-c", A_SERVER, part], env=there, check=True)
                part.rename(made)
        shutil.copytree(made, folder, dirs_exist_ok=True)
        return folder

    return make


@pytest.fixture(scope="session")
def lasting(prefect_home, tmp_path_factory) -> Iterator[dict[str, str]]:
    """What commands are told of a Prefect server that stays: their own take three seconds each.

    For commands of which something else is looked at, and which have work to do.
    """
    from flows.server import TemporaryServer

    own = prefect_home(tmp_path_factory.mktemp("lasting"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(own))
        server = TemporaryServer(own / "server.log")
        there = server._environment()
        server._environment = lambda: there  # if it is started again, too
        server.start(120)
    told = {"PREFECT_API_URL": server.api, "PREFECT_API_AUTH_STRING": server.password}
    yield told | {"PREFECT_FLOWS": json.dumps({"heartbeat_frequency": None})}  # a second a flow
    server.stop()


MEMORY = Path("/dev/shm")  # a folder without a disk, where there is one
ROOM = 8 << 30  # all tests at once leave some 3 GB


def has_room() -> bool:
    """Whether temporary files may be kept in memory, and programs among them be run."""
    if not os.access(MEMORY, os.W_OK):
        return False
    there = os.statvfs(MEMORY)
    (available,) = re.findall(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    room = min(there.f_bavail * there.f_frsize, int(available) << 10)
    return room > ROOM and not there.f_flag & os.ST_NOEXEC


def pytest_configure(config):
    """Temporary files in memory: a publication waits for a disk ten times, and tests publish much.

    `--basetemp` or TMPDIR puts them elsewhere.
    """
    if {"TMPDIR", "PYTEST_XDIST_WORKER"} & set(os.environ) or config.option.basetemp:
        return
    remove_left(MEMORY)
    if has_room():
        use_temporary(MEMORY)


def use_temporary(memory: Path) -> None:
    """Make a folder for temporary files, which is removed at the end of this process."""
    folder = Path(tempfile.mkdtemp(prefix="fpt-tests-", dir=memory))
    os.environ["TMPDIR"] = str(folder)
    folder.chmod(0o711)  # PostgreSQL of a test has a user of its own
    tempfile.tempdir = None  # it is asked for anew
    is_left(folder)  # it is ours from now on
    # after what multiprocessing itself removes at the end
    Finalize(None, shutil.rmtree, (folder,), {"ignore_errors": True}, exitpriority=-200)


_ours: list[int] = []  # open to the end


def is_left(folder: Path) -> bool:
    """Whether a folder of temporary files is nobody's; then it is ours."""
    import fcntl

    lock = os.open(folder / "in-use", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return False
    _ours.append(lock)
    return True


def remove_left(memory: Path) -> None:
    """What tests that were killed have left: memory, until the machine starts anew."""
    for folder in memory.glob("fpt-tests-*"):
        with suppress(FileNotFoundError):  # it has just been removed
            ours = folder.stat().st_uid == os.getuid()
            # without a lock it was begun just now
            if ours and (folder / "in-use").exists() and is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(trylast=True)  # of what is left when slow ones are left out
def pytest_collection_modifyitems(config, items):
    """See `order.py`."""
    workers = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    items[:] = order.dealt(items, workers)


def pytest_collection_finish():
    """What is imported by now stays to the end: no collection need look at it again and again."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # else DuckDB calls all of its own leaked
