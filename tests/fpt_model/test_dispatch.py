"""Trainings in several processes: the same results as in one, whoever dies or is told to stop."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fpt_model import __main__ as command
from fpt_model import processes
from fpt_model.training import dispatch, worker
from fpt_model.training import jobs as jobs_module
from fpt_model.training.jobs import read_jobs
from fpt_model.training.places import Place
from fpt_model.training.sharing import Work
from fpt_model.variants import resolve_any

NAMES = [f"runs/{seed}" for seed in range(3)]
PROMISED_SECONDS = 5.0


@pytest.fixture
def jobs_file(learnable, small_config):
    """Three seeds of a small training; in a folder of its own if it is named."""

    def make(folder: str = ".", **settings) -> Path:
        config = small_config("sasrec", **{"epochs": 6} | settings).to_dict()
        rows = [
            {"sequences": str(learnable), "output": name, "config": config, "seed": seed}
            for seed, name in enumerate(NAMES)
        ]
        path = learnable.parent / folder / "jobs.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"jobs": rows}))
        return path

    return make


@pytest.fixture
def start(loaded):
    """Start `train-all` in processes; whatever is left of it is killed at the end.

    `anew`: Python loads everything, as when a user starts it.
    """
    started = []

    def go(jobs: Path, processes: int | None, *more: str, anew=False, first="", **environment: str):
        words = ["train-all", "--jobs", str(jobs), "--device", "cpu", *more]
        if processes:
            words += ["--threads", "1", "--cpu-processes", str(processes)]
        if not anew:
            return loaded.start(*words, first=first, **environment)
        process = subprocess.Popen(
            [sys.executable, "-m", "fpt_model", *words],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield go
    for process in started:
        if family(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def family(session: int) -> set[int]:
    """Processes of a session that live."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.add(int(path.name))
    return found


