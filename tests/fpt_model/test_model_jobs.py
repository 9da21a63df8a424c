"""`train-all`: a file of trainings in one process, each as it would be on its own."""

import json
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from fpt_model.config import resolve
from fpt_model.engines.carry import FOLDER, LINES, MANAGER
from fpt_model.engines.precompile import Compiled
from fpt_model.files.kernels import Kept, write
from fpt_model.training import jobs as jobs_module
from fpt_model.training.jobs import read_jobs
from fpt_model.variants import resolve_any
from fpt_model.version import code_version

MODELS, SEEDS = ("sasrec", "sas_fpt"), (0, 3)
NAMES = [f"runs/{model}-{seed}" for model in MODELS for seed in SEEDS]


@pytest.fixture
def rows(small_config):
    """Two models with two seeds each, at small sizes."""

    def make(**settings) -> list[dict]:
        return [
            {
                "sequences": "sequences-abc.parquet",
                "output": f"runs/{model}-{seed}",
                "config": small_config(model, **{"epochs": 3} | settings).to_dict(),
                "seed": seed,
            }
            for model in MODELS
            for seed in SEEDS
        ]

    return make


@pytest.fixture
def write_jobs(learnable):
    """Write a jobs file beside the sequences; returns its path."""

    def write(rows: list[dict], **others: str) -> Path:
        path = learnable.parent / "jobs.json"
        path.write_text(json.dumps({"jobs": rows, **others}))
        return path

    return write


@pytest.fixture
def train_all(write_jobs, run_command):
    """Run `train-all` on rows, in this process."""

    def run(rows: list[dict], **others: str):
        words = ("--jobs", write_jobs(rows, **others), "--device", "cpu", "--threads", 1)
        return run_command("train-all", *words)

    return run


def outcome(folder: Path) -> dict[str, bytes]:
    """Weights and ranks, to the bit."""
    return {name: (folder / name).read_bytes() for name in ("best.safetensors", "ranks.parquet")}


def told(ended, name: str) -> list[str]:
    return [event["event"] for event in ended.events if event.get("run") == name]


def test_each_ends_as_it_would_in_a_process_of_its_own(
    learnable, rows, train_all, train_small, run_command, tmp_path
):
    ended = train_all(rows(), code_version=code_version())
    assert ended.code == 0, ended.stderr
    for name in NAMES:
        assert told(ended, name) == ["start", "epoch", "epoch", "epoch", "done", "ranked"]
        model, _, seed = Path(name).name.rpartition("-")
        alone = tmp_path / "alone" / model / seed
        assert train_small(learnable, alone, model, int(seed), epochs=3).code == 0
        run_command("evaluate", "--sequences", learnable, "--run", alone, "--device", "cpu")
        assert outcome(tmp_path / name) == outcome(alone)
    (finished,) = ended.of("finished")
    assert (finished["trainings"], finished["failed"], finished["device"]) == (4, 0, "cpu")
    assert finished["seconds"] > 0


def test_a_second_time_does_nothing(rows, train_all, tmp_path):
    train_all(rows())
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    ended = train_all(rows())
    assert ended.code == 0
    assert all(told(ended, name) == ["done", "ranked"] for name in NAMES)
    assert all(event["already"] for event in ended.of("done"))
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}


def test_ranks_that_are_not_whole_are_made_again(rows, train_all, tmp_path):
    train_all(rows())
    before = outcome(tmp_path / NAMES[0])
    (tmp_path / NAMES[0] / "ranks.parquet").write_bytes(b"half")
    assert train_all(rows()).code == 0
    assert outcome(tmp_path / NAMES[0]) == before


def test_a_training_that_fails_is_named_and_the_others_are_finished(rows, train_all, tmp_path):
    asked = rows()
    (tmp_path / NAMES[1]).mkdir(parents=True)
    (tmp_path / NAMES[1] / "order.json").write_text("{}")  # somebody else's
    asked[2]["sequences"] = "none.parquet"
    ended = train_all(asked)
    assert ended.code == 2
    (error,) = ended.of("error")
    assert error["message"].startswith("2 of 4 trainings failed; the others are finished: got ")
    assert f"{NAMES[1]}: {tmp_path / NAMES[1]} belongs to another training" in error["message"]
    assert f"{NAMES[2]}: No file {tmp_path / 'none.parquet'}" in error["message"]
    assert [event["run"] for event in ended.of("failed")] == [NAMES[1], NAMES[2]]
    for name in (NAMES[0], NAMES[3]):
        assert (tmp_path / name / "ranks.parquet").exists()


def test_a_group_that_fails_is_halved_until_the_culprit_is_alone(
    rows, train_all, tmp_path, monkeypatch
):
    """As the multiseed kernels would train them; here the encoder does, seed after seed."""
    together = []
    original = jobs_module.train_loaded

    def train_loaded(sequences, folders, *others):
        together.append(list(folders))
        if 7 in folders:
            raise RuntimeError("out of luck\nand more")
        return original(sequences, folders, *others)

    eight = jobs_module.ENGINES["cpu"]._replace(together=8)
    monkeypatch.setitem(jobs_module.ENGINES, "cpu", eight)
    monkeypatch.setattr(jobs_module, "train_loaded", train_loaded)
    first = rows()[0]
    seeds = (5, 6, 7, 8)
    ended = train_all([first | {"seed": seed, "output": f"runs/{seed}"} for seed in seeds])
    assert together == [[5, 6, 7, 8], [5, 6], [7, 8], [7], [8]]
    assert "runs/7: RuntimeError: out of luck." in ended.of("error")[0]["message"]
    assert "Traceback" in ended.stderr
    for seed in (5, 6, 8):
        assert (tmp_path / f"runs/{seed}/ranks.parquet").exists()


