"""Many trainings of one flow: one process, a task run each, nothing lost when some of it fails."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from flows.run import export
from flows.train import train
from fpt_model.config import resolve
from tasks import progress
from tasks.trainings import Training
from warehouse.errors import RefusedError, StepError
from warehouse.home import Home
from warehouse.preparing import known_snapshot

MODELS = ("sasrec", "tisasrec")
ASKED = {(model, seed) for model in MODELS for seed in range(2)}


@pytest.fixture
def snapshot_id(copy) -> str:
    """The prepared data of `copy`, where SASRec with seed 0 is published."""
    (path,) = (copy / "sequences").glob("*.parquet")
    return path.stem.removeprefix("sequences-")


@pytest.fixture
def forked(forks, monkeypatch):
    """The program that trains is forked from a process that has loaded PyTorch."""
    forks.start()
    monkeypatch.setattr(sys, "executable", str(forks.bin / "python"))


@pytest.fixture
def train_here(prefect, copy, snapshot_id, reports):
    """Two models with two seeds each."""
    return lambda: train(snapshot_id, MODELS, seeds=2, home=copy)


class Reports:
    """What the terminal would be told; may kill the training when it hears of a step."""

    def __init__(self) -> None:
        self.steps: dict[str, tuple[float, float | None, str]] = {}
        self.notes: list[str] = []
        self.kill_at = ""

    def report(self, step: str, done: float, total: float | None, note: str) -> None:
        self.steps[step] = (done, total, note)
        if self.kill_at and step == self.kill_at and done % 1 > 0.3:
            self.kill_at = ""
            os.kill(training_process(), signal.SIGKILL)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def reports(monkeypatch) -> Reports:
    kept = Reports()
    monkeypatch.setattr(progress, "_reporter", kept)
    return kept


def training_process() -> int:
    """The child of this process that trains."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_text()
            parent = (path / "stat").read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if "train-all" in words and int(parent) == os.getpid():
            return int(path.name)
    raise AssertionError("nothing trains")


def published(home: Path) -> set[tuple[str, int]]:
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT model, seed FROM mart.training_runs").fetchall()
    return set(rows)


def folders(home: Path) -> dict[tuple[str, int], Path]:
    """Finished run folders by model and seed."""
    records = {path.parent: json.loads(path.read_text()) for path in home.glob("runs/*/run.json")}
    return {(one["config"]["model"], one["seed"]): folder for folder, one in records.items()}


