"""Who holds a slot of a concurrency limit: a server that is started again must still know it."""

import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from flows.serving import Served
from flows.up import _environment
from warehouse.home import Home

NAME = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"
KEEP = """
import asyncio
from datetime import timedelta
from prefect.server.concurrency.lease_storage import get_concurrency_lease_storage
storage = get_concurrency_lease_storage()
print(asyncio.run(storage.create_lease([], timedelta(hours=1))).id)
"""
RENEW = """
import asyncio, sys
from datetime import timedelta
from uuid import UUID
from prefect.server.concurrency.lease_storage import get_concurrency_lease_storage
storage = get_concurrency_lease_storage()
for lease in map(UUID, sys.argv[1:]):
    print(asyncio.run(storage.renew_lease(lease, timedelta(hours=1))))
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """What a process says that has the environment of `fpt up`'s server."""
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    found = _environment(Home.at(tmp_path), Served("http://127.0.0.1:1", [], str(tmp_path)))

    def said(script: str, *words: str) -> str:
        command = [sys.executable, "-c", script, *words]
        done = subprocess.run(command, env=found, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return said


@pytest.mark.slow
def test_a_lease_is_renewed_by_the_next_server(server):
    """Prefect ends a run of a deployment with a limit if its lease can't be renewed."""
    assert server(RENEW, server(KEEP), str(uuid4())).split() == ["True", "False"]


def test_the_deployed_server_keeps_them_on_a_volume():
    composed = yaml.safe_load((Path(__file__).parents[2] / "deploy/compose.yaml").read_text())
    found = composed["services"]["server"]
    assert found["environment"][NAME].endswith(".filesystem")
    (volume,) = found["volumes"]
    name, _, folder = volume.partition(":")
    assert name in composed["volumes"]
    assert folder == "/root/.prefect"  # PREFECT_HOME of the image, which sets none
