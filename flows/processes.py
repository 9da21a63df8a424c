"""Long-running processes of ours: started together, watched, and all ended within seconds."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from warehouse.errors import RefusedError

GRACE_SECONDS = 5.0  # for flow runs and their workers, to save and to report
SERVER_SECONDS = 2.5  # then for the server
KILLED_SECONDS = 1.0  # for what was killed and is no child of ours, whose end is not waited for
_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


@dataclass
class Processes:
    """Named processes; what they print goes to `<name>.log` in `logs`.

    On Linux a kill of this process ends them too. Elsewhere they would have to be found by hand.
    """

    logs: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start one, in a session of its own: a Ctrl-C at the terminal is ours to pass on."""
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - it takes no lock
            )

    def run(self, name: str, command: Sequence[str]) -> None:
        """Run one to its end.

        Raises:
            RefusedError: it failed, or another ended meanwhile; with its last words.
        """
        self.start(name, command)
        while self.running[name].poll() is None:
            time.sleep(0.1)
            if (dead := self.dead()) not in (None, name):
                raise RefusedError(f"{dead} ended by itself", got=self.last_words(str(dead)))
        if self.running.pop(name).returncode != 0:
            raise RefusedError(self.last_words(name))

    def last_words(self, name: str) -> str:
        """The end of what it printed, and where the rest is."""
        lines = self.log(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'nothing'} (all of it in {self.log(name)})"

    def log(self, name: str) -> Path:
        """Where the process writes."""
        return self.logs / f"{name}.log"

    def dead(self) -> str | None:
        """The name of one that ended by itself."""
        return next((name for name, one in self.running.items() if one.poll() is not None), None)

    def stop(self, last: str, before_last: Callable[[], None] = lambda: None) -> None:
        """End all and all they started; `last` (the server, which others report to) after the rest.

        Whoever does not stop in time is killed. In between, `before_last` may ask the server.
        """
        _end([one for name, one in self.running.items() if name != last], GRACE_SECONDS)
        before_last()
        _end([one for name, one in self.running.items() if name == last], SERVER_SECONDS)


def _end(processes: Sequence[subprocess.Popen[bytes]], grace: float) -> None:
    """Ask these and their children to stop, who see to their own; then make all of them."""
    family = _children_by_parent()
    alive = [one.pid for one in processes if one.poll() is None]
    others = _descendants(alive, family)
    for pid in alive + [child for parent in alive for child in family.get(parent, ())]:
        _signal(pid, signal.SIGTERM)
    if _gone(processes, others, grace):
        return
    late = others | _descendants(alive, _children_by_parent())
    for pid in [*(one.pid for one in processes if one.poll() is None), *late]:
        _signal(pid, signal.SIGKILL)
    for one in processes:
        one.wait()
    _gone(processes, late, KILLED_SECONDS)


def _gone(processes: Sequence[subprocess.Popen[bytes]], others: set[int], seconds: float) -> bool:
    """Whether all of them end before so much time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if all(one.poll() is not None for one in processes) and not any(map(lives, others)):
            return True
        time.sleep(0.05)
    return False


def _children_by_parent() -> dict[int, list[int]]:
    """Of every process of this machine; nothing where /proc is not."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(path.name))
        if fields:
            children.setdefault(int(fields[1]), []).append(int(path.name))
    return children


def _descendants(pids: Iterable[int], family: Mapping[int, Sequence[int]]) -> set[int]:
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        new = set(family.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def lives(pid: int) -> bool:
    """Whether a process is there and more than an entry that nobody took note of."""
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def _stat(pid: int) -> list[str]:
    """State, parent and so on, from /proc; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _end_with_parent() -> None:
    """In the child, before it becomes the program: a terminate signal when its parent dies."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
