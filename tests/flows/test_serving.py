"""prefect.yaml as a table, and who may reach the server."""

import socket
from pathlib import Path

import pytest
import yaml
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import load_flow_from_entrypoint

from flows import up
from flows.serving import (
    AUTH,
    POOLS,
    free_port,
    is_loopback,
    read_served,
    read_table,
    refuse_open_door,
)
from warehouse.errors import RefusedError
from warehouse.home import Home

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
NAMES = [one["name"] for one in DEPLOYMENTS]


def deployment(name):
    return next(one for one in DEPLOYMENTS if one["name"] == name)


@pytest.mark.parametrize("name", NAMES)
def test_a_deployment_says_what_its_flow_takes(name):
    """Prefect itself would find a mistake only when the schedule fires, at night."""
    row = deployment(name)
    flow = load_flow_from_entrypoint(row["entrypoint"])
    required = {
        name: "any"
        for name, given in flow.parameters.properties.items()
        if name in flow.parameters.required and given
    }
    flow.validate_parameters(required | row.get("parameters", {}))
    assert row["description"].strip()
    assert row["tags"]
    for schedule in row.get("schedules", []):
        CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])


def test_what_runs_by_itself():
    crons = {one["name"]: one["schedules"][0]["cron"] for one in DEPLOYMENTS if "schedules" in one}
    assert {"nightly", "cold-start", "weekly-tables", "paper-tables", "monitoring"} <= set(crons)
    assert len(set(crons.values())) == len(crons)
    assert deployment("nightly")["parameters"]["retention"] == "5-core"
    assert set(deployment("weekly-tables")["parameters"]["retentions"]) == {"5-core", "cold-start"}


def test_pipelines_wait_for_each_other_and_monitoring_for_none():
    table = read_table(ROOT)
    assert table.pools["cpu"] == {"default": 1, "monitoring": None, "waiting": 1}
    for row in DEPLOYMENTS:
        queue = row["work_pool"].get("work_queue_name", "default")
        assert queue in table.pools[row["work_pool"]["name"]]
        assert (queue == "monitoring") == (row["name"] == "monitoring")
        assert (queue == "waiting") == ("pool" in row.get("parameters", {}))
    assert sorted(name for names in table.deployments.values() for name in names) == sorted(NAMES)


def test_what_needs_a_gpu_says_so():
    """On its pool without `cuda` a training could run for days on a CPU, unseen."""
    for row in DEPLOYMENTS:
        asked = row.get("parameters", {})
        if "pool" not in asked:
            assert (row["work_pool"]["name"] == "gpu") == (asked.get("device") == "cuda")


def test_what_other_machines_train_goes_to_a_pool_without_a_limit_and_without_a_worker_here():
    """A queue that lets one run through at a time would have all other machines stand still."""
    table = read_table(ROOT)
    rows = [row for row in DEPLOYMENTS if "pool" in row.get("parameters", {})]
    assert len(rows) == 2
    for row in rows:
        pool = row["parameters"]["pool"]
        assert set(table.pools[pool].values()) == {None}
        assert pool != row["work_pool"]["name"]  # it would wait for its own end
        assert pool not in POOLS
        assert table.deployments[pool] == []
        assert "store" in row["parameters"]


def test_a_pool_that_is_not_there_is_refused(tmp_path):
    content = {"pools": {"cpu": {}}, "deployments": [{"name": "x", "work_pool": {"name": "gp"}}]}
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(RefusedError, match=r"x in prefect\.yaml .* got gp, expected cpu"):
        read_table(tmp_path)


def test_a_folder_without_a_table_is_refused(tmp_path):
    with pytest.raises(RefusedError, match=r"No prefect\.yaml in .* clone"):
        read_table(tmp_path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_past_loopback_there_is_a_password_or_no_server(host, monkeypatch):
    monkeypatch.delenv(AUTH, raising=False)
    assert not is_loopback(host)
    with pytest.raises(RefusedError, match=AUTH):
        refuse_open_door(host)
    monkeypatch.setenv(AUTH, "")
    with pytest.raises(RefusedError, match=AUTH):
        refuse_open_door(host)
    monkeypatch.setenv(AUTH, "anna:secret")
    refuse_open_door(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host, monkeypatch):
    monkeypatch.delenv(AUTH, raising=False)
    refuse_open_door(host)


def test_the_command_refuses_before_it_starts_anything(fpt, tmp_path):
    answer = fpt("up", "--host", "0.0.0.0", home=tmp_path / "home")
    assert answer.code == 2
    assert AUTH in answer.err
    assert not (tmp_path / "home" / "logs").exists()


def test_a_taken_port_is_refused_and_another_is_found():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RefusedError, match=str(port)):
            free_port("127.0.0.1", port)
    assert free_port("127.0.0.1", None) > 0


def test_nothing_up_is_said(fpt, tmp_path):
    home = Home.at(tmp_path / "home")
    with pytest.raises(RefusedError, match="not running"):
        read_served(home)
    answer = fpt("up", "--check", "--json", home=home.root)
    assert answer.code == 1
    assert [(row["check"], row["state"]) for row in answer.rows] == [("up", "bad")]


def test_each_pool_of_a_deployment_gets_a_worker_here_and_no_other(tmp_path):
    pools = {"own": {}, "machines": {}}
    content = {"pools": pools, "deployments": [{"name": "x", "work_pool": {"name": "own"}}]}
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump(content))
    assert up._pools(read_table(tmp_path)) == ["own"]
    here = up._pools(read_table(ROOT))
    assert "cpu" in here
    assert "machines" not in here
