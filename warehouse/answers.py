"""People's questions, answered by a process of its own (`warehouse.asked`) that can be ended.

It has the system's limit of memory and is killed when its time is over, whatever it is doing.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from warehouse.asked import Place
from warehouse.cells import Format
from warehouse.errors import RefusedError
from warehouse.home import Home

TIMEOUT_SECONDS = 60.0
# DuckDB's own limit is 2 GB (`published.guarded`); what it does not count comes on top.
MEMORY = 2_500_000_000
MEMORY_A_THREAD = 16 << 20  # its stack, and blocks that its allocator keeps
FILE = 8_000_000_000
# The rest of the environment may hold secrets, and no question needs it.
KEPT = {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}


@dataclass(frozen=True)
class Limits:
    """What a question may take.

    Attributes:
        seconds: until its answer is whole.
        memory: bytes in all.
        file: bytes of the answer, and of a file that DuckDB makes meanwhile.
    """

    seconds: float = TIMEOUT_SECONDS
    memory: int = MEMORY + MEMORY_A_THREAD * (os.cpu_count() or 1)
    file: int = FILE


class Answers:
    """Asks the published copy of a home; the process is started at once and again when it ended."""

    def __init__(self, home: Home, limits: Limits = Limits()) -> None:
        self.home = home
        self._limits = limits
        self._spill = Path(tempfile.gettempdir(), f"fpt-sql-{os.getpid()}-{os.urandom(4).hex()}")
        self._answer = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - what it says when it dies
        self.names: list[str] | None = None
        self._process: subprocess.Popen[bytes] | None = self._start()

    def __enter__(self) -> "Answers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self._end()
        self._answer.close()
        self._words.close()

    def ask(self, question: str, form: Format) -> IO[bytes]:
        """The answer as a file, good until the next question; see `cells.write`.

        `names` are then the columns of an answer without a row.

        Raises:
            RefusedError: the SQL is wrong or forbidden; the answer takes too long or too much.
        """
        if self.home.lake is not None:  # the process that answers does not reach it
            with import_module("warehouse.catalogue").reading(self.home):
                pass
        process = self._process = self._process or self._start()
        try:
            refusal, self.names = self._reply(process, {"question": question, "form": form})
        except BaseException:  # a Ctrl-C too
            self._end()
            raise
        if refusal is not None:
            raise RefusedError(**refusal)
        self._answer.seek(0)
        return self._answer

    def _start(self) -> subprocess.Popen[bytes]:
        """In a session of its own: a Ctrl-C at the terminal is ours to pass on."""
        place = Place(
            home=str(self.home.root),
            spill=str(self._spill),
            answer=self._answer.fileno(),
            parent=os.getpid(),
            memory=self._limits.memory,
            file=self._limits.file,
        )
        # -P: a file of the folder we are in is no module
        command = [sys.executable, "-P", "-m", "warehouse.asked", json.dumps(asdict(place))]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            pass_fds=[self._answer.fileno()],
            start_new_session=True,
            env=_environment(),
        )

    def _reply(self, process: subprocess.Popen[bytes], asked: dict[str, Any]) -> Any:
        """What the process says of its answer, within the time."""
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = time.monotonic() + self._limits.seconds
        reply = b""
        try:
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._died(process) from None
        while not reply.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                raise RefusedError(
                    "The question took too long",
                    got=f"no answer within {self._limits.seconds:.0f} s",
                )
            said = os.read(process.stdout.fileno(), 1 << 16)
            if not said:
                raise self._died(process)
            reply += said
        return json.loads(reply)

    def _died(self, process: subprocess.Popen[bytes]) -> RefusedError:
        code = process.wait()
        self._words.seek(0)
        lines = self._words.read().decode("utf-8", "replace").strip().splitlines()
        said = f": {lines[-1]}" if lines else ""
        return RefusedError(
            "The question ended the process that answers it",
            got=f"signal {-code}{said}" if code < 0 else f"exit {code}{said}",
            to_do="It may need more memory than a question may have: ask for less",
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
        shutil.rmtree(self._spill, ignore_errors=True)


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(("LC_", "PYTHON"))
    }
    ours = str(Path(__file__).parents[1])  # the same code, wherever it was started from
    return kept | {"PYTHONPATH": os.pathsep.join([ours, *filter(None, [kept.get("PYTHONPATH")])])}
