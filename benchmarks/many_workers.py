"""A sweep by one worker of a pool and by two, and what each part of it costs, measured here.

    python benchmarks/many_workers.py --home H --record

Starts what deploy/compose.yaml has as plain processes: Prefect's server with PostgreSQL, moto's
server as a store that speaks S3, workers with homes of their own, the publisher. Every request to
the server and to the store passes a meter. Writes docs/results/many_workers.json, from which
benchmarks/pool_simulation.py says what 10 to 1,000 workers would do. H is a published home.

Wall-clock figures of one machine: server, database, store and workers share its cores.
"""

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from types import ModuleType
from typing import Any
from urllib.request import Request, urlopen

import duckdb
from harness import RESULTS, ROOT, Row, read_json, write_json
from metering import Meter, cpu_seconds
from results import command, cpu, versions

FILE = RESULTS / "many_workers.json"
POOL = "gpu"
WORKERS = ("worker-a", "worker-b")
DIGITS = 4
A_PAGE = 200  # of scheduled runs, which Prefect's API answers a worker's poll with


def beside(name: str) -> ModuleType:
    """A file of the tests' folder."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


deployed, store_server = beside("deployed"), beside("store_server")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="published home, which is copied")
    parser.add_argument("--trainings", type=int, default=8, help="of a sweep")
    parser.add_argument("--epochs", type=int, default=60, help="of a training")
    parser.add_argument("--rounds", type=int, default=2, help="sweeps by one worker and by two")
    parser.add_argument("--published", type=int, default=48, help="trainings published together")
    parser.add_argument("--only", action="append", help="idle, api, store, publishing or sweeps")
    parser.add_argument("--record", action="store_true", help=f"write {FILE.name}")
    asked = parser.parse_args()
    measures: dict[str, Callable[[Machines], Any]] = {
        "idle": idle,
        "api": api,
        "store": store,
        "publishing": lambda machines: publishing(machines, asked.published),
        "sweeps": lambda machines: list(sweeps(machines, asked)),
    }
    found = read_json(FILE) if FILE.exists() else {}
    with tempfile.TemporaryDirectory() as folder, services(Path(folder)) as machines:
        shutil.copytree(asked.home, machines.home, symlinks=True)
        for name in asked.only or measures:
            found |= about() | {name: measures[name](machines)}
            print(json.dumps({name: found[name]}, indent=1), flush=True)
            if asked.record:
                write_json(FILE, found)


def about() -> Row:
    """Where and when this is measured."""
    return {
        "machine": cpu(),
        "versions": versions("prefect", "obstore", "moto", "torch", "duckdb"),
        "date": datetime.now(UTC).date().isoformat(),
        "command": command(),
    }


class Machines(deployed.Deployed):  # type: ignore[name-defined,misc]
    """The services, with a meter before the server and one before the store."""

    def __init__(self, folder: Path, store: Any) -> None:
        self.door, self.store = store.door, Meter(store.door.port)
        super().__init__(folder, self.store.port, store.environment("writer"), COLUMNS="200")
        self.keys["AWS_ENDPOINT"] = f"http://127.0.0.1:{self.store.port}"
        self.server = Meter(self.port)
        self.places["server:4200"] = f"127.0.0.1:{self.server.port}"
        self.home = folder / "home-publisher"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Prefect's API, past the meter."""
        from base64 import b64encode

        secret = self.environment("publisher")["PREFECT_API_AUTH_STRING"]
        heads = {"Authorization": f"Basic {b64encode(secret.encode()).decode()}"}
        heads["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        where = Request(f"http://127.0.0.1:{self.port}/api/{path}", data, heads, method=method)
        with urlopen(where, timeout=60) as told:
            return json.loads(told.read() or b"null")

    def workers(self) -> int:
        """How many are online."""
        found = self.ask("POST", f"work_pools/{POOL}/workers/filter", {})
        return sum(one["status"] == "ONLINE" for one in found)

    def costs(self) -> dict[str, float]:
        """CPU seconds of server and database so far."""
        return {
            name: cpu_seconds(self.processes[name].pid)
            for name in ("server", "database")
            if name in self.processes
        }

    def train(self, *words: str, pool: bool = True) -> None:
        """`fpt train` by the publisher."""
        more = ["--pool", POOL] if pool else []
        line = ["train", "--model", "sasrec", "--device", "cpu", *words, *more]
        done = subprocess.run(
            [deployed.BIN / "fpt", *line],
            env=self.environment("publisher"),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)


@contextmanager
def services(folder: Path) -> Iterator[Machines]:
    """Server, database and store, at work."""
    if deployed.POSTGRES is None:
        raise SystemExit("PostgreSQL of Debian's packages is missing")
    with store_server.serving() as store:
        machines = Machines(folder, store)
        try:
            machines.start_database()
            machines.start("server")
            wait_for(lambda: machines.ask("GET", "health"))
            machines.ask("POST", "work_pools/", {"name": POOL, "type": "process"})
            yield machines
        finally:
            machines.close()


def wait_for(question: Callable[[], object], seconds: float = 120.0) -> None:
    deadline, seen = time.monotonic() + seconds, "no"
    while time.monotonic() < deadline:
        try:
            if question():
                return
            seen = "no"
        except OSError as error:
            seen = str(error)
        time.sleep(0.1)
    raise SystemExit(f"it did not come within {seconds:.0f} s: {seen}")


def idle(machines: Machines, seconds: float = 30.0) -> Row:
    """What the server does for nobody, and for one worker that waits."""
    time.sleep(5)
    before = machines.costs()
    time.sleep(seconds)
    alone = spent(machines, before, seconds)
    machines.start(WORKERS[0])
    wait_for(lambda: machines.workers() == 1)
    time.sleep(5)
    machines.server.take()
    before = machines.costs()
    time.sleep(seconds)
    requests, _, _ = machines.server.take()
    machines.kill(WORKERS[0])
    waiting = {"requests": {name: one / seconds for name, one in requests.items()}}
    return rounded({"alone": alone, "a worker": waiting | spent(machines, before, seconds)})


def spent(machines: Machines, before: Row, per: float) -> Row:
    """CPU seconds since `before`, by service, in so many parts."""
    return {name: (now - before[name]) / per for name, now in machines.costs().items()}


def sweeps(machines: Machines, asked: argparse.Namespace) -> Iterator[Row]:
    """Sweeps by one worker and by two in turn, each with trainings that nobody has made."""
    epochs = asked.epochs
    for _ in range(asked.rounds):
        for count in (1, 2):
            epochs += 1
            row = sweep(machines, WORKERS[:count], asked.trainings, epochs)
            print(json.dumps(row), file=sys.stderr, flush=True)
            yield row


def sweep(machines: Machines, workers: Sequence[str], trainings: int, epochs: int) -> Row:
    """One sweep: seconds, phases of a group, requests and CPU seconds a group."""
    for name in workers:
        machines.start(name)
    wait_for(lambda: machines.workers() == len(workers))
    machines.server.take()
    machines.store.take()
    before, began = machines.costs(), time.monotonic()
    words = ("--seeds", str(trainings), "--set", f"epochs={epochs}", "--set", f"patience={epochs}")
    machines.train(*words)
    seconds, load = time.monotonic() - began, os.getloadavg()[0]
    asked, _, _ = machines.server.take()
    stored, up, down = machines.store.take()
    cost = spent(machines, before, trainings)
    for name in workers:
        machines.kill(name)
    wait_for(lambda: machines.workers() == 0)
    preset = f"quick epochs={epochs} patience={epochs}"
    return rounded(
        {
            "workers": len(workers),
            "trainings": trainings,
            "epochs": epochs,
            "seconds": seconds,
            "load": load,
            "phases": phases(machines, preset),
            "cpu": cost,
            "requests": {name: one / trainings for name, one in sorted(asked.items())},
            "store": {name: one / trainings for name, one in sorted(stored.items())},
            "bytes": {"up": up / trainings, "down": down / trainings},
        }
    )


def phases(machines: Machines, preset: str) -> Row:
    """Medians over the groups of a sweep, of seconds between the ends of its steps."""
    wanted = {"name": {"like_": preset}, "tags": {"all_": ["group"]}}
    runs = machines.ask("POST", "flow_runs/filter", {"flow_runs": wanted})
    rows = []
    for run in runs:
        path = f"flow_run_states/?flow_run_id={run['id']}"
        moments = {one["type"]: at(one["timestamp"]) for one in machines.ask("GET", path)}
        seed = int(run["name"].rpartition(" ")[2])
        began, ended = worked(machines, preset, seed)
        rows.append(
            {
                "waits": moments["PENDING"] - moments["SCHEDULED"],
                "starts": moments["RUNNING"] - moments["PENDING"],
                "fetches": began - moments["RUNNING"],
                "trains": ended - began,
                "puts": moments["COMPLETED"] - ended,
            }
        )
    return {name: median(row[name] for row in rows) for name in rows[0]}


def worked(machines: Machines, preset: str, seed: int) -> tuple[float, float]:
    """When a training began and ended."""
    with duckdb.connect(str(machines.home / "published.duckdb"), read_only=True) as connection:
        (found,) = connection.sql(
            "SELECT epoch(started_at), epoch(finished_at) FROM mart.training_runs "
            "WHERE preset = $1 AND seed = $2",
            params=[preset, seed],
        ).fetchall()
    return float(found[0]), float(found[1])


def at(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def api(machines: Machines, times: int = 60) -> Row:
    """What kinds of requests cost: ms of the caller, and CPU ms of server and database."""
    flow = machines.ask("POST", "flows/", {"name": "nothing"})["id"]
    body = {"flow_id": flow, "name": "nothing", "work_pool_name": POOL}
    deployment = machines.ask("POST", "deployments/", body)["id"]
    poll = f"work_pools/{POOL}/get_scheduled_flow_runs"
    told = {}

    def measure(name: str, action: Callable[[int], object]) -> None:
        before, took = machines.costs(), []
        for number in range(times):
            began = time.perf_counter()
            action(number)
            took.append(time.perf_counter() - began)
        cost = {key: 1000 * one for key, one in spent(machines, before, times).items()}
        told[name] = {"ms": 1000 * median(took)} | cost

    measure("poll, none waits", lambda _: machines.ask("POST", poll, {}))
    make = f"deployments/{deployment}/create_flow_run"
    runs: list[str] = []
    measure("create a run", lambda _: runs.append(machines.ask("POST", make, {})["id"]))
    while len(runs) < A_PAGE:
        runs.append(machines.ask("POST", make, {})["id"])
    measure(f"poll, {A_PAGE} wait", lambda _: machines.ask("POST", poll, {}))
    measure(f"poll, {A_PAGE} wait, one asked", lambda _: machines.ask("POST", poll, {"limit": 1}))
    many = {"flow_runs": {"id": {"any_": runs[:A_PAGE]}}}
    measure(f"read {A_PAGE} runs", lambda _: machines.ask("POST", "flow_runs/filter", many))
    state = {"state": {"type": "PENDING"}}
    path = "flow_runs/{}/set_state"
    measure("set a state", lambda n: machines.ask("POST", path.format(runs[n]), state))
    beat = f"work_pools/{POOL}/workers/heartbeat"
    measure("heartbeat", lambda _: machines.ask("POST", beat, {"name": "nobody"}))
    body = {"type": "progress", "data": 0.0, "flow_run_id": runs[0]}
    one = machines.ask("POST", "artifacts/", body)["id"]
    change = f"artifacts/{one}"
    measure("progress", lambda n: machines.ask("PATCH", change, {"data": float(n)}))
    line = {"name": "x", "level": 20, "message": "words", "flow_run_id": runs[0]}
    line["timestamp"] = datetime.now(UTC).isoformat()
    measure("log of one line", lambda _: machines.ask("POST", "logs/", [line]))
    for run in runs:
        machines.ask("DELETE", f"flow_runs/{run}")
    return rounded(told)


def store(machines: Machines) -> Row:
    """ms of a request to the store, and to a folder in its place, by one caller."""
    os.environ.update(machines.keys)
    places = {"moto": "s3://trainings/all", "folder": str(machines.folder / "store")}
    return rounded({name: requests_to(url) for name, url in places.items()})


def requests_to(url: str, times: int = 100, size: int = 50_000) -> Row:
    from warehouse.shared_store import open_store

    there, names = open_store(url, print), []

    def measure(action: Callable[[int], object]) -> float:
        took = []
        for number in range(times):
            began = time.perf_counter()
            action(number)
            took.append(time.perf_counter() - began)
        return 1000 * median(took)

    put = measure(lambda _: names.append(there.put(os.urandom(size))))
    get = measure(lambda number: there.get(names[number]))
    head = measure(lambda number: there.has(names[number], size))
    return {"put, after a look": put, "get": get, "look": head}


def publishing(machines: Machines, trainings: int) -> Row:
    """Seconds of a command that finds few trainings, and many, trained: it audits and publishes.

    Those are trained here, of one epoch each, and put into a home that does not know them.
    """
    settings = ("--set", "epochs=1", "--set", "patience=1")
    empty = machines.folder / "before-publishing"
    shutil.copytree(machines.home, empty, symlinks=True)
    machines.train("--seeds", str(trainings), *settings, pool=False)
    shutil.copytree(machines.home / "runs", empty / "runs", symlinks=True, dirs_exist_ok=True)
    told = []
    for count in (trainings // 4, trainings):
        shutil.rmtree(machines.home)
        shutil.copytree(empty, machines.home, symlinks=True)
        before, began = getrusage(RUSAGE_CHILDREN), time.monotonic()
        machines.train("--seeds", str(count), *settings, pool=False)
        seconds, after = time.monotonic() - began, getrusage(RUSAGE_CHILDREN)
        cost = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        told.append({"trainings": count, "cpu": cost, "seconds": seconds})
    return rounded({"commands": told})


def rounded(value: Any) -> Any:
    """Figures of a few digits."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
