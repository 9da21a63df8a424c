"""What `fpt up` serves: prefect.yaml, and where the running server is."""

import ipaddress
import json
import os
import secrets
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from warehouse.database import is_held
from warehouse.errors import RefusedError
from warehouse.home import Home

POOLS = ["cpu", "gpu"]  # whose dead runs are resumed
GPU = "gpu"
FILE = "prefect.yaml"
AUTH = "PREFECT_SERVER_API_AUTH_STRING"
OWNER_ALONE = 0o600
LOCK = "up"  # held by the one `fpt up` of a home
ALARM = "fpt-alarm"  # the automation, and the webhook block that it calls when there is one
WEBHOOK = "FPT_ALARM_WEBHOOK"


@dataclass(frozen=True)
class Table:
    """What prefect.yaml asks for.

    Attributes:
        folder: where the file is, and the code that it names.
        pools: by pool and queue, how many runs go on at once (None: any number).
        deployments: names of the deployments, by pool.
    """

    folder: Path
    pools: dict[str, dict[str, int | None]]
    deployments: dict[str, list[str]]


@dataclass(frozen=True)
class Served:
    """A running `fpt up`: its address, the pools that have a worker, the folder of prefect.yaml."""

    url: str
    pools: list[str]
    folder: str

    @property
    def api(self) -> str:
        """Address of the API."""
        return f"{self.url}/api"


def read_table(folder: Path) -> Table:
    """Read prefect.yaml.

    Raises:
        RefusedError: there is none in that folder, or a deployment's pool is not among its pools.
    """
    path = folder.resolve() / FILE
    if not path.exists():
        raise RefusedError(f"No {FILE} in {path.parent}", to_do="Run `fpt up` in a clone")
    read: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    deployments: dict[str, list[str]] = {pool: [] for pool in read["pools"]}
    for one in read["deployments"]:
        pool = one["work_pool"]["name"]
        if pool not in deployments:
            raise RefusedError(
                f"{one['name']} in {FILE} names no pool of it",
                got=pool,
                expected=" or ".join(deployments),
            )
        deployments[pool].append(one["name"])
    return Table(path.parent, read["pools"], deployments)


def password(home: Home) -> str:
    """What the API of this home's `fpt up` asks for: of the environment, else the home's own.

    That is made when it is first asked for, and its owner alone may read it.
    """
    if given := os.environ.get(AUTH):
        return given
    path = password_file(home)
    if not path.exists():
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ALONE)
        with open(opened, "w", encoding="utf-8") as file:  # noqa: PTH123 - of a descriptor
            file.write(f"fpt:{secrets.token_urlsafe(24)}\n")
        with suppress(FileExistsError):  # another was first: its word is the one that counts
            os.link(partial, path)
        partial.unlink()
    _refuse_readable(path)
    return path.read_text(encoding="utf-8").strip()


def authorization(secret: str | None) -> dict[str, str]:
    """The header by which a client of the API shows its password, if it has one."""
    if not secret:
        return {}
    return {"Authorization": f"Basic {b64encode(secret.encode()).decode()}"}


def password_file(home: Home) -> Path:
    """Where the home's own password is."""
    return home.root / "up.password"


def where_password(home: Home) -> str:
    """Where somebody finds what the UI asks for; never the password itself."""
    chosen = os.environ.get(AUTH)
    return f"in {password_file(home)}" if chosen in (None, "", password(home)) else f"{AUTH} as set"


def _refuse_readable(path: Path) -> None:
    """A secret that others may have read is none.

    Raises:
        RefusedError: the file's mode lets them.
    """
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise RefusedError(
            f"Others may read {path}",
            got=f"{mode:o}",
            expected=f"{OWNER_ALONE:o}",
            to_do="Delete it: `fpt up` makes another",
        )


def use(home: Home, served: "Served") -> None:
    """Prefect's clients of this process, and what it starts, talk to that server.

    Before Prefect is imported: it reads its settings then.
    """
    os.environ["PREFECT_API_URL"] = served.api
    os.environ["PREFECT_API_AUTH_STRING"] = password(home)


def write_served(home: Home, served: Served) -> None:
    """Leave word of the running server for `fpt up --check`."""
    _served_file(home).write_text(json.dumps(asdict(served)), encoding="utf-8")


def forget_served(home: Home) -> None:
    """Nothing is served any more."""
    _served_file(home).unlink(missing_ok=True)


def read_served(home: Home) -> Served:
    """The running `fpt up` of this home.

    Raises:
        RefusedError: none runs.
    """
    if not is_held(home, LOCK) or not _served_file(home).exists():
        raise RefusedError(f"`fpt up` is not running for {home.root}", to_do="Start it")
    return Served(**json.loads(_served_file(home).read_text(encoding="utf-8")))


def _served_file(home: Home) -> Path:
    return home.root / "up.json"


def refuse_open_door(host: str) -> None:
    """Whoever reaches the API can run code here, so past loopback it takes a password.

    Raises:
        RefusedError: the host is reachable from elsewhere and no authentication is set.
    """
    if is_loopback(host) or os.environ.get(AUTH):
        return
    raise RefusedError(
        f"{host} can be reached from other machines",
        expected=f"{AUTH} in the environment",
        to_do=f"Set {AUTH}=user:password, or leave --host out",
    )


def is_loopback(host: str) -> bool:
    """Whether every address of a host is of this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        found = socket.getaddrinfo(host, None)
    except OSError as error:
        raise RefusedError("No such host", got=host, to_do="Give a name or address") from error
    return all(ipaddress.ip_address(place[4][0]).is_loopback for place in found)


def free_port(host: str, wanted: int | None) -> int:
    """The port asked for; else Prefect's own, 4200, or any that is free.

    Raises:
        RefusedError: the port asked for is taken, or the host is not this machine.
    """
    for port in [wanted] if wanted else [4200, 0]:
        with _bound(host, port) as bound:
            if bound:
                return bound
    raise RefusedError(f"Can't listen on {host}", got=f"port {wanted}", to_do="Give another --port")


@contextmanager
def _bound(host: str, port: int) -> Iterator[int | None]:
    family = socket.getaddrinfo(host, port)[0][0]
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            yield None
            return
        yield listener.getsockname()[1]
