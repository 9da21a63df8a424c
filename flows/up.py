"""`fpt up`: a Prefect server, what our schedules need, and workers; until it is interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from flows.following import LOOK_SECONDS, Following, News
from flows.processes import Processes
from flows.server import damage_of, is_well
from flows.serving import (
    AUTH,
    GPU,
    LOCK,
    Served,
    Table,
    forget_served,
    free_port,
    password,
    read_served,
    read_table,
    refuse_open_door,
    write_served,
)
from tasks.ends import ends
from warehouse.database import is_held, locked
from warehouse.errors import InUseError, StepError
from warehouse.home import Home

START_SECONDS = 180.0
SERVER = "server"
RESTARTS = 5
LEASES = "prefect.server.concurrency.lease_storage.filesystem"


def up(
    home: Home,
    host: str,
    port: int | None,
    on_ready: Callable[[Served], None],
    on_news: Callable[[News], None],
) -> None:
    """Serve prefect.yaml of the current folder until interrupted, then end every process.

    Args:
        home: where the pipeline's files are, and the server's, unless PREFECT_HOME is set.
        host: address to listen on.
        port: port to listen on; None takes 4200, or a free one.
        on_ready: called when schedules run.
        on_news: called for each run that starts or ends.

    Raises:
        RefusedError: it is up already; the host is open to others without authentication; a
            part does not start, or dies.
    """
    refuse_open_door(host)
    table = read_table(Path.cwd())
    with _once(home), _terminate_as_interrupt():
        port = free_port(host, port)
        reached = "127.0.0.1" if host in ("0.0.0.0", "") else host
        served = Served(f"http://{_bracketed(reached)}:{port}", _pools(table), str(table.folder))
        os.environ |= _environment(home, served)
        processes = Processes(home.root / "logs")
        processes.logs.mkdir(mode=0o750, exist_ok=True)
        following = Following(served.api, password(home), on_news)
        try:
            _start(processes, served, host, port)
            write_served(home, served)
            on_ready(served)
            _watch(processes, lambda: _start_server(processes, host, port), following.look)
        except KeyboardInterrupt:
            return
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # the end takes seconds, and must be whole
            forget_served(home)
            processes.stop(last=SERVER, before_last=following.look)


def _start(processes: Processes, served: Served, host: str, port: int) -> None:
    """A light process starts the heavy ones, so that its own end takes no time."""
    prefect = [sys.executable, "-m", "prefect"]
    _start_server(processes, host, port)
    _wait_for_server(processes, served)
    for pool in served.pools:
        worker = [*prefect, "worker", "start", "--pool", pool, "--type", "process"]
        processes.start(f"worker-{pool}", [*worker, "--name", f"{pool}-here"])
    bootstrap = [sys.executable, "-m", "flows.bootstrap", json.dumps(asdict(served))]
    processes.run("bootstrap", bootstrap)


def _start_server(processes: Processes, host: str, port: int) -> None:
    words = ["prefect", "server", "start", "--host", host, "--port", str(port)]
    processes.start(SERVER, [sys.executable, "-m", *words])


def _wait_for_server(processes: Processes, served: Served) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_well(served.api, 5):
        if processes.dead() or time.monotonic() > deadline:
            said = processes.last_words(SERVER)
            damage = damage_of(Path(os.environ["PREFECT_HOME"], "prefect.db"))
            raise damage or StepError("The Prefect server did not start", got=said)
        time.sleep(0.1)


def _watch(processes: Processes, restart: Callable[[], None], look: Callable[[], None]) -> None:
    """Until a part ends by itself; the server is started again, as runs and workers wait for it."""
    starts, looked = 0, time.monotonic()
    while (dead := processes.dead()) is None or (dead == SERVER and starts < RESTARTS):
        if dead:
            starts += 1
            restart()
        if time.monotonic() - looked > LOOK_SECONDS:
            look()
            looked = time.monotonic()
        time.sleep(0.2)
    raise StepError(f"{dead} ended by itself", got=processes.last_words(dead))


def _pools(table: Table) -> list[str]:
    """The pools that get a worker here: those of deployments, that for a GPU where there is one.

    A pool without deployments is for groups of trainings: its workers are on other machines.
    """
    look = [sys.executable, "-c", "import sys, torch; sys.exit(not torch.cuda.is_available())"]
    has_gpu = GPU in table.pools and subprocess.run(look, check=False).returncode == 0
    return [pool for pool, rows in table.deployments.items() if rows and (pool != GPU or has_gpu)]


def _environment(home: Home, served: Served) -> dict[str, str]:
    """What the server, the workers and their runs find set."""
    settings = {
        "FPT_HOME": str(home.root),
        "FPT_CHECKOUT": served.folder,
        "PREFECT_HOME": os.environ.get("PREFECT_HOME", str(home.root / "prefect")),
        "PREFECT_API_URL": served.api,
        # pages of other sites in the same browser must not reach the API
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": served.url,
        "PREFECT_SERVER_UI_API_URL": "/api",  # of whatever name the browser knows this machine by
        # on disk: a server that is started again must still know which run has a deployment's slot
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES,
        "PREFECT_WORKER_QUERY_SECONDS": "5",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
    }
    secret = password(home)
    return settings | {AUTH: secret, "PREFECT_API_AUTH_STRING": secret}


@contextmanager
def _once(home: Home) -> Iterator[None]:
    """One `fpt up` a home.

    Raises:
        InUseError: another is up.
    """
    if is_held(home, LOCK):
        raise InUseError("It is up already", got=read_served(home).url)
    with locked(home, LOCK, wait_seconds=0):
        yield


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM (of `kill`, systemd or docker) is a Ctrl-C."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    ends.release()  # its end takes longer than a command's
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
