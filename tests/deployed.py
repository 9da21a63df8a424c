"""The services of deploy/compose.yaml as plain processes: their commands and their environment."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text(encoding="utf-8"))["services"]
BIN = Path(sys.executable).parent
POSTGRES = next(
    (path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None
)
SECRETS = {"FPT_PASSWORD": "a-password", "FPT_STORE_SECRET": "set by the store's own keys"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


class Deployed:
    """Starts services; what they call each other by is found on loopback.

    Args:
        folder: for their homes and logs.
        store_port: where a store that speaks S3 is.
        keys: of that store.
        more: settings that tests have otherwise.
    """

    def __init__(self, folder: Path, store_port: int, keys: dict[str, str], **more: str) -> None:
        self.folder, self.keys, self.more = folder, keys, more
        self.port = free_port()
        self.places = {"server:4200": f"127.0.0.1:{self.port}"}
        self.places |= {"store:9000": f"127.0.0.1:{store_port}"}
        self.processes: dict[str, subprocess.Popen] = {}
        self.database: Path | None = None

    def start_database(self) -> None:
        """PostgreSQL, as its image starts it. Root may not, and so its own user does."""
        asked = COMPOSE["database"]["environment"]
        self.database = Path(tempfile.mkdtemp(prefix="postgres-"))
        owner = "postgres" if os.getuid() == 0 else None
        if owner:
            shutil.chown(self.database, owner, owner)
        password = self.database / "password"
        password.write_text(self._filled(asked["POSTGRES_PASSWORD"]))
        data, user = self.database / "data", asked["POSTGRES_USER"]
        password.chmod(0o644)
        run = {"user": owner, "group": owner, "cwd": self.database}
        made = [POSTGRES / "initdb", "--no-sync", "-A", "scram-sha-256", "-U", user, "-D", data]
        subprocess.run([*made, f"--pwfile={password}"], check=True, capture_output=True, **run)
        port = self.run_database()
        there = os.environ | {"PGPASSWORD": self._filled(asked["POSTGRES_PASSWORD"])}
        create = f"until {POSTGRES}/createdb -h 127.0.0.1 -p {port} -U {user} "
        create += f"{asked['POSTGRES_DB']}; do sleep 0.1; done"
        subprocess.run(
            ["bash", "-c", create], env=there, check=True, timeout=30, capture_output=True
        )

    def run_database(self) -> int:
        """Start what was made, or killed; returns its port, always the same."""
        owner = "postgres" if os.getuid() == 0 else None
        if "database:5432" not in self.places:
            self.places["database:5432"] = f"127.0.0.1:{free_port()}"
        port = int(self.places["database:5432"].rpartition(":")[2])
        words = [POSTGRES / "postgres", "-D", self.database / "data", "-p", str(port)]
        words += ["-k", self.database, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        self.processes["database"] = subprocess.Popen(
            words,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=owner,
            group=owner,
            cwd=self.database,
        )
        return port

    def environment(self, service: str) -> dict[str, str]:
        """What a service finds set."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "FPT_"))}
        own = {key: self._filled(value) for key, value in COMPOSE[service]["environment"].items()}
        if "database:5432" not in self.places:
            own.pop("PREFECT_SERVER_DATABASE_CONNECTION_URL", None)
        if "FPT_HOME" in own:
            own |= {"FPT_HOME": str(self.folder / f"home-{service}"), **self.keys}
        own["PREFECT_HOME"] = str(self.folder / f"prefect-{service}")
        return clean | own | self.more

    def command(self, service: str) -> list[str]:
        """What a service runs."""
        changed = {"0.0.0.0": "127.0.0.1", "4200": str(self.port)}
        words = [changed.get(word, word) for word in COMPOSE[service]["command"]]
        return [str(BIN / words[0]), *words[1:]]

    def start(self, service: str) -> None:
        with (self.folder / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                self.command(service),
                env=self.environment(service),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, service: str) -> None:
        """As a machine that loses its power: the process and all that it started."""
        process = self.processes.pop(service)
        for pid in [process.pid, *descendants(process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for service in reversed(list(self.processes)):
            self.kill(service)
        if self.database:
            shutil.rmtree(self.database, ignore_errors=True)

    def _filled(self, value: str) -> str:
        for name, place in self.places.items():
            value = value.replace(name, place)
        return re.sub(r"\$\{(\w+)\}", lambda found: SECRETS[found[1]], value)


def descendants(pid: int) -> list[int]:
    done = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True)
    pairs = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    found = [pid]
    for one in found:
        found += [child for child, parent in pairs if parent == one]
    return found[1:]
