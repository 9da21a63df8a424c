"""One training on several processes: the loss of one, whoever dies or is told to stop."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

import fpt_model
from fpt_model.engines.distributed import limits, shares
from fpt_model.engines.distributed.shares import Shares
from fpt_model.errors import ModelError
from fpt_model.files.checkpoints import read
from fpt_model.files.written import read_written
from fpt_model.training.launch import LOST, _status
from fpt_model.variants import resolve_any

CPU = torch.device("cpu")
KNN = resolve_any("item_knn", "paper", {})
# With the same draws only rounding differs, in the order in which gradients are added. Adam
# divides by their size, so that a weight whose gradient is nearly 0 differs by more.
LOSS, WEIGHT = 1e-5, 1e-3


@pytest.fixture
def start(loaded):
    """Start a command, or another one's code; whatever is left of it is killed at the end."""
    started = []

    def go(*words: str, code: Path | None = None, first: str = "", **environment: str):
        environment = {"OMP_NUM_THREADS": "1"} | environment
        if code is None:
            process = loaded.start(*words, first=first, **environment)
        else:
            process = subprocess.Popen(
                [sys.executable, "-m", "fpt_model", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | environment,
                cwd=code,  # comes before all other
            )
        started.append(process)
        return process

    yield go
    for process in started:
        for own in family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(own, signal.SIGKILL)
        process.wait()


@pytest.fixture
def start_ranks(start):
    """Start a command's processes themselves, without its launcher; the first one leads."""

    def go(words: list[str], world: int, first: str = "") -> list:
        met = where_they_meet(world)
        return [start(*words, first=first, RANK=str(rank), **met) for rank in range(world)]

    return go


def where_they_meet(world: int) -> dict[str, str]:
    """What torchrun tells so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def family(session: int) -> dict[int, int | None]:
    """Processes below one that live, each with its rank; launchers put workers in sessions."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (path / "stat").read_text().rsplit(")", 1)[1].split()
            if fields[0] != "Z":
                parents[int(path.name)] = int(fields[1])
    found: dict[int, int | None] = {}
    for process in parents:
        above: int | None = process
        while above is not None and above != session:
            above = parents.get(above)
        if above == session:
            found[process] = _rank(process)
    return found


def _rank(process: int) -> int | None:
    with suppress(OSError):
        for pair in Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
            if pair.startswith(b"RANK="):
                return int(pair[5:])
    return None


def ended(process) -> tuple[list[dict], str]:
    out, said = process.communicate()
    return [json.loads(line) for line in out.splitlines()], said


def all_ended(ranks) -> tuple[list[dict], str]:
    """What the first one said, as the others do."""
    (events, said), *others = map(ended, ranks)
    assert others == [([], "")] * len(others)
    assert {one.returncode for one in ranks[1:]} == {0}
    return events, said


def until_epochs(process, count: int) -> None:
    for line in process.stdout:
        count -= json.loads(line)["event"] == "epoch"
        if not count:
            return
    pytest.fail(ended(process)[1])


def losses(folder: Path) -> list[float]:
    lines = (folder / "epochs.jsonl").read_text().splitlines()
    return [json.loads(line)["train_loss"] for line in lines]


def several(words: list[str], processes: int) -> list[str]:
    at = words.index("--device")
    return [*words[:at], *words[at + 2 :], "--cpu-processes", str(processes)]


# the last step of an epoch has one user, so that one rank has none
SETTINGS = {
    "dropout": 0.3,
    "sse_user": 0.5,
    "sse_item": 0.2,
    "group_refresh": 1,
    "batch_size": 5,
    "learning_rate": 0.003,
}


@pytest.fixture
def alone_and_by_two(learnable, tmp_path, start_ranks, run_command, train_words):
    """Train in one process and in two, which have the same losses; both folders."""

    def train(settings) -> tuple[Path, Path]:
        alone, both = tmp_path / "alone", tmp_path / "both"
        words = train_words(learnable, alone, **settings)
        assert run_command(*words, "--engine", "distributed").code == 0
        words = several(train_words(learnable, both, **settings), 2)
        events, said = all_ended(start_ranks(words, 2))
        assert (events[-1]["event"], said) == ("done", "")
        assert losses(both) == pytest.approx(losses(alone), rel=LOSS)
        return alone, both

    return train


