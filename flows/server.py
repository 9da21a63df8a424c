"""The Prefect server that a command reports to: the one that is set, or a temporary one of ours."""

import atexit
import json
import os
import random
import secrets
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from uuid import UUID

from flows import serving
from flows.set_server import may_be_set
from tasks.subprocesses import close, leashed
from tasks.temporary import temporary
from warehouse.errors import RefusedError, StepError
from warehouse.home import Home

REACH_SECONDS = 3.0  # for a server that is set to answer
STARTS = 5  # of a temporary server that dies again and again, then the run does without
STOP_SECONDS = 1.0
UNREACHABLE = "No Prefect server answers"
_SQLITE = "sqlite+aiosqlite:///"


def begin(home: Home) -> None:
    """Start a server of ours, if none is set, while its caller imports what takes as long."""
    if "prefect" not in sys.modules and not may_be_set():
        _begin(home)


def _begin(home: Home) -> "TemporaryServer":
    server = TemporaryServer(home.log("prefect"))
    _begun.append(server)
    atexit.register(server.stop)  # registered first, so done last: Prefect still reports till then
    server.launch()
    return server


def _stop_begun() -> None:
    while _begun:
        _begun.pop().stop()


def connect(home: Home) -> None:
    """See to it that flows of this process have a server, until the process ends.

    Raises:
        RefusedError: the one that is set does not answer or wants another password; ours does
            not start.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url:
        if not temporary.used:  # else it is the one that is set
            _stop_begun()
        secret = password_for(home, settings.api.url)
        refuse_unreachable(settings.api.url, secret)
        _use(settings.api.url, secret)
        tell_untold(home)
        return
    server = _begun[0] if _begun else _begin(home)
    server.start(settings.server.ephemeral.startup_timeout_seconds)
    temporary.used = True
    _use(server.api, server.password)


def password_for(home: Home, api: str) -> str | None:
    """What a set server asks for: Prefect's setting, else the one of `fpt up` of this home."""
    from prefect.settings import get_current_settings

    if secret := get_current_settings().api.auth_string:
        return secret.get_secret_value()
    try:
        ours = serving.read_served(home).api == api
    except RefusedError:
        return None
    return serving.password(home) if ours else None


def _use(api: str, secret: str | None) -> None:
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    told: dict[Any, Any] = {PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: secret}
    if temporary.used:  # nobody listens for heartbeats, and their thread ends a second late
        told[PREFECT_FLOWS_HEARTBEAT_FREQUENCY] = None
    _open_to_the_end.enter_context(temporary_settings(told))
    _reported.append((api, secret))


def tell_cancelled(run: UUID, message: str) -> None:
    """Tell the server that a flow run was cancelled, by hand: the engine comes to nothing more.

    Raises:
        OSError: it does not answer.
    """
    for api, secret in _reported:
        _set_state(api, secret, str(run), {"type": "CANCELLED", "message": message})


def _set_state(api: str, secret: str | None, run: str, state: dict[str, str]) -> bool:
    """Whether the server has taken it, or does not know such a run and never will."""
    body = json.dumps({"state": state, "force": True}).encode()
    status = _status(f"{api}/flow_runs/{run}/set_state", secret, seconds=0.5, body=body)
    return status in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NOT_FOUND)


def tell_later(home: Home, run: UUID, message: str) -> None:
    """Keep for a server that is lost that a flow run is done: it would show it as running for good.

    The next command of this home that reports to the same address tells it.
    """
    for api, _ in _reported:
        note = {"api": api, "state": {"type": "COMPLETED", "message": message}}
        home.untold.mkdir(mode=0o750, exist_ok=True)
        (home.untold / f"{run}.json").write_text(json.dumps(note), encoding="utf-8")


def tell_untold(home: Home) -> None:
    """Tell the server of this process what it missed; what it does not take waits on."""
    for path in sorted(home.untold.glob("*.json")):
        with suppress(OSError, ValueError, KeyError):
            note = json.loads(path.read_text(encoding="utf-8"))
            for api, secret in _reported:
                if note["api"] == api and _set_state(api, secret, path.stem, note["state"]):
                    path.unlink()


_reported: list[tuple[str, str | None]] = []
_begun: list["TemporaryServer"] = []  # one at most


_open_to_the_end = ExitStack()


