"""Trainings by workers of a pool: two machines, one killed at work; all published exactly once."""

import importlib.util
import json
import re
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import Request, urlopen

import duckdb
import obstore
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.states import Pending

from fpt_model.config import resolve
from fpt_model.files.finished import RECORD
from tasks import orders, pools
from tasks.trainings import Training
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.preparing import known_snapshot
from warehouse.shared_store import open_store


def beside(name: str) -> ModuleType:
    """A file of the tests' own folder."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


store_server, deployed = beside("store_server"), beside("deployed")
POOL = "gpu"
A, B = "worker-a", "worker-b"
SEEDS = 2


def ignore(_: str) -> None:
    pass


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"), ignore)


@pytest.fixture
def published(copy) -> Training:
    """The one of `copy` that is published, SASRec with seed 0."""
    (path,) = (copy / "sequences").glob("*.parquet")
    snapshot = known_snapshot(Home(copy), path.stem.removeprefix("sequences-"))
    return Training(snapshot, resolve("sasrec", "quick"), 0)


def test_an_order_means_the_same_on_another_machine(store, published, tmp_path):
    name = orders.put_order(store, [published])
    there = Home.at(tmp_path / "there")
    (found,) = orders.read_order(store, name, there)
    assert (found.run_id, found.config, found.seed) == (published.run_id, published.config, 0)
    assert found.snapshot.sequences.parent == there.sequences
    assert found.snapshot.sequences.read_bytes() == published.snapshot.sequences.read_bytes()
    assert orders.put_order(store, [published]) == name  # so its run is found again


def test_other_versions_are_refused_with_both(store, published, tmp_path, monkeypatch):
    name = orders.put_order(store, [published])
    ours = orders.versions()
    monkeypatch.setattr(orders, "versions", lambda: ours | {"torch": "1.2.3"})
    with pytest.raises(RefusedError, match=rf"got torch 1\.2\.3, expected torch {ours['torch']}"):
        orders.read_order(store, name, Home.at(tmp_path / "there"))


def test_a_result_travels_whole(store, copy, published, tmp_path):
    home, there = Home(copy), Home.at(tmp_path / "there")
    assert not orders.bring_result(store, there, published.run_id)
    orders.put_result(store, home, published.run_id)
    orders.put_result(store, home, published.run_id)  # as a worker that was thought dead does
    assert orders.bring_result(store, there, published.run_id)
    ours, theirs = home.run(published.run_id), there.run(published.run_id)
    names = {path.name for path in theirs.iterdir()}
    assert {RECORD, "best.safetensors", "ranks.parquet", "lists.parquet"} <= names
    assert all((ours / name).read_bytes() == (theirs / name).read_bytes() for name in names)


def test_a_damaged_result_is_refused_and_once_deleted_is_not_there(
    store, copy, published, tmp_path
):
    there = Home.at(tmp_path / "there")
    orders.put_result(store, Home(copy), published.run_id)
    name = orders.result_of(store, published.run_id)["ranks.parquet"]
    path = tmp_path / "store/objects" / name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RefusedError, match=f"damaged: .*{name}"):
        orders.bring_result(store, there, published.run_id)
    assert not (there.run(published.run_id) / RECORD).exists()
    path.unlink()
    assert not orders.bring_result(store, there, published.run_id)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x"])
def test_a_manifest_leads_nowhere_else(store, tmp_path, path):
    files = {path: [store.put(b"x"), 1]}
    store.mark("trainings/r", store.put(json.dumps({"run_id": "r", "files": files}).encode()))
    with pytest.raises(RefusedError, match="strange path"):
        orders.bring_result(store, Home.at(tmp_path / "there"), "r")


def test_seeds_of_the_same_settings_go_together(published):
    other = Training(published.snapshot, resolve("tisasrec", "quick"), 0)
    seeds = [Training(published.snapshot, published.config, seed) for seed in range(3)]
    found = pools.groups_of([*seeds, other], together=2)
    assert [group.trainings for group in found] == [seeds[:2], seeds[2:], [other]]
    assert found[0].name.endswith("sasrec cold-start quick seeds 0 to 1")


def test_few_groups_wait_and_as_many_follow_as_are_taken(
    prefect, store, published, tmp_path, monkeypatch
):
    """Each poll of each worker, busy or not, is answered with all runs that wait."""
    for name in ("note", "report", "warn"):  # they log to a flow run
        monkeypatch.setattr(pools, name, lambda *_: None)
    asked = [Training(published.snapshot, published.config, seed) for seed in range(100, 160)]
    groups = pools.groups_of(asked, together=1)
    parameters = {"store": store.url, "device": "cpu", "gpus": None, "together": False}
    following = pools._Following(Home.at(tmp_path / "there"), store, "few", groups, parameters)
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=["group"]))
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="few", type="process"))
        following.collect_what_is_there()
        following.begin(client)
        runs = client.read_flow_runs(flow_run_filter=tagged)
        assert len(runs) == pools.AHEAD == len({run.idempotency_key for run in runs})
        for run in runs[:5]:
            client.set_flow_run_state(run.id, Pending())
        following.look(client)
        assert client.count_flow_runs(flow_run_filter=tagged) == pools.AHEAD + 5
        for run in client.read_flow_runs(flow_run_filter=tagged):
            client.set_flow_run_state(run.id, Pending(), force=True)
        following.look(client)  # all were taken at once: the next time twice as many wait
        assert client.count_flow_runs(flow_run_filter=tagged) == len(runs) + 5 + 2 * pools.AHEAD
    assert len(list((tmp_path / "store/objects").iterdir())) == 53 + 1  # orders, and the sequences


def test_what_lacks_is_said_before_any_work(prefect, tmp_path):
    where = str(tmp_path / "store")
    with pytest.raises(RefusedError, match="No such work pool: got nobodys"):
        pools.refuse_unready("nobodys", where)
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="idle", type="process"))
    with pytest.raises(RefusedError, match=r"Pool idle has no worker. Start one .* --pool idle"):
        pools.refuse_unready("idle", where)
    with pytest.raises(RefusedError, match="--pool needs a store"):
        pools.refuse_unready("idle", None)


def test_a_pool_needs_a_server_that_lasts(prefect, tmp_path, monkeypatch):
    monkeypatch.setattr(pools.temporary, "used", True)
    with pytest.raises(RefusedError, match="got no PREFECT_API_URL"):
        pools.refuse_unready("idle", str(tmp_path))


class Machines(deployed.Deployed):
    """The services of the Compose file, each on a machine of its own, as it were."""

    def __init__(self, folder: Path, store: Any) -> None:
        keys = store.environment("writer")
        super().__init__(folder, store.door.port, keys, FPT_LOST_SECONDS="8", COLUMNS="200")
        self.store = store

    def asked(self, path: str, body: dict | None = None) -> list | dict:
        data = json.dumps(body).encode() if body is not None else None
        secret = self.environment("publisher")["PREFECT_API_AUTH_STRING"].encode()
        heads = {"Content-Type": "application/json"}
        heads |= {"Authorization": f"Basic {b64encode(secret).decode()}"}
        url = f"http://127.0.0.1:{self.port}/api/{path}"
        with urlopen(Request(url, data, heads), timeout=10) as told:
            return json.loads(told.read())

    def publisher(self, home: Path, **more: str) -> tuple[list[str], dict[str, str]]:
        """Its command, with other trainings than in the file, and its environment."""
        fpt, _, *_, option, pool = self.command("publisher")
        words = ["train", "--model", "sasrec", "--seeds", str(SEEDS), "--set", "epochs=60"]
        words += ["--set", "patience=60", "--device", "cpu", option, pool]
        return [fpt, *words], self.environment("publisher") | {"FPT_HOME": str(home)} | more


def wait_for(question: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError):
            if question():
                return
        time.sleep(0.2)
    raise AssertionError(f"it did not come within {seconds:.0f} s")


@pytest.fixture
def machines(tmp_path) -> Iterator[Machines]:
    with store_server.serving() as store:
        running = Machines(tmp_path, store)
        try:
            if deployed.POSTGRES:
                running.start_database()
            running.start("server")
            wait_for(lambda: running.asked("health"))
            running.asked("work_pools/", {"name": POOL, "type": "process"})
            yield running
        finally:
            running.close()


def is_at_work(home: Path) -> bool:
    """Whether a training begun there and is not finished."""
    return any(not (path.parent / RECORD).exists() for path in home.glob("runs/*/started"))


@pytest.fixture
def published_by(machines, forks):
    """The publisher's exit code and what it says, once it has ended."""

    def go(home: Path, **more: str) -> tuple[int, str]:
        answer = forks.run(*machines.publisher(home, **more), 200)
        return answer.code, answer.err

    return go