def weights_of(folder: Path) -> dict:
    return read(folder / "best.safetensors").tensors


def test_two_ranks_follow_the_loss_of_one(alone_and_by_two):
    one, other = map(weights_of, alone_and_by_two(SETTINGS))
    for name, value in one.items():
        if not name.endswith("key.bias"):  # no score depends on it: its gradient is rounding
            torch.testing.assert_close(other[name], value, rtol=0, atol=WEIGHT)


MODERN = {"schedule": "cosine", "warmup": 0.5, "weight_decay": 0.1, "smoothing": 0.1}
SAMPLED = {"loss": "sampled_softmax", "negatives": 20, "exclude_seen": True, "genre_width": 2}


@pytest.mark.slow
def test_two_ranks_with_half_of_the_items_each_follow_the_loss_of_one(alone_and_by_two):
    """Averaged weights go to the ranks and back at each validation; the same ranks come of it."""
    settings = SETTINGS | SAMPLED | {"ema_decay": 0.5, "model": "tisasrec"}
    alone, both = alone_and_by_two(settings)
    one, other = map(weights_of, (alone, both))
    assert one.keys() == other.keys()
    torch.testing.assert_close(other["items.weight"], one["items.weight"], rtol=0, atol=WEIGHT)
    lines = [(folder / "epochs.jsonl").read_text().splitlines() for folder in (alone, both)]
    figures = [[json.loads(line)["valid_ndcg_10"] for line in own] for own in lines]
    assert figures[0] == pytest.approx(figures[1])


@pytest.mark.slow
@pytest.mark.parametrize("settings", [
    {"model": "hstu", "loss": "softmax", "windows": "random", "exclude_seen": True, **MODERN},
    {"model": "sasrec", "loss": "gbce", "negatives": 5},
    {"model": "sas_fpt", "refit": True, "ema_decay": 0.5, "windows": "random", "dropout": 0.0},
    # somebody is ranked without training, by the encoder on the CPU
    {"model": "sas_fpt", "refit": True, **SAMPLED, "schedule": "linear", "weight_decay": 0.1},
])  # fmt: skip
def test_other_settings_follow_as_well(settings, alone_and_by_two):
    alone_and_by_two(settings)  # asserts it


def test_without_chance_it_is_the_reference(learnable, tmp_path, run_command, train_words):
    """On one rank, where nothing is drawn but negatives: none, with a softmax."""
    settings = {"dropout": 0.0, "loss": "softmax", "group_weight": 0.0}
    for engine in ("reference", "distributed"):
        words = train_words(learnable, tmp_path / engine, **settings)
        assert run_command(*words, "--engine", engine).code == 0
    plain, own = losses(tmp_path / "reference"), losses(tmp_path / "distributed")
    assert own == pytest.approx(plain, rel=LOSS)


@pytest.mark.slow
def test_a_killed_rank_ends_all_and_the_training_goes_on(
    learnable, tmp_path, start, start_ranks, run_command, train_words
):
    """Stopped, gone on with, a rank killed, and ended by three: the losses of one.

    Some 15 epochs fill the pipe that nobody reads: so it is never over too early.
    """
    settings = {"epochs": 40, "validate_every": 10, "patience": 40, "learning_rate": 1e-4}
    folder = tmp_path / "run"
    words = train_words(learnable, folder, "sasrec", **settings)

    # stopped: it keeps a checkpoint
    process = start(*several(words, 2))
    until_epochs(process, 3)
    process.send_signal(signal.SIGTERM)
    events, said = ended(process)
    assert (process.returncode, events[-1]["event"], said) == (143, "interrupted", "")
    assert list(folder.glob("checkpoint-*.safetensors"))

    # a rank that does not lead is killed
    process = start(*several(words, 2))
    until_epochs(process, 2)
    ranks = {rank: own for own, rank in family(process.pid).items()}
    began = time.monotonic()
    os.kill(ranks[1], signal.SIGKILL)
    events, said = ended(process)
    assert process.returncode == 2
    assert time.monotonic() - began < 20
    assert said == (
        "error: Process 1 of 2 (counted from 0) is gone, and the others with it: got SIGKILL. "
        "The same command goes on from the last checkpoint.\n"
    )
    assert not family(process.pid)

    # other ranks go on
    events, said = all_ended(start_ranks(several(words, 3), 3))
    assert [event["event"] for event in events if event["event"] in ("resumed", "done")] == [
        "resumed",
        "done",
    ]
    assert said == ""
    other = tmp_path / "alone"
    words = train_words(learnable, other, "sasrec", **settings)
    assert run_command(*words, "--engine", "distributed").code == 0
    assert losses(folder) == pytest.approx(losses(other), rel=LOSS)
    evaluated = [
        run_command("evaluate", "--sequences", learnable, "--run", one, "--device", "cpu").code
        for one in (folder, other)
    ]
    assert evaluated == [0, 0]
    tables = [read_written(one / "ranks.parquet", made_by="it")[0] for one in (folder, other)]
    assert tables[0].drop_columns(["rank"]).equals(tables[1].drop_columns(["rank"]))


