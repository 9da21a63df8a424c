"""A small archive in ML-1M's layout, the command line on it, and Prefect's own test harness."""

import codecs
import fcntl
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import pytest
from filelock import FileLock

FPT = Path(sys.executable).parent / "fpt"
N_USERS, N_ITEMS, LENGTH = 60, 140, 14
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
        for _ in range(6):
            os.write(self.screen, b"\x03")
            if self.shows(until, 10):
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
    """Commands of which it does not matter how long their libraries take to load."""

    def __init__(self, folder: Path) -> None:
        self.answers = [folder / "out", folder / "err"]
        self.process: subprocess.Popen | None = None
        self.child: int | None = None  # which is waited for

    def run(self, words: Sequence[str], environment: Mapping[str, str], seconds: float) -> Answer:
        """As `subprocess.run` does: it also waits for whatever has the command's output open."""
        for path in self.answers:  # new ones: somebody may still write into those before
            path.unlink(missing_ok=True)
            path.touch()
        deadline = time.monotonic() + seconds
        try:
            self.child = self.begin(words, environment, to=list(map(str, self.answers))).pid
            code = self._code(deadline)
        except BaseException:  # such as a test's own time: the next must not hear of this one
            self.end(at_once=True)
            raise
        in_time = code != -signal.SIGKILL or time.monotonic() < deadline
        if not in_time or not all(self.closed(path, deadline) for path in self.answers):
            raise subprocess.TimeoutExpired(words, seconds)
        return Answer(code, *(path.read_text() for path in self.answers))

    def begin(
        self, words: Sequence[object], environment: Mapping[str, str], **to: object
    ) -> "Forked":
        """Start one, and do not wait: `to` is its output and its errors, or `terminal` its own."""
        if self.process is None:  # the first that needs it
            self.process = subprocess.Popen(
                [sys.executable, "-P", Path(__file__).with_name("forked.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,  # what is said and not read yet can be seen by `select`
            )
        asked = {"words": [str(word) for word in words], "environment": dict(environment)}
        self._ask(asked | {"folder": str(Path.cwd())} | to)
        return Forked(self, self._told()["pid"])

    def code(self, pid: int) -> int | None:
        """The exit code of one that was begun, if it has ended."""
        self._ask({"pid": pid, "wait": False})
        return self._told()["code"]

    def _code(self, deadline: float) -> int:
        self._ask({"pid": self.child, "wait": True})
        left = max(0, deadline - time.monotonic())
        if not select.select([self.process.stdout], [], [], left)[0]:
            os.kill(self.child, signal.SIGKILL)
        code = self._told()["code"]
        self.child = None
        return code

    def _ask(self, asked: Mapping[str, object]) -> None:
        self.process.stdin.write(json.dumps(asked).encode() + b"\n")

    def _told(self) -> dict:
        return json.loads(self.process.stdout.readline())

    def end(self, *, at_once: bool = False) -> None:
        """Let it end, with its command or after that."""
        process, child = self.process, self.child
        self.process = self.child = None
        if process is None:
            return
        if at_once:
            with suppress(ProcessLookupError):
                os.kill(child or process.pid, signal.SIGKILL)
        with process:  # closes its pipes, which ends it, and waits
            pass

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


@dataclass
class Forked:
    """A command in a fork, with what `subprocess.Popen` has of its own."""

    forks: Forks
    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self.forks.code(self.pid)
        return self.returncode

    def wait(self, timeout: float = 600.0) -> int:
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


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
    from prefect.testing import utilities

    made = prefect_home(Path(tempfile.mkdtemp()))
    (made / "prefect.db").rename(made / "prefect-test.db")  # the name that it takes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utilities, "mkdtemp", lambda: str(made))
        with utilities.prefect_test_harness(server_startup_timeout=90):
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

    process: subprocess.Popen | Forked
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
def typed(tmp_path, request) -> Iterator:
    """Type `fpt …` at a terminal; a Ctrl-C there goes to the whole foreground group.

    `loaded`: in a fork (see `forked.py`), which is not of the family that the mark tells.
    """
    running: list[Typed] = []
    held: list[int] = []

    def start(*words: object, loaded: bool = False, **more: str) -> Typed:
        mark = f"FPT_TEST_MARK={tmp_path.name}-{len(running)}-{time.time_ns()}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "150", **more}
        environment |= dict([mark.split("=")])
        ours, theirs = os.openpty()
        if loaded:
            forks = request.getfixturevalue("forks")
            process = forks.begin([FPT, *words], environment, terminal=os.ttyname(theirs))
            held.append(theirs)  # until it has opened it, and longer does no harm
        else:
            process = subprocess.Popen(
                [sys.executable, "-c", ON_A_TERMINAL, FPT, *map(str, words)],
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
    for terminal in held:
        os.close(terminal)