def damage_a_result(machines: Machines) -> str:
    """Other bytes of the same length in place of somebody's ranks; the object's name."""
    store = open_store("s3://trainings/all", ignore)
    run_id = sorted(orders.with_results(store))[0]
    name, _ = next(orders._manifests(store, run_id))["ranks.parquet"]
    size = len(store.get(name))
    obstore.put(store.inner, f"objects/{name}", bytes(size))
    return name


@pytest.mark.slow
def test_one_of_two_workers_dies_and_each_training_is_published_once(
    machines, copy, copy_home, published_by, forks, tmp_path, monkeypatch
):
    other = copy_home(copy, tmp_path / "other")
    for name in (A, B):
        machines.start(name)
    wait_for(lambda: len(machines.asked(f"work_pools/{POOL}/workers/filter", {})) == 2)
    code, said = published_by(copy, **machines.store.users["reader"])  # who may not write
    assert code == 2, said
    assert said.strip().splitlines()[-1].startswith("error: The store refuses this machine"), said
    log = tmp_path / "publisher.log"
    words, environment = machines.publisher(copy)
    with log.open("w") as said:
        publisher = subprocess.Popen(
            [forks.bin / "fpt", *words[1:]], env=environment, stdout=said, stderr=said
        )
    wait_for(lambda: is_at_work(tmp_path / f"home-{A}"))
    machines.kill(A)
    machines.store.door.shut()  # and the store is away for a while
    threading.Timer(5, machines.store.door.open).start()
    code, said = publisher.wait(200), log.read_text()
    assert code == 0, said
    assert re.search(r"seed \d: its worker died; another one takes over", said), said
    with duckdb.connect(str(copy / "published.duckdb"), read_only=True) as connection:
        seeds = connection.sql(
            "SELECT seed FROM mart.training_runs WHERE preset LIKE '%epochs=60%' ORDER BY seed"
        ).fetchall()
        files = connection.sql(
            "FROM mart.files SELECT id WHERE table_name = 'mart.user_ranks' AND id IN "
            "(SELECT run_id FROM mart.training_runs WHERE preset LIKE '%epochs=60%')"
        ).fetchall()
    assert seeds == [(seed,) for seed in range(SEEDS)]
    assert len(files) == len(set(files)) == SEEDS
    code, said = published_by(copy)
    assert code == 0, said
    assert "unchanged, published before" in said
    assert not list((tmp_path / f"home-{B}" / "catalogue").iterdir()), "a worker publishes nothing"

    for key, value in machines.store.environment("writer").items():
        monkeypatch.setenv(key, value)
    name = damage_a_result(machines)
    code, said = published_by(other)  # of another machine, which has to bring all
    assert code == 1, said
    last = said.strip().splitlines()[-1]
    assert f"An object of the store is damaged: s3://trainings/all objects/{name}" in last
    assert f"1 of {SEEDS} trainings failed, so none was published" in last