@pytest.mark.slow
def test_a_cut_table_goes_on_with_another_number_of_ranks(
    learnable, tmp_path, start_ranks, held_after, run_command, train_words
):
    """In the middle of an epoch, when some rows have not been looked up for a while."""
    settings = {"epochs": 9, "patience": 9, "learning_rate": 1e-4, "batch_size": 4, "l2": 0.0}
    settings |= SAMPLED | {"model": "tisasrec", "negatives": 3}
    folder, alone = tmp_path / "run", tmp_path / "alone"
    words = train_words(learnable, folder, **settings)
    for processes in (2, 3):
        ranks = start_ranks(several(words, processes), processes, held_after(3 * processes - 3))
        until_epochs(ranks[0], 3)
        ranks[0].send_signal(signal.SIGTERM)
        events, said = all_ended(ranks)
        assert (ranks[0].returncode, events[-1]["event"], said) == (143, "interrupted", "")
    answer = run_command(*words, "--engine", "distributed")
    assert [one["event"] for one in answer.events if one["event"] != "epoch"] == [
        "resumed", "start", "done"
    ]  # fmt: skip
    words = train_words(learnable, alone, **settings)
    assert run_command(*words, "--engine", "distributed").code == 0
    assert losses(folder) == pytest.approx(losses(alone), rel=LOSS)


@pytest.mark.slow
def test_ranks_that_have_some_items_each_rank_as_one_that_has_all(
    learnable, tmp_path, start_ranks, run_command, small_config
):
    config = small_config("tisasrec", **SAMPLED)
    row = {"sequences": str(learnable), "output": "run", "config": config.to_dict(), "seed": 0}
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": [row]}))
    words = ["train-all", "--jobs", str(tmp_path / "jobs.json"), "--engine", "distributed"]
    assert all_ended(start_ranks([*words, "--cpu-processes", "3"], 3))[1] == ""
    files = "ranks.parquet", "lists.parquet"
    ours = [read_written(tmp_path / "run" / name, made_by="it")[0] for name in files]
    words = ["evaluate", "--sequences", learnable, "--run", tmp_path / "run", "--device", "cpu"]
    assert run_command(*words).code == 0
    for name, own in zip(files, ours, strict=True):
        assert own.equals(read_written(tmp_path / "run" / name, made_by="it")[0])


@pytest.mark.slow
def test_a_killed_launcher_leaves_nobody_behind(learnable, tmp_path, start, train_words):
    settings = {"epochs": 3000, "validate_every": 1000}
    process = start(*several(train_words(learnable, tmp_path / "run", **settings), 2))
    until_epochs(process, 2)
    workers = [own for own, rank in family(process.pid).items() if rank is not None]
    assert len(workers) >= 2
    deadline = time.monotonic() + 15
    process.kill()
    process.stdout.read()  # else the first one waits for it; to the end of whoever writes
    assert time.monotonic() < deadline
    while any(alive(own) for own in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(own) for own in workers)
    assert list((tmp_path / "run").glob("checkpoint-*.safetensors"))


