"""A publisher on this machine who can cut, stall, redirect, change his mind and lie."""

import hashlib
import io
import random
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from warehouse.datasets import find
from warehouse.datasets.dataset import Dataset


def archive_of(seed: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("ml-1m/ratings.dat", random.Random(seed).randbytes(400_000))
    return packed.getvalue()


class Answer(BaseHTTPRequestHandler):
    """The server's next script, else `whole`, answers a request."""

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers["Range"]))
        name, *values = server.scripts.pop(0) if server.scripts else ("whole",)
        getattr(self, name)(*values)

    def log_message(self, *arguments):
        pass

    def head(self, status, length=None, **headers):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def whole(self):
        """As a good server does: the rest, if that version is still the one."""
        body, version = self.server.body, self.server.version
        asked, condition = self.headers["Range"], self.headers["If-Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if not start or (condition and condition not in version.values()):
            self.head(200, len(body), **version)
            self.wfile.write(body)
        elif start >= len(body):
            self.head(416, 0)
        else:
            self.rest(start, body, version)

    def rest(self, start, body, version):
        part = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self.head(206, len(body) - start, Content_Range=part, **version)
        self.wfile.write(body[start:])

    def broken_rest(self, start, length, version):
        """The rest from `start`, of which only `length` bytes come."""
        size = len(self.server.body)
        self.head(206, size - start, Content_Range=f"bytes {start}-{size - 1}/{size}", **version)
        self.wfile.write(self.server.body[start : start + length])

    def without_ranges(self):
        self.head(200, len(self.server.body), **self.server.version)
        self.wfile.write(self.server.body)

    def cut(self):
        self.head(200, len(self.server.body), **self.server.version)
        self.wfile.write(self.server.body[: self.server.half])

    def cut_without_length(self):
        self.head(200)
        self.wfile.write(self.server.body[: self.server.half])

    def too_long(self):
        self.text(self.server.body + b"x")

    def cut_and_change(self):
        self.cut()
        self.server.body, self.server.version = self.server.other, {"ETag": '"two"'}

    def stall(self):
        self.cut()
        self.server.over.wait(10)

    def drip(self):
        self.head(200, len(self.server.body), **self.server.version)
        for place in range(len(self.server.body)):
            self.wfile.write(self.server.body[place : place + 1])
            if self.server.over.wait(0.01):
                return

    def endless(self):
        """Sends on, without a length, until the client hangs up or 64 MiB are sent."""
        self.head(200)
        for _ in range(1024):
            self.wfile.write(b"x" * 65_536)
            self.server.sent += 65_536

    def status(self, code):
        self.head(code, 0)

    def redirect(self, url):
        self.head(302, 0, Location=url)

    def text(self, content, status=200):
        self.head(status, len(content))
        self.wfile.write(content)


class Publisher(ThreadingHTTPServer):
    """Serves `body`; `asked` are the paths and ranges of the requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.body, self.other = archive_of(1), archive_of(2)
        self.half = len(self.body) // 2
        self.version = {"ETag": '"one"'}
        self.asked, self.scripts, self.sent = [], [], 0
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/ml-1m.zip"

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""

    def will(self, *scripts):
        """Answer the next requests so: a name, or a name and its values."""
        self.scripts = [(script,) if isinstance(script, str) else script for script in scripts]

    @property
    def ranges(self):
        return [asked for _, asked in self.asked]


@pytest.fixture
def publisher(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with Publisher() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def dataset(publisher) -> Dataset:
    """ML-1M as this publisher has it."""
    md5 = hashlib.md5(publisher.body, usedforsecurity=False).hexdigest()
    return replace(find("ml-1m"), url=publisher.url, size=len(publisher.body), md5=md5)


@pytest.fixture
def changing(dataset) -> Dataset:
    """A data set that changes over time: its checksum may stand beside it."""
    return replace(dataset, size=None, md5=None)
