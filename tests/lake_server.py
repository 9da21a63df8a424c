"""PostgreSQL on loopback for lakes of tests, with a password; each lake is a schema of it."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

USER, PASSWORD, DATABASE = "fpt", "s3cret-word", "lakes"
COPY = """
SET client_min_messages = error;
DROP SCHEMA IF EXISTS {to} CASCADE;
CREATE SCHEMA {to};
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' LOOP
        EXECUTE format('CREATE TABLE {to}.%I (LIKE {schema}.%I INCLUDING ALL)', name, name);
        EXECUTE format('INSERT INTO {to}.%I SELECT * FROM {schema}.%I', name, name);
    END LOOP;
END $$;
"""


@dataclass
class LakeServer:
    """It.

    Attributes:
        folder: of its data and socket.
        port: on 127.0.0.1.
    """

    folder: Path
    port: int

    def url(self, data: Path, schema: str = "public", password: str | None = PASSWORD) -> str:
        secret = f":{password}" if password else ""
        where = f"{USER}{secret}@127.0.0.1:{self.port}/{DATABASE}"
        return f"ducklake:postgres://{where}?data={data}&schema={schema}"

    def new_url(self, data: Path) -> str:
        """Of a lake that is not there yet."""
        data.mkdir(parents=True, exist_ok=True)
        return self.url(data, f"lake_{secrets.token_hex(4)}")

    def copy(self, schema: str, to: str) -> None:
        """Make the schema of a lake anew from another's: its lake is then at the same point."""
        self.sql(COPY.format(schema=schema, to=to))

    def has(self, schema: str) -> bool:
        return self.sql(f"SELECT to_regnamespace('{schema}') IS NOT NULL") == "t"

    def start(self) -> None:
        # nothing of it must outlive a loss of power
        settings = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = self.folder / "log"
        self._control("-o", settings, "-l", str(log), "-w", "start")

    def stop(self) -> None:
        self._control("-m", "immediate", "-w", "stop")

    def sql(self, text: str) -> str:
        """What psql answers."""
        asked = ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", DATABASE]
        env = os.environ | {"PGPASSWORD": PASSWORD}
        done = subprocess.run([*asked, "-Atc", text], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def _control(self, *words: str) -> None:
        as_server([program("pg_ctl"), "-D", str(self.folder / "data"), "-s", *words])


def program(name: str) -> str:
    """Of the newest PostgreSQL of Debian's packages, else whatever the path has."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else name


def as_server(command: list[str]) -> None:
    """PostgreSQL refuses to be run by root."""
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


@contextmanager
def lake_server() -> Iterator[LakeServer]:
    """Start one; it goes at the end."""
    with tempfile.TemporaryDirectory(prefix="fpt-lake-") as name:
        folder = Path(name)
        word = folder / "password"
        word.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, word):
                subprocess.run(["chown", "postgres", str(path)], check=True)
        more = ["-A", "scram-sha-256", "-U", USER, f"--pwfile={word}", "-E", "UTF8", "--no-sync"]
        as_server([program("initdb"), "-D", str(folder / "data"), *more])
        server = LakeServer(folder, free_port())
        server.start()
        try:
            env = os.environ | {"PGPASSWORD": PASSWORD}
            at = ["-h", "127.0.0.1", "-p", str(server.port), "-U", USER]
            subprocess.run([program("createdb"), *at, DATABASE], env=env, check=True)
            yield server
        finally:
            server.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":  # a lake for a program of its own: the URL comes on stdout
    with lake_server() as server:
        print(server.new_url(Path(sys.argv[1])), flush=True)
        sys.stdin.read()
