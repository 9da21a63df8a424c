"""A store that speaks S3 on loopback, with users and rights, behind a door that can be shut."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

BUCKET = "trainings"
ROOT = {"aws_access_key_id": "root-key", "aws_secret_access_key": "root-secret"}
ACTIONS = 8  # that are needed to make the users; from then on every request is checked
READ = ["s3:GetObject", "s3:ListBucket"]
WRITE = [*READ, "s3:PutObject", "s3:DeleteObject"]


class Door:
    """Passes connections on; while it is shut nobody answers at its address."""

    def __init__(self, port: int) -> None:
        self.to, self._open = port, True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._work, daemon=True).start()

    def shut(self) -> None:
        """Refuse whoever comes from now on."""
        self._open = False

    def open(self) -> None:
        """Let them in again."""
        self._open = True

    def _work(self) -> None:
        while True:
            one, _ = self._listener.accept()
            if not self._open:
                one.close()
                continue
            other = socket.create_connection(("127.0.0.1", self.to))
            for here, there in ((one, other), (other, one)):
                threading.Thread(target=self._pass_on, args=(here, there), daemon=True).start()

    def _pass_on(self, here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while self._open and (some := here.recv(65536)):
                there.sendall(some)
        for end in (here, there):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass
class StoreServer:
    """It, with what each kind of user has to set."""

    door: Door
    users: dict[str, dict[str, str]] = field(default_factory=dict)

    def environment(self, user: str) -> dict[str, str]:
        """What a process of that user finds set."""
        return self.users[user] | {
            "AWS_ENDPOINT": f"http://127.0.0.1:{self.door.port}",
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def serving() -> Iterator[StoreServer]:
    """Start moto's server, with a bucket, somebody who may write there and somebody who may not."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(ACTIONS)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        server = StoreServer(Door(port))
        _set_up(server, port)
        yield server
    finally:
        process.kill()
        process.wait()


def _set_up(server: StoreServer, port: int) -> None:
    import boto3
    from botocore.config import Config

    _wait(port)
    more = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1", **ROOT}
    more["config"] = Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 2})
    boto3.client("s3", **more).create_bucket(Bucket=BUCKET)
    iam = boto3.client("iam", **more)
    for user, actions in {"writer": WRITE, "reader": READ}.items():
        iam.create_user(UserName=user)
        allowed = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [allowed]}
        iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=user)["AccessKey"]
        server.users[user] = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }
    server.users["stranger"] = server.users["writer"] | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    # one action is left
    boto3.client("s3", **more).list_objects_v2(Bucket=BUCKET)


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.05)
    raise AssertionError("moto's server does not answer")