def task_states(of: str) -> dict[str, str]:
    """Of the newest flow run, the final state of each task whose name begins so."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import FlowRunSort

    async def ask() -> dict[str, str]:
        async with get_client() as client:
            (run,) = await client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
            return {
                task.name: task.state_name
                for task in await client.read_task_runs()
                if task.flow_run_id == run.id and task.name.startswith(of)
            }

    return asyncio.run(ask())


def progress_artifacts() -> dict[str, float]:
    """Description and percentage of every progress artifact."""
    from prefect.client.orchestration import get_client

    async def ask() -> dict[str, float]:
        async with get_client() as client:
            found = await client.read_artifacts()
        return {one.description: one.data for one in found if one.type == "progress"}

    return asyncio.run(ask())


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_models_and_seeds_train_in_one_process_and_a_second_time_nothing_is_done(
    train_here, copy, reports
):
    ids = train_here()
    assert len(set(ids)) == 4
    assert published(copy) == ASKED | {("sas_fpt", 0)}
    assert any(note.startswith("3 trainings took ") for note in reports.notes)
    assert reports.steps["train sasrec cold-start"][:2] == (1, 1)
    assert reports.steps["train tisasrec cold-start"][:2] == (2, 2)
    names = {f"collect {model} cold-start seed {seed}" for model, seed in ASKED - {("sasrec", 0)}}
    assert task_states("collect") == dict.fromkeys(names, "Completed")
    for model, seed in ASKED - {("sasrec", 0)}:
        name = f"{model} cold-start seed {seed}: best epoch "
        shown = [done for text, done in progress_artifacts().items() if text.startswith(name)]
        assert shown == [100]
    assert not list((copy / "staging").iterdir())

    before = (copy / "published.duckdb").read_bytes()
    reports.notes.clear()
    assert train_here() == ids
    assert reports.notes == ["4 trainings: unchanged, published before"]
    assert task_states("collect") == task_states("train models") == {}
    assert (copy / "published.duckdb").read_bytes() == before


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_one_that_fails_is_named_and_the_others_are_not_trained_again(
    train_here, copy, snapshot_id, reports
):
    snapshot = known_snapshot(Home(copy), snapshot_id)
    bad = Training(snapshot, resolve("sasrec", "quick"), 1)
    folder = copy / "runs" / bad.run_id
    folder.mkdir()
    (folder / "order.json").write_text("{}")
    before = (copy / "published.duckdb").read_bytes()
    with pytest.raises(
        RefusedError, match=r"1 of 3 trainings failed.* sasrec cold-start seed 1: .*another tra"
    ):
        train_here()
    assert (copy / "published.duckdb").read_bytes() == before
    states = task_states("collect")
    assert {name for name, state in states.items() if state == "Failed"} == {f"collect {bad.name}"}
    assert len(states) == 3

    made = {one: path.stat().st_mtime_ns for one, path in folders(copy).items()}
    assert len(made) == 2 + 2
    shutil.rmtree(folder)
    train_here()
    assert published(copy) == ASKED | {("sas_fpt", 0)}
    assert any(note.startswith("1 training took") for note in reports.notes)
    again = {one: path.stat().st_mtime_ns for one, path in folders(copy).items()}
    assert {one: again[one] for one in made} == made


@pytest.mark.slow
def test_a_kill_costs_little_and_changes_nothing(train_here, copy, copy_home, reports, tmp_path):
    undisturbed = copy_home(copy, tmp_path / "undisturbed")
    reports.kill_at = "train tisasrec cold-start"
    with pytest.raises(RefusedError, match="exit code -9"):
        train_here()
    finished = set(folders(copy))
    assert {("sasrec", 0), ("sasrec", 1)} <= finished < ASKED | {("sas_fpt", 0)}
    train_here()
    log = (copy / "logs" / "training.log").read_text()
    assert "Traceback" not in log
    train(*snapshot_of(undisturbed), MODELS, seeds=2, home=undisturbed)
    whole, parts = folders(undisturbed), folders(copy)
    for one in ASKED:
        for name in ("best.safetensors", "ranks.parquet"):
            assert (parts[one] / name).read_bytes() == (whole[one] / name).read_bytes()


def snapshot_of(home: Path) -> list[str]:
    return [path.stem.removeprefix("sequences-") for path in home.glob("sequences/*.parquet")]


@pytest.mark.slow
def test_trainings_of_a_machine_without_the_pipeline_are_published(
    train_here, copy, archive, reports, tmp_path
):
    """The exported folder is all that it has, besides PyTorch and what reads the files."""
    there = tmp_path / "there"
    options = {"source": archive, "retentions": ["cold-start"], "models": MODELS, "seeds": 2}
    assert export(there, "ml-1m", home=copy, **options) == 3
    moved = there.rename(tmp_path / "moved")
    code = """
import runpy, sys
sys.modules |= dict.fromkeys(["prefect", "duckdb", "polars", "great_expectations"])
sys.argv = ["fpt_model", "train-all", "--jobs", "jobs.json", "--device", "cpu"]
runpy.run_module("fpt_model", run_name="__main__")
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=moved, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.copytree(moved / "runs", copy / "runs", dirs_exist_ok=True)
    reports.notes.clear()
    train_here()
    assert published(copy) == ASKED | {("sas_fpt", 0)}
    assert "3 trainings: trained before" in reports.notes
    assert task_states("train models") == {}


def test_a_folder_under_a_wrong_name_is_refused(prefect, copy, snapshot_id):
    other = Training(known_snapshot(Home(copy), snapshot_id), resolve("sasrec", "quick"), 1)
    shutil.copytree(folders(copy)["sasrec", 0], copy / "runs" / other.run_id)
    with pytest.raises(RefusedError, match=r"another training than sasrec .* seed 1"):
        train(snapshot_id, ("sasrec",), seeds=2, home=copy)


@pytest.mark.usefixtures("forked")
def test_more_gpus_than_there_are_are_refused_in_one_line(prefect, copy, snapshot_id):
    with pytest.raises(StepError, match=r"^Fewer GPUs .+: got 0 on device cpu, [^\n]+$"):
        train(snapshot_id, ("sasrec",), seeds=2, device="cpu", gpus=2, home=copy)


@pytest.mark.usefixtures("forked")
def test_all_gpus_on_each_training_are_refused_alike(prefect, copy, snapshot_id):
    with pytest.raises(StepError, match=r"^Fewer GPUs than asked for: got 0, expected 2[^\n]+$"):
        train(snapshot_id, ("sasrec",), seeds=2, device="cpu", gpus=2, together=True, home=copy)


def test_a_folder_with_other_things_in_it_is_not_written_to(prefect, copy, archive, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "fpt_model").mkdir()
    with pytest.raises(RefusedError, match="is in use"):
        export(tmp_path / "mine", "ml-1m", archive, ["cold-start"], home=copy)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["fpt_model"]