def gone(session: int, seconds: float = PROMISED_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while family(session) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not family(session)


def events_of(process) -> list[dict]:
    out, _ = process.communicate()
    return [json.loads(line) for line in out.splitlines()]


def until_epoch(process, run: str, epoch: int) -> None:
    for line in process.stdout:
        event = json.loads(line)
        if (event.get("run"), event.get("epoch")) == (run, epoch):
            return


def outcome(folder: Path) -> dict[str, bytes]:
    """Weights, ranks and lists of all, to the bit."""
    names = ("best.safetensors", "ranks.parquet", "lists.parquet")
    return {f"{run}/{name}": (folder / run / name).read_bytes() for run in NAMES for name in names}


def texts(events: list[dict]) -> list[str]:
    return [event["text"] for event in events if event["event"] == "place"]


@pytest.fixture
def alone(jobs_file, run_command):
    """What one process makes of the same jobs."""

    def train(**settings) -> dict[str, bytes]:
        jobs = jobs_file("alone", **settings)
        words = ("--jobs", jobs, "--device", "cpu", "--threads", 1)
        assert run_command("train-all", *words).code == 0
        return outcome(jobs.parent)

    return train


@pytest.mark.parametrize(
    ("processes", "threads", "places"), [(2, 1, 2), (None, 1, 1), (None, 2, 2)]
)
def test_several_processes_leave_what_one_leaves_and_tell_it_in_order(
    processes, threads, places, jobs_file, alone, start
):
    """As many as are asked for, or as the CPU has threads.

    Of three equal trainings two processes put one aside and end it later; one never does.
    """
    jobs = jobs_file()
    process = start(jobs, processes, anew=places > threads, OMP_NUM_THREADS=str(threads))
    events = events_of(process)
    assert process.returncode == 0, events
    told = {name: [e["event"] for e in events if e.get("run") == name] for name in NAMES}
    aside = [name for name in NAMES if "resumed" in told[name]]
    assert len(aside) == places - 1
    for name in NAMES:
        epochs = [e["epoch"] for e in events if e.get("run") == name and e["event"] == "epoch"]
        assert epochs == [1, 2, 3, 4, 5, 6]
        assert told[name][0] == "start"
        assert told[name][-2:] == ["done", "ranked"]
    assert events[-1]["event"] == "finished"
    assert (events[-1]["trainings"], events[-1]["failed"]) == (3, 0)
    assert events[-1]["device"] == ("2 x cpu" if processes else "cpu")
    assert outcome(jobs.parent) == alone()
    assert gone(process.pid)


@pytest.mark.parametrize(("engine", "together"), [("auto", True), ("reference", False)])
def test_what_depends_on_threads_is_not_side_by_side(
    engine, together, jobs_file, run_command, monkeypatch
):
    """The same training would end with other bits, by how many others there are left to do."""
    at = []
    monkeypatch.setattr(command, "_start_server", lambda _: True)
    monkeypatch.setattr(
        dispatch, "run_at", lambda places, *_: (at.append(len(places)), ({}, ""))[1]
    )
    monkeypatch.setattr(jobs_module, "run_jobs", lambda *_: (at.append(1), {})[1])
    words = ("--jobs", jobs_file(), "--device", "cpu", "--threads", 2, "--engine", engine)
    assert run_command("train-all", *words).code == 0
    assert at == [2 if together else 1]


def test_where_no_process_can_be_forked_one_trains_all(jobs_file, start, tmp_path):
    """The path of a socket has a hundred letters at most."""
    folder = tmp_path / ("f" * 100)
    folder.mkdir()
    process = start(jobs_file(epochs=1), None, OMP_NUM_THREADS="2", TMPDIR=str(folder))
    events = events_of(process)
    assert process.returncode == 0, events
    assert events[-1]["trainings"] == 3
    (text,) = texts(events)
    assert "path too long. Set TMPDIR" in text


def test_a_refusal_leaves_no_server_that_forks(run_command, monkeypatch, tmp_path):
    """It would hold the output open while it unloads its libraries."""
    ended = []
    monkeypatch.setattr(command, "_start_server", lambda _: True)
    monkeypatch.setattr(processes, "server", lambda: 7)
    monkeypatch.setattr(processes, "stop_server", ended.append)
    assert run_command("train-all", "--jobs", tmp_path / "none.json").code == 2
    assert ended == [7]


@pytest.mark.parametrize(
    ("engine", "simple", "device", "threads"),
    [
        ("auto", False, "cpu", 1),
        ("reference", False, "cpu", 3),
        ("auto", True, "cpu", 3),
        ("reference", False, "cuda", 1),
        ("auto", True, "cuda", 3),
    ],
)
def test_beside_others_it_takes_as_many_threads_as_alone(
    engine, simple, device, threads, jobs_file, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        jobs_module.Bench, "train", lambda *_: (seen.append(torch.get_num_threads()), {})[1]
    )
    monkeypatch.setattr(jobs_module.Bench, "compile", lambda *_: None)
    job = read_jobs(jobs_file())[0]
    job = replace(job, config=resolve_any("ease", "quick", {})) if simple else job
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        at = torch.device(device)
        worker._Worker(None, at, engine, worker.Threads(1, 2, 3))._train([job], [])
        assert seen == [threads]
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


PLACES = """
from fpt_model.training import places
from fpt_model.training.places import Place
places.places_of = lambda *_: [WHERE]
"""
NO_GPU = 'Place("GPU 7", "cuda", "7")'


def test_a_gpu_that_does_not_start_is_left_out_and_a_training_that_fails_is_named(jobs_file, start):
    path = jobs_file(epochs=1)
    jobs = read_jobs(path)
    jobs[1].output.mkdir(parents=True)
    (jobs[1].output / "order.json").write_text("{}")  # somebody else's
    places = f'Place("CPU process 0", "cpu"), {NO_GPU}'
    process = start(path, None, first=PLACES.replace("WHERE", places))
    events = events_of(process)
    assert process.returncode == 2
    assert [e["device"] for e in events if e["event"] == "finished"] == ["cpu"]
    (text,) = texts(events)
    assert text.startswith("GPU 7 is not used: ")
    assert "\n" not in text
    (failed,) = [e for e in events if e["event"] == "failed"]
    assert failed["run"] == NAMES[1]
    assert "belongs to another training" in failed["message"]
    assert events[-1]["message"].startswith(
        f"1 of 3 trainings failed; the others are finished: got {NAMES[1]}: "
    )
    assert jobs[0].ranks.exists()
    assert jobs[2].ranks.exists()


def test_if_no_place_works_that_is_an_error_in_one_line(jobs_file, start):
    places = PLACES.replace("WHERE", f"{NO_GPU}, {NO_GPU}")
    process = start(jobs_file(), None, "--engine", "reference", first=places)
    (*_, last) = events_of(process)
    assert process.returncode == 2
    assert re.match(r"No place to train at works: got GPU 7: .+; GPU 7: ", last["message"])
    assert gone(process.pid)


@pytest.fixture
def crew(jobs_file):
    """A crew of two GPUs of unlike memory, without processes; and what it tells."""
    events: list[dict] = []
    made = dispatch._Crew(
        [read_jobs(jobs_file())], events.append, ("auto", worker.Threads(1, 1, 1))
    )
    made.waiting = []
    for number, memory in enumerate((80, 141)):
        member = dispatch._Member(Place(f"GPU {number}", "cuda"), None, None, 2, "H", memory)
        made.members.append(member)
    return made, events


def test_all_that_are_idle_are_given_work_at_once(crew):
    made, _ = crew
    (jobs,) = made.groups
    made.waiting, made.ends = [Work((job,)) for job in jobs], {job.name: 0.5 for job in jobs}
    given = []
    for member in made.members:
        member.pipe = SimpleNamespace(
            send=lambda work, place=member.place.name: given.append((place, work[0][0].name))
        )
    for _ in range(2):
        made._hand_out()
        assert given == [("GPU 0", NAMES[0]), ("GPU 1", NAMES[1])]
    made._ended(made.members[1], {})
    made._hand_out()
    assert given[2:] == [("GPU 1", NAMES[2])]


def test_what_does_not_fit_a_gpu_goes_to_a_larger_one_and_fails_there(crew):
    made, events = crew
    small, large = made.members
    (jobs,) = made.groups
    full = dict.fromkeys([jobs[0].name], "OutOfMemoryError: CUDA out of memory")
    small.work = Work(tuple(jobs[:2]))
    made._ended(small, full)
    assert made.waiting == [Work((jobs[0],), above=80)]
    assert texts(events) == ["A training does not fit GPU 0: it goes to a larger GPU"]
    large.work = made.waiting.pop()
    made._ended(large, full)
    assert made.failures == full


@pytest.mark.slow
def test_a_process_that_is_killed_at_every_second_end_is_taken_over(jobs_file, alone, start):
    """By SIGKILL, before the weights are in their place; each process ends one training first."""
    jobs = jobs_file()
    process = start(jobs, 2, FPT_FAULT="before the rename to best.safetensors:kill:2")
    events = events_of(process)
    assert process.returncode == 0, events
    lines = texts(events)
    assert lines
    assert lines[0].startswith("The process of CPU process ")
    assert lines[0].endswith(
        " died (SIGKILL): 1 training goes on in another one, from the last checkpoint"
    )
    assert outcome(jobs.parent) == alone()
    assert gone(process.pid)


@pytest.mark.slow
def test_trainings_that_kill_each_process_fail_and_nothing_hangs(jobs_file, start):
    process = start(jobs_file(epochs=1), 2, FPT_FAULT="before the rename to best.safetensors:kill")
    events = events_of(process)
    assert process.returncode == 2
    assert events[-1]["message"].startswith("3 of 3 trainings failed")
    causes = {event["message"].partition(":")[0] for event in events if event["event"] == "failed"}
    assert causes <= {
        "3 processes died of it, the last one by SIGKILL",
        "no process was left to train it",
    }
    assert gone(process.pid)


@pytest.mark.slow
@pytest.mark.parametrize("everybody", [False, True])
def test_a_signal_ends_all_in_time_and_the_same_command_goes_on(
    everybody, jobs_file, alone, start, held_after
):
    """SIGTERM to the first process alone, and a Ctrl-C, which reaches every one."""
    long = {"epochs": 12, "validate_every": 12}  # its half is later than the signal
    jobs = jobs_file(**long)
    process = start(jobs, 2, first=held_after(3))
    until_epoch(process, NAMES[0], 3)
    began = time.monotonic()
    number = signal.SIGINT if everybody else signal.SIGTERM
    (os.killpg if everybody else os.kill)(process.pid, number)
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "interrupted":
            assert time.monotonic() - began < PROMISED_SECONDS
    assert event == {
        "event": "interrupted",
        "message": f"interrupted by {number.name}",
    }
    assert process.wait() == 128 + number
    assert gone(process.pid)
    begun = [name for name in NAMES if list((jobs.parent / name).glob("checkpoint-*"))]
    assert NAMES[0] in begun
    again = start(jobs, 2)
    resumed = {event["run"] for event in events_of(again) if event["event"] == "resumed"}
    assert set(begun) <= resumed
    assert outcome(jobs.parent) == alone(**long)


@pytest.mark.slow
def test_nothing_is_left_of_a_command_that_is_killed(jobs_file, start, held_after):
    process = start(jobs_file(epochs=12, validate_every=12), 2, first=held_after(2))
    until_epoch(process, NAMES[0], 2)
    process.kill()
    assert gone(process.pid, 30.0)
