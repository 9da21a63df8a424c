"""What a command does not wait for."""

import subprocess
import sys

import pytest


def run(code: str, *words: object) -> str:
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


UNTIL_ITS_SERVER = """
import os, sys
import flows.cli, flows.server

def begin(home):
    heavy = {"polars", "pyarrow", "prefect", "torch", "great_expectations"}
    print(sorted(heavy & set(sys.modules)))
    sys.stdout.flush()
    os._exit(0)

flows.server.begin = begin
flows.cli.main()
"""


@pytest.mark.parametrize("words", [("ingest", "--dataset", "ml-1m"), ("run",)])
def test_a_server_is_started_before_anything_heavy_is_imported(tmp_path, words):
    assert run(UNTIL_ITS_SERVER, *words, "--home", tmp_path / "home") == "[]\n"


HEARTBEATS = """
from flows import server
from tasks.temporary import temporary
from prefect.settings import get_current_settings

for temporary.used in (False, True):
    server._use("http://127.0.0.1:9/api", None)
    print(get_current_settings().flows.heartbeat_frequency)
"""


def test_a_run_of_a_temporary_server_has_no_heartbeats():
    """Their thread sleeps a second at a time, and a flow's end waits for it."""
    assert run(HEARTBEATS).split() == ["180", "None"]


COLLECTING = """
import asyncio, gc, socket
from flows.temporary_server import Server
import uvicorn

print(gc.isenabled())

async def app(scope, receive, send):
    assert gc.isenabled()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

async def ask():
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
    print((await reader.readline()).split()[1].decode())
    server.should_exit = True
    await serving

asyncio.run(ask())
"""


def test_a_temporary_server_collects_garbage_once_it_answers():
    assert run(COLLECTING).split() == ["False", "200"]
