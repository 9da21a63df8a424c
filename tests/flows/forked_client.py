"""Stands for `python` and `fpt`: what they are to run goes to a fork of `forked.py`, if it can.

It runs without an environment's packages, so that it takes milliseconds. Under the name `fpt`, and
as `python -m fpt_model`, it waits for the fork, passes signals on to it, and ends as it does. All
else it has Python do, in its own place.
"""

# ruff: noqa: PTH109, PTH118, PTH119, PTH120
# to import pathlib takes longer than all the rest
import json
import os
import signal
import socket
import struct
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
FPT = os.path.join(os.path.dirname(sys.executable), "fpt")


def main() -> None:
    name, *words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
    if name == "fpt" or words[:2] == ["-m", "fpt_model"]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"{HERE}/socket")
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda number, _: connection.send(bytes([number])))
            ask(
                connection,
                [name, *words],
                dict(os.environ),
                [0, 1, 2],
                f"{HERE}/python",
            )
            if connection.recv(1):
                end(told(connection))
    os.execv(sys.executable, [sys.executable, *([FPT] if name == "fpt" else []), *words])


def ask(
    connection: socket.socket,
    words: list[str],
    environment: dict[str, str],
    files: list[int],
    client: str,
) -> None:
    """Say what is to be run, with which files as the first three."""
    asked = {"words": words, "environment": environment, "folder": os.getcwd(), "client": client}
    text = json.dumps(asked).encode()
    socket.send_fds(connection, [struct.pack("<i", len(text))], files)
    connection.sendall(text)


def told(connection: socket.socket) -> int:
    """What it ended with."""
    answer = connection.recv(4, socket.MSG_WAITALL)
    return struct.unpack("<i", answer)[0] if answer else -signal.SIGKILL


def end(code: int) -> None:
    """End so ourselves."""
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main()
