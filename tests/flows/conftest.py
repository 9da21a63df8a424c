"""A small archive in ML-1M's layout, the command line on it, and Prefect's own test harness."""

import codecs
import fcntl
import json
import os
import pty
import random
import re
import runpy
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from filelock import FileLock

FPT = Path(sys.executable).parent / "fpt"
N_USERS, N_ITEMS, LENGTH = 60, 140, 14
CLIENT = Path(__file__).with_name("forked_client.py")
forked_client = SimpleNamespace(**runpy.run_path(str(CLIENT)))
NOTHING_TOLD: Mapping[str, str] = {}


@dataclass(frozen=True)
class Answer:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict]:
        return json.loads(self.out)


class Terminal:
    """`fpt sql` at a terminal."""

    def __init__(self, home: Path, *options: str) -> None:
        self.shown = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")(
            "replace"
        )  # a letter may come in parts
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="dumb", COLUMNS="120", FPT_HOME=str(home), TZ="UTC")
            os.execv(FPT, ["fpt", "sql", *options])

    def until(self, words: str) -> str:
        """What is shown up to `words`; the rest waits for the next call."""
        assert self.shows(words, 60), f"no {words!r} in {self.shown!r}"
        before, _, self.shown = self.shown.partition(words)
        return before + words

    def shows(self, words: str, seconds: float) -> bool:
        """Whether `words` are shown before so much time is over."""
        end = time.monotonic() + seconds
        while words not in self.shown and time.monotonic() < end:
            if select.select([self.screen], [], [], 0.2)[0]:
                self.shown += self.decoder.decode(os.read(self.screen, 65536))
        return words in self.shown

    def type(self, line: str, until: str) -> str:
        os.write(self.screen, line.encode())
        return self.until(until)

    def interrupt(self, until: str) -> None:
        """Press Ctrl-C; again if Python was between two looks at the keyboard and missed it."""
        time.sleep(0.1)  # a letter is on the screen before Python is back at the keyboard
        for _ in range(15):
            os.write(self.screen, b"\x03")
            if self.shows(until, 2):
                break
        self.until(until)


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
def archive(shared, write_archive, lines) -> Path:
    path = shared / "small.zip"  # the same bytes for all: a zip file holds the time of its making
    with FileLock(shared / "archive.lock"):
        return path if path.exists() else write_archive(path, lines)


@pytest.fixture(scope="session")
def forks(tmp_path_factory) -> Iterator["Forks"]:
    """See `forked.py`."""
    running = Forks(tmp_path_factory.mktemp("forks"))
    yield running
    running.end()


class Forks:
    """Programs of which it does not matter how long their libraries take to load.

    Attributes:
        bin: a folder whose `python` and `fpt` are run so where they can be.
    """

    def __init__(self, folder: Path) -> None:
        self.answers = [folder / "out", folder / "err"]
        # short: the path of a socket may not be long
        self.bin = Path(tempfile.mkdtemp(), "bin")
        self.bin.mkdir()
        self.process: subprocess.Popen | None = None
        client = self.bin / "client"
        text = CLIENT.read_text(encoding="utf-8")
        client.write_text(f"#!{sys.executable} -IS\n{text}", encoding="utf-8")
        client.chmod(0o755)
        for name in ("python", "fpt"):
            (self.bin / name).symlink_to("client")

    def start(self) -> None:
        """What forks, unless it runs."""
        if self.process is not None:
            return
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.bin / "socket"))
            listener.listen()
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-P", Path(__file__).with_name("forked.py")),
                    str(listener.fileno()),
                ],
                stdin=subprocess.PIPE,  # it ends with us
                pass_fds=[listener.fileno()],
                start_new_session=True,  # a Ctrl-C is ours
            )

    def run(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        seconds: float,
        typed: str = "",
    ) -> Answer:
        """As `subprocess.run` does: it also waits for whatever has the program's output open."""
        self.start()
        for path in self.answers:  # new ones: somebody may still write into those before
            path.unlink(missing_ok=True)
            path.touch()
        deadline = time.monotonic() + seconds
        # whoever waits no longer, such as when a test's own time is up, lets go of it
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.bin / "socket"))
            self._ask(connection, words, environment, typed)
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                code = self._told(connection)
            except TimeoutError:
                raise subprocess.TimeoutExpired(words, seconds) from None
        if not all(self.closed(path, deadline) for path in self.answers):
            raise subprocess.TimeoutExpired(words, seconds)
        return Answer(code, *(path.read_text() for path in self.answers))

    def _ask(self, connection: socket.socket, words: Sequence[str], environment, typed) -> None:
        with ExitStack() as stack:
            source = stack.enter_context(tempfile.TemporaryFile())
            source.write(typed.encode())
            source.seek(0)
            files = [stack.enter_context(path.open("w")) for path in self.answers]
            for file in files:  # held by all that have it from us: so they can be waited for
                fcntl.flock(file, fcntl.LOCK_SH)
            numbers = [file.fileno() for file in (source, *files)]
            words = [Path(words[0]).name, *words[1:]]  # fpt or python, wherever it lies
            python = str(self.bin / "python")
            forked_client.ask(connection, words, dict(environment), numbers, python)

    def _told(self, connection: socket.socket) -> int:
        assert connection.recv(1), "its environment is not that of what is loaded"
        return forked_client.told(connection)

    def end(self) -> None:
        """Let it end; its programs have ended."""
        if self.process is not None:
            with self.process:  # closes its pipe, which ends it, and waits
                pass
        shutil.rmtree(self.bin.parent, ignore_errors=True)

    @staticmethod
    def closed(path: Path, deadline: float) -> bool:
        """Whether nobody has an output open any more, at the deadline at the latest."""
        with path.open() as file:
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.01)