def refuse_unreachable(api: str, password: str | None) -> None:
    """Ask a server that is set, once.

    Raises:
        RefusedError: nobody answers there, something else does, or the password is not its own.
    """
    to_do = "Start it, or unset PREFECT_API_URL: then a temporary server is used"
    try:
        status = _status(f"{api}/admin/version", password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise RefusedError(
            f"{UNREACHABLE} at PREFECT_API_URL", got=f"{api}: {reason}", to_do=to_do
        ) from None
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise RefusedError(
            "The Prefect server asks for its password",
            got=f"{api}: {status}",
            to_do="Set PREFECT_API_AUTH_STRING to what the server was started with",
        )
    if status != HTTPStatus.OK:
        raise RefusedError(
            f"{UNREACHABLE} at PREFECT_API_URL",
            got=f"{api}: status {status}",
            expected="an address that ends in /api",
            to_do=to_do,
        )


def _status(
    address: str, password: str | None, seconds: float = REACH_SECONDS, body: bytes | None = None
) -> int:
    """What a server answers, within so much time in all.

    Raises:
        OSError: nothing, in time.
    """
    _resolve(address)
    kind = {"Content-Type": "application/json"} if body else {}
    request = Request(address, body, kind | serving.authorization(password))
    try:
        with urlopen(request, timeout=seconds) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def is_well(api: str, seconds: float) -> bool:
    """Whether a server answers within so much time that it is well."""
    try:
        return _status(f"{api}/health", None, seconds) == HTTPStatus.OK
    except OSError:
        return False


def _resolve(address: str) -> None:
    """Refuse what is no web address; urllib would open a file too."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no address of a web server")


class TemporaryServer:
    """A server that this process starts, starts again when it dies, and takes along when it ends.

    We keep the listening socket: while a server is started again its callers wait, and are not
    refused. It has a password of its own, as other users of the machine can reach loopback.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.password = f"fpt:{secrets.token_urlsafe(24)}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def api(self) -> str:
        """Address of its API."""
        return f"{self.url}/api"

    def launch(self) -> None:
        """Start it, and do not wait."""
        self._process = self._launch()

    def start(self, seconds: float) -> None:
        """Start it if it is not, wait until it answers, and watch it from then on.

        Raises:
            RefusedError: it does not answer in time, or ends; with its own last words.
        """
        if self._process is None:
            self.launch()
        assert self._process is not None
        left = STARTS  # several at once that make a new database get into each other's way
        deadline = time.monotonic() + seconds
        while not is_well(self.api, 0.5):
            if self._process.poll() is not None and left and not damaged():
                close(self._process)
                time.sleep(random.random())
                self._process, left = self._launch(), left - 1
            elif self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise did_not_start(self.log)
            time.sleep(0.05)
        threading.Thread(target=self._keep, daemon=True, name="temporary-server").start()

    def stop(self) -> None:
        """End it; what it was told is kept by its database."""
        self._stopping.set()
        self._listener.close()
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
        close(self._process)

    def _launch(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                leashed([sys.executable, "-m", __package__ + ".temporary_server", self._handle]),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the terminal is not for it
                pass_fds=[self._listener.fileno()],
                env=self._environment(),
            )

    @property
    def _handle(self) -> str:
        return str(self._listener.fileno())

    def _environment(self) -> dict[str, str]:
        """Its settings; what a profile or a file sets it reads there itself, as we do."""
        ours = {
            "PREFECT_UI_ENABLED": "0",
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
            "PREFECT_SERVER_API_AUTH_STRING": self.password,
        }
        return os.environ | ours

    def _keep(self) -> None:
        """Start it again when it dies; in the end let callers be refused, so that none waits."""
        assert self._process is not None
        for _ in range(STARTS):
            self._process.wait()
            if self._stopping.is_set():
                return
            close(self._process)
            self._process = self._launch()
            if self._stopping.is_set():  # it was stopped meanwhile
                close(self._process)
                return
        self._process.wait()
        self._listener.close()


def did_not_start(log: Path) -> RefusedError:
    """Why a server of ours did not start: its damaged database by name, else its last words."""
    if damage := damaged():
        return damage
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = lines[-1] if lines else "nothing"
    return StepError("Prefect's server did not start", got=f"{said} (all of it in {log})")


def damaged() -> RefusedError | None:
    """What is wrong with the server's database, if it is a file and something is."""
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    url = settings.server.database.connection_url
    address = url.get_secret_value() if url else f"{_SQLITE}{settings.home / 'prefect.db'}"
    return damage_of(Path(address.removeprefix(_SQLITE))) if address.startswith(_SQLITE) else None


def damage_of(database: Path) -> RefusedError | None:
    """What is wrong with that database of a server, if anything is."""
    if not database.exists():
        return None
    try:
        with sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=2) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        found = "ok" if isinstance(error, sqlite3.OperationalError) else str(error)
    if found == "ok":
        return None
    return StepError(
        "Prefect's database is damaged",
        got=f"{database}: {' '.join(found.split())}",
        to_do=f"Move it away (mv '{database}' '{database}.damaged'): it has the history of runs "
        "that the UI shows; what was published is in the warehouse",
    )