@pytest.mark.skipif(deployed.POSTGRES is None, reason="PostgreSQL of Debian's packages is missing")
def test_the_server_of_the_compose_file_is_tested_with_its_own_database():
    url = deployed.COMPOSE["server"]["environment"]["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    asked = deployed.COMPOSE["database"]["environment"]
    password = asked["POSTGRES_PASSWORD"]
    place = f"{asked['POSTGRES_USER']}:{password}@database:5432/{asked['POSTGRES_DB']}"
    assert url == f"postgresql+asyncpg://{place}"


def test_the_kubernetes_template_names_only_what_it_has():
    template = json.loads((deployed.ROOT / "deploy/kubernetes-pool.json").read_text("utf-8"))
    named = set(re.findall(r"{{ (\w+) }}", json.dumps(template["job_configuration"])))
    assert named == set(template["variables"]["properties"])
    manifest = template["job_configuration"]["job_manifest"]
    pod = manifest["spec"]["template"]["spec"]
    assert (manifest["kind"], manifest["spec"]["backoffLimit"]) == ("Job", 0)
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert mount["mountPath"] == deployed.COMPOSE[A]["environment"]["FPT_HOME"]
    assert [mount["name"]] == [one["name"] for one in pod["volumes"]]


def test_a_server_takes_the_kubernetes_template(prefect):
    template = json.loads((deployed.ROOT / "deploy/kubernetes-pool.json").read_text("utf-8"))
    pool = WorkPoolCreate(name="pods", type="kubernetes", base_job_template=template)
    with get_client(sync_client=True) as client:
        assert client.create_work_pool(pool).base_job_template == template