def test_settings_that_are_still_to_be_trained_are_compiled_ahead(rows, train_all, monkeypatch):
    asked, compiled = rows(), []

    def compile_ahead(configs, sequences, engine):
        compiled.append(sorted(config.model for config in configs))
        return Compiled(0, 0)

    monkeypatch.setattr(jobs_module, "compile_ahead", compile_ahead)
    train_all(asked[:1])
    train_all(asked)
    train_all(asked)
    assert compiled == [["sasrec"], ["sas_fpt", "sasrec"], []]


@pytest.mark.parametrize(
    ("compiled", "says"),
    [
        (0, "45 kernels: 45 found, 0 compiled"),
        (45, "45 kernels: 0 found, 45 compiled: for triton-.*, while kernels/ came with"),
    ],
)
def test_it_is_said_what_of_the_folder_of_kernels_was_of_use(
    compiled, says, rows, train_all, monkeypatch, tmp_path
):
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    kept = Kept("KEY", "k.json", {"k.json": b"{}", "k.cubin": b"1"})
    write(tmp_path / "kernels" / "triton-3.6.0-other", kept)
    monkeypatch.setattr(jobs_module, "compile_ahead", lambda *_: Compiled(45, compiled))
    for name in (FOLDER, MANAGER, LINES):  # the command sets them for its process
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    ended = train_all(rows()[:1], kernels="kernels")
    (event,) = ended.of("kernels")
    assert (event["kernels"], event["compiled"]) == (45, compiled)
    assert re.match(says, event["text"])
    assert train_all(rows()[:1], kernels=3).code == 2


def test_a_process_that_is_terminated_goes_on_where_it_was(
    rows, write_jobs, train_all, tmp_path, loaded, held_after
):
    asked = rows(epochs=4, validate_every=4)
    words = ["train-all", "--jobs", str(write_jobs(asked)), "--device", "cpu", "--threads", "1"]
    process = loaded.start(*words, first=held_after(2, SEEDS[1]))
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if (events[-1].get("run"), events[-1].get("epoch")) == (NAMES[1], 2):
            process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    assert events[-1] == {"event": "interrupted", "message": "interrupted by SIGTERM"}
    ended = train_all(asked)
    assert ended.code == 0
    assert told(ended, NAMES[0]) == ["done", "ranked"]
    assert told(ended, NAMES[1])[0] == "resumed"
    parts = [outcome(tmp_path / name) for name in NAMES]
    (tmp_path / "runs").rename(tmp_path / "before")
    train_all(asked)
    assert [outcome(tmp_path / name) for name in NAMES] == parts


def test_the_file_and_what_it_names_may_move_together(rows, write_jobs, tmp_path):
    path = write_jobs(rows())
    there = tmp_path / "elsewhere"
    there.mkdir()
    moved = path.rename(there / "jobs.json")
    job = read_jobs(moved)[0]
    assert job.sequences == there / "sequences-abc.parquet"
    assert job.output == there / NAMES[0]


def test_settings_may_be_those_of_a_preset_with_some_overridden(rows, write_jobs):
    short = {"model": "tisasrec", "preset": "paper", "epochs": 7}
    (job,) = read_jobs(write_jobs([rows()[0] | {"config": short}]))
    assert job.config == resolve("tisasrec", "paper", {"epochs": 7})


def change(**changes: object):
    return lambda rows: [rows[0] | changes, *rows[1:]]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (change(config={"preset": "paper"}), "jobs.json lists no jobs: got KeyError: 'model'"),
        (change(config={"model": "gpt", "preset": "paper"}), "Unknown model: got 'gpt'"),
        (change(seed="a"), "lists no jobs: got ValueError"),
        (change(output=NAMES[1]), f"Jobs with the same output: got {NAMES[1]} and {NAMES[1]}"),
        (change(seed=3), f"Jobs with the same training: got {NAMES[0]} and {NAMES[1]}"),
        (lambda rows: 3, "lists no jobs: got TypeError"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_anything_is_trained(
    spoil, says, rows, train_all, tmp_path
):
    ended = train_all(spoil(rows()))
    assert ended.code == 2
    assert says in ended.of("error")[0]["message"]
    assert not (tmp_path / "runs").exists()


def test_a_file_for_another_version_of_the_code_is_refused(rows, train_all):
    (error,) = train_all(rows(), code_version="0123").of("error")
    assert error["message"].startswith("jobs.json is for another version of fpt_model: got version")
    assert "expected 0123" in error["message"]


def test_a_file_that_is_not_there_is_refused(run_command, tmp_path):
    (error,) = run_command("train-all", "--jobs", tmp_path / "none.json").events
    assert "none.json lists no jobs: got FileNotFoundError" in error["message"]


def test_a_simple_model_named_after_changed_ones_beside_it_is_read(tmp_path):
    """`fpt run --set epochs=2` calls it `quick epochs=2`, so that tables compare the two."""
    config = replace(resolve_any("recent_popularity", "quick"), preset="quick epochs=2")
    row = {"sequences": "s", "output": "o", "config": config.to_dict(), "seed": 0}
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": [row]}))
    (job,) = read_jobs(tmp_path / "jobs.json")
    assert job.config == config