@pytest.fixture(scope="session")
def fpt(tmp_path_factory, prefect_home, forks) -> Callable[..., Answer]:
    """Type `fpt …` as a user would, in an environment without Prefect settings of ours."""
    own = prefect_home(tmp_path_factory.mktemp("prefect"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "FPT_"))}
    environment |= {"PREFECT_HOME": str(own), "COLUMNS": "200"}
    # of a busy machine, which the tests themselves make
    environment["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "120"

    def type_in(
        *arguments: object,
        home: Path,
        timeout: float = 240,
        told: Mapping[str, str] = NOTHING_TOLD,
    ) -> Answer:
        words = [str(FPT), *map(str, arguments), "--home", str(home)]
        return forks.run(words, environment | told, timeout)

    return type_in


def copied(home: Path, to: Path) -> Path:
    """A copy of a home, whose catalogue names the files where they are now."""
    from warehouse.catalogue import reading
    from warehouse.home import Home

    shutil.copytree(home, to, symlinks=True)
    with reading(Home.at(to)):
        pass
    return to


@pytest.fixture(scope="session")
def copy_home() -> Callable[[Path, Path], Path]:
    return copied


@pytest.fixture(scope="session")
def content() -> Callable[[Path], dict[str, list[tuple]]]:
    """What readers find of loads, snapshots, trainings and files; audits may come beside them."""

    def rows(home: Path) -> dict[str, list[tuple]]:
        tables = ("raw.loads", "core.snapshots", "mart.training_runs", "mart.epochs", "mart.files")
        with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
            return {name: connection.sql(f"FROM {name} ORDER BY ALL").fetchall() for name in tables}

    return rows


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
    home = copied(made, tmp_path_factory.mktemp("pipeline") / "home")
    return home, Answer(**json.loads(said.read_text()))


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A copy of that home, to be changed."""
    return copied(finished[0], tmp_path / "home")


@pytest.fixture(scope="session")
def prefect(prefect_home):
    """One temporary Prefect server for all flows that are called in this process."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing import utilities

    made = prefect_home(Path(tempfile.mkdtemp()))
    (made / "prefect.db").rename(made / "prefect-test.db")  # the name that it takes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilities, "mkdtemp", lambda: str(made))
        with (
            utilities.prefect_test_harness(server_startup_timeout=90),
            temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),  # a second a flow
        ):
            yield


@pytest.fixture(scope="session")
def prompt() -> type[Terminal]:
    return Terminal


@pytest.fixture(scope="session")
def empty(tmp_path_factory) -> Path:
    """A home whose published tables are empty. Don't change it."""
    from warehouse.catalogue import writing
    from warehouse.home import Home

    home = Home.at(tmp_path_factory.mktemp("empty") / "home")
    with writing(home):
        pass
    return home.root


ON_A_TERMINAL = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
# whoever runs the tests in the background may have it ignored
ON_A_TERMINAL += " import signal; signal.signal(signal.SIGINT, signal.SIG_DFL);"
ON_A_TERMINAL += " os.execv(sys.argv[1], sys.argv[1:])"


@dataclass
class Typed:
    """A command at a terminal of its own, and all that it started."""

    process: subprocess.Popen
    terminal: int
    mark: bytes
    seen: str = ""

    def wait_for(self, pattern: str, seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            assert time.monotonic() < deadline, self.seen
            assert self.read(), f"it ended before {pattern}: {self.seen}"

    def read(self) -> bool:
        """What comes within a moment; False at the end."""
        ended = self.process.poll() is not None  # asked first: its last words come before its end
        if not select.select([self.terminal], [], [], 0.05)[0]:
            return not ended
        try:
            new = os.read(self.terminal, 1 << 16)
        except OSError:  # Linux says so when the other side has closed
            return False
        self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", new.decode(errors="replace"))
        return True

    def end(self) -> float:
        """Wait for its end; how long that took."""
        began = time.monotonic()
        while self.read():
            assert time.monotonic() - began < 120, self.seen
        self.process.wait(30)
        return time.monotonic() - began

    def family(self) -> dict[int, str]:
        """Living processes with our mark in their environment, and their command lines."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark in (path / "environ").read_bytes():
                    found[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
        return found

    def one(self, word: str) -> int:
        """The first process of the family with that word, once it is there."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for pid, command in sorted(self.family().items()):
                if word in command and "leash" not in command:
                    return pid
            time.sleep(0.02)
        raise AssertionError(f"no {word} among {self.family()}")


@pytest.fixture
def typed(tmp_path, forks) -> Iterator:
    """Type `fpt …` at a terminal; a Ctrl-C there goes to the whole foreground group.

    `loaded`: in a fork (see `forked.py`), else from nothing.
    """
    running: list[Typed] = []

    def start(*words: object, loaded: bool = False, **more: str) -> Typed:
        if loaded:
            forks.start()
        mark = f"FPT_TEST_MARK={tmp_path.name}-{len(running)}-{time.time_ns()}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "150", **more}
        environment |= dict([mark.split("=")])
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", ON_A_TERMINAL),
                *(forks.bin / "fpt" if loaded else FPT, *map(str, words)),
            ],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
        )
        os.close(theirs)
        running.append(Typed(process, ours, mark.encode()))
        return running[-1]

    yield start
    for one in running:
        one.process.kill()
        os.close(one.terminal)
