"""What a service is asked and what that costs it: requests counted on their way, CPU seconds."""

import re
import socket
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

REQUEST = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE) (/\S*) HTTP/1\.1\r\n")
LONGEST = 4096  # of a request's first line
NAMES = (  # what differs between two requests of a kind
    (re.compile(r"\?.*"), ""),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"[0-9a-f]{64}"), "HASH"),
    (re.compile(r"trainings/[0-9a-f]{16}"), "trainings/RUN"),
)


class Meter:
    """Stands before a server on loopback, passes everything on and counts what is asked.

    Attributes:
        port: where to ask.
        asked: requests by method and kind of path.
        up: bytes to the server.
        down: bytes from it.
    """

    def __init__(self, port: int) -> None:
        self.to, self.asked = port, Counter[str]()
        self.up = self.down = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._work, daemon=True).start()

    def take(self) -> tuple[Counter[str], int, int]:
        """What came since this was last called."""
        with self._lock:
            found = self.asked, self.up, self.down
            self.asked, self.up, self.down = Counter(), 0, 0
        return found

    def _work(self) -> None:
        while True:
            one, _ = self._listener.accept()
            try:
                other = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                one.close()
                continue
            for here, there, is_up in ((one, other, True), (other, one, False)):
                words = (here, there, is_up)
                threading.Thread(target=self._pass_on, args=words, daemon=True).start()

    def _pass_on(self, here: socket.socket, there: socket.socket, is_up: bool) -> None:
        rest = b""
        with suppress(OSError):
            while some := here.recv(1 << 18):
                rest = self._count(rest + some, len(some), is_up)
                there.sendall(some)
        for end in (here, there):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _count(self, text: bytes, size: int, is_up: bool) -> bytes:
        """Count what is whole in `text`; returns what may be the begin of a request's line."""
        with self._lock:
            if not is_up:
                self.down += size
                return b""
            self.up += size
            end = 0
            for found in REQUEST.finditer(text):
                self.asked[kind(found[1].decode(), found[2].decode())] += 1
                end = found.end()
        return text[max(end, len(text) - LONGEST) :]


def kind(method: str, path: str) -> str:
    """A request without what differs between two of its kind.

    >>> kind("HEAD", f"/bucket/objects/{'0' * 64}?x=1")
    'HEAD /bucket/objects/HASH'
    """
    for pattern, name in NAMES:
        path = pattern.sub(name, path)
    return f"{method} {path}"


def cpu_seconds(pid: int, ticks: int = 100) -> float:
    """Of a process and all that it started, also of those that ended and were waited for."""
    total = 0
    for one in family(pid):
        with suppress(OSError, ValueError):
            text = Path(f"/proc/{one}/stat").read_text(encoding="ascii", errors="replace")
            total += sum(map(int, text.rpartition(")")[2].split()[11:15]))
    return total / ticks


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            text = path.read_text(encoding="ascii", errors="replace")
            parent = int(text.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found
