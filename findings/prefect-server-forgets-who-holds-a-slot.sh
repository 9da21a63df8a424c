#!/usr/bin/env bash
# Prefect: a restarted server ends the runs that hold a slot, and leaves the slots of a limit taken.
#
# Versions: prefect 3.8.8, with its SQLite database on disk.
# Guess:    slots, runs and limits stand in the database. A server that is restarted in the middle of
#           a run does it no harm, and a slot comes back when its holder gives it back.
# What is:  how many slots are taken stands in the database; who holds them, in the server's memory.
#           After a restart a holder's "give back" is answered with success and changes nothing: the
#           limit stays full for good, and its lease can't run out either. A run of a deployment with
#           a concurrency limit is cancelled when it next renews its lease (some four minutes later),
#           though it has worked through the restart without an error. With
#           PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem
#           leases lie in PREFECT_HOME, and both are as guessed.
# Seen:     memory: slot given back: 1 of 1 taken; run CRASHED
#           filesystem: slot given back: 0 of 1 taken; run COMPLETED
# Matters:  a nightly job dies of an update of its server, and the next ones wait for a slot of nobody.
# Source:   prefect/server/concurrency/lease_storage/memory.py (a dict);
#           bulk_decrement_active_slots_with_lease in prefect/server/api/concurrency_limits_v2.py
#           returns if it finds no lease; prefect/flow_engine.py: raise_on_lease_renewal_failure=True.
#           The settings' reference names the module, not what follows from it; a warning at the
#           server's start was proposed (PrefectHQ/prefect#20090) and is not there.
# Takes:    up to 25 minutes, most of it waiting for the lease to be renewed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check prefect==3.8.8 "fastapi<0.151"
cat > "$folder/flows.py" <<'PY'
import time

from prefect import flow


@flow
def work():
    """Work past the renewal of a lease, which is due after 225 seconds."""
    for _ in range(270):
        time.sleep(1)
PY
cat > "$folder/restart.py" <<'PY'
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

storage, folder = sys.argv[1], Path(sys.argv[1]).resolve()
folder.mkdir()
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
os.environ |= {
    "PREFECT_HOME": str(folder),
    "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": f"prefect.server.concurrency.lease_storage.{storage}",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
import httpx
from prefect.client.orchestration import get_client

api = httpx.Client(base_url=os.environ["PREFECT_API_URL"], timeout=60)
prefect = [sys.executable, "-m", "prefect"]
log = (folder / "log").open("w")


def started():
    server = subprocess.Popen(
        [*prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log
    )
    while True:
        try:
            api.get("/health").raise_for_status()
            return server
        except httpx.HTTPError:
            time.sleep(0.5)


def taken():
    return api.get("/v2/concurrency_limits/gpu").json()["active_slots"]


def wait_for(there, seconds=120):
    end = time.monotonic() + seconds
    while not there() and time.monotonic() < end:
        time.sleep(0.5)


HOLDER = """
from prefect.concurrency.sync import concurrency
with concurrency("gpu", occupy=1, strict=True):
    input()
"""
server = started()
api.post("/v2/concurrency_limits/", json={"name": "gpu", "limit": 1}).raise_for_status()
holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=log, stderr=log)
sys.path.insert(0, str(Path.cwd()))
from flows import work

deployed = work.from_source(str(Path.cwd()), "flows.py:work").to_deployment(
    "once", work_pool_name="cpu", concurrency_limit=1
)
subprocess.run([*prefect, "work-pool", "create", "cpu", "--type", "process"], stdout=log, stderr=log, check=True)
worker = subprocess.Popen([*prefect, "worker", "start", "--pool", "cpu"], cwd=folder, stdout=log, stderr=log)
with get_client(sync_client=True) as client:
    run = client.create_flow_run_from_deployment(deployed.apply())
    state = lambda: client.read_flow_run(run.id).state_type.value
    wait_for(lambda: taken() and state() == "RUNNING")
    server.terminate()
    server.wait()
    server = started()
    holder.communicate(b"\n")
    wait_for(lambda: state() not in {"RUNNING", "CANCELLING"}, 480)
    print(f"{storage}: slot given back: {taken()} of 1 taken; run {state()}", flush=True)
for process in (worker, server):
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
PY
cd "$folder"
for storage in memory filesystem; do
  "$folder/venv/bin/python" restart.py $storage > "$storage.out" 2> "$storage.err" &
done
wait
seen=$(tail -qn 1 memory.out filesystem.out)
echo "$seen"
test "$seen" = "memory: slot given back: 1 of 1 taken; run CRASHED
filesystem: slot given back: 0 of 1 taken; run COMPLETED" || { tail -n 20 ./*.err; exit 1; }
echo "as described"