def alive(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


@pytest.mark.slow
def test_other_versions_on_another_rank_are_refused(learnable, tmp_path, start, train_words):
    source = tmp_path / "other"
    shutil.copytree(Path(fpt_model.__file__).parent, source / "fpt_model")
    with (source / "fpt_model" / "version.py").open("a") as file:
        file.write("# another\n")
    words, met = train_words(learnable, tmp_path / "run"), where_they_meet(2)
    here = start(*words, **met, RANK="0")
    there = start(*words, **met, RANK="1", code=source)
    _, said = ended(here)
    _, other = ended(there)
    assert (here.returncode, there.returncode, other) == (2, 2, "")
    assert said.count("\n") == 1
    assert "other versions: got code " in said
    assert "on rank 1, expected code " in said
    assert not (tmp_path / "run").exists()


def test_draws_of_a_user_do_not_depend_on_the_number_of_ranks():
    """Shares are cut alike, and ranks have them in a row."""
    drawn = []
    for world in (1, 2, 3, 8):
        chance, kept = [], []
        for rank in range(world):
            own = Shares(rank, world, CPU)
            users = own.begin(7, 11, 21)
            assert users.stop - users.start == sum(own.sizes)
            chance.append(own.uniform((sum(own.sizes), 2), CPU))
            kept.append(own.dropout(torch.ones(sum(own.sizes), 3, 4), 0.4, "inputs"))
            table = own.dropout(torch.ones(5, 4), 0.4, "blocks.0.key_intervals")
            assert table.unique().tolist() == pytest.approx([0, 1 / 0.6])
        drawn.append(torch.cat([torch.cat(chance).flatten(), torch.cat(kept).flatten()]))
        drawn[-1] = torch.cat([drawn[-1], table.flatten()])
    for other in drawn[1:]:
        assert other.equal(drawn[0])


def test_steps_seeds_and_shares_draw_apart():
    seen = set()
    for seed in range(3):
        for step in range(3):
            own = Shares(0, 1, CPU)
            own.begin(seed, step, 16)
            seen |= set(own.seeds)
    assert len(seen) == 3 * 3 * limits.SHARES
    assert shares.SHARES == limits.SHARES


@pytest.mark.parametrize(("more", "what"), [
    (["--gpus", "64"], "expected 64, for --gpus 64. Leave --gpus out to take"),
    (["--cpu-processes", "9"], "Too many processes for a batch: got 9, expected at most 8"),
    (["--cpu-processes", "4", "--set", "batch_size=3"], "got 4, expected at most 3"),
    (["--cpu-processes", "2", "--engine", "cpu"], "train one model by the distributed engine"),
    (["--cpu-processes", "2", "--model", "item_knn"], "train one model by the distributed engine"),
])  # fmt: skip
def test_what_can_not_be_is_refused_at_once(more, what, learnable, tmp_path, run_command):
    words = ["train", "--sequences", learnable, "--output", tmp_path / "run"]
    answer = run_command(*words, *more)
    assert answer.code == 2
    assert what in answer.stderr
    assert not (tmp_path / "run").exists()


def test_a_batch_smaller_than_the_ranks_is_refused_by_the_engine(small_config, monkeypatch):
    monkeypatch.setattr(limits, "world_size", lambda: 9)
    refusal = limits.refuses(small_config("sasrec"), CPU)
    assert refusal == (
        "batch_size 8 on 9 ranks, 9 ranks",
        "a user for each rank, at most 8",
    )


def test_the_cause_is_told_from_what_followed():
    assert _status({0: LOST, 1: 2}, 2) == 2
    with pytest.raises(ModelError, match=r"Process 1 of 3 .* got exit status 1"):
        _status({0: LOST, 1: 1, 2: LOST}, 3)
    with pytest.raises(ModelError, match=r"Process 2 of 3 .* got SIGKILL"):
        _status({0: LOST, 1: LOST, 2: -9}, 3)


@pytest.mark.slow
def test_all_trainings_of_a_file_in_turn(learnable, tmp_path, start, small_config):
    """A model without gradients too, which the first process fits alone."""
    configs = {"one": small_config("sasrec"), "two": small_config("tisasrec"), "simple": KNN}
    rows = [
        {"sequences": str(learnable), "output": name, "config": config.to_dict(), "seed": 0}
        for name, config in configs.items()
    ]
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": rows}))
    words = ["train-all", "--jobs", str(tmp_path / "jobs.json"), "--engine", "distributed"]
    process = start(*words, "--cpu-processes", "2")
    events, said = ended(process)
    assert (process.returncode, said) == (0, "")
    assert events[-1]["event"] == "finished"
    for name in configs:
        assert (tmp_path / name / "ranks.parquet").exists()
    engines = [event["engine"] for event in events if event["event"] == "start"]
    assert sorted(engines) == ["distributed", "distributed", "simple"]
