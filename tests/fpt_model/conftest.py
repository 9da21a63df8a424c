"""Small worlds for the models: histories as lists, files as the pipeline hands them over."""

import fcntl
import hashlib
import io
import itertools
import json
import math
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

from fpt_model.__main__ import main
from fpt_model.config import VARIANTS, Config, resolve
from fpt_model.data.sequences import SCHEMA, SequenceBatch, Sequences, load
from fpt_model.features import FEATURES
from fpt_model.model.encoder import Encoder
from fpt_model.model.intervals import interval_rows, scaled_intervals
from fpt_model.training import run as train_module

torch.set_num_threads(1)

TABLES = {feature.table for feature in FEATURES}
SMALL = {
    "item_width": 8,
    "max_length": 8,
    "batch_size": 8,
    "time_span": 16,
    "learning_rate": 0.01,
    "epochs": 2,
    "validate_every": 1,
}


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    events: list[dict[str, Any]]
    stderr: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]


@pytest.fixture(autouse=True)
def global_settings(monkeypatch):
    """The command sets these for its whole process; here other tests live in it."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(1)
    yield
    torch.set_deterministic_debug_mode("default")  # the other function imports the compiler


@pytest.fixture(scope="session", autouse=True)
def quick_interpreter():
    """Triton's interpreter (3.6) in a quarter of the time, without what it does in vain.

    Every call of a function within a kernel patches the language anew, every look at an element's
    type makes the table of types anew, a scan goes through all elements one by one, and sums of
    integers are checked for an assertion that only its debug mode makes.
    """
    interpreter = sys.modules.get("triton.runtime.interpreter")
    if interpreter is None:
        yield
        return
    language = sys.modules["triton.language"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter, "_patch_attr", called_at_once)
        # a launch patches what kernels call; this once, what the language's own functions call
        interpreter._patch_lang(language.sum.fn)
        patch.setattr(
            interpreter.InterpretedFunction,
            "__call__",
            lambda function, *words, **named: function.rewrite()(*words, **named),
        )
        patch.setattr(interpreter, "_get_np_dtype", kept_by_name(interpreter._get_np_dtype))
        options = interpreter.InterpreterOptions(sanitize_overflow=False)
        patch.setattr(interpreter.interpreter_builder, "options", options)
        patch.setattr(interpreter.ScanOps, "generic_scan", scan_by_rows)
        core = language.core
        patch.setattr(core.block_type, "__init__", known_blocks(core, core.block_type.__init__))
        patch.setattr(core.tensor, "__init__", known_shapes(core))
        semantic = type(interpreter.interpreter_semantic)
        for name, only_if in (
            ("broadcast_impl_value", alike),
            ("binary_op_type_checking_impl", alike_numbers(language)),
        ):
            patch.setattr(semantic, name, unless(only_if, getattr(semantic, name)))
        yield


def kept_by_name(numpy_type):
    """The same function of types, which have no hash, computed once for each element's type."""
    kept = {}

    def known(kind):
        name = kind.scalar.name
        if name not in kept:
            kept[name] = numpy_type(kind)
        return kept[name]

    return known


def called_at_once(owner, name, member, builder, *scope):
    """Give `owner` a function of the language that the interpreter runs, without its wrapper."""
    function = getattr(member, "__wrapped__", member)
    semantic = sys.modules["triton.runtime.interpreter"].interpreter_semantic

    def call(*words, **named):
        named["_semantic"] = semantic
        return function(*words, **named)

    put = scope[0].set_attr if scope else setattr  # later versions take it back after a launch
    put(owner, name, call)


def known_blocks(core, make):
    """A type of blocks: what is made of its shape is made once, and what a tensor of it tells."""
    kept, shapes = {}, {}

    def init(block, element_ty, shape):
        sizes = tuple(size.value if type(size) is core.constexpr else size for size in shape)
        key = type(element_ty), element_ty.name, sizes
        if key not in kept:
            make(block, element_ty, shape)
            shape = core.tuple([core.constexpr(size) for size in sizes])
            of_tensors = shapes.setdefault(sizes, (shape, core.constexpr(block.numel)))
            kept[key] = vars(block) | {"of_tensors": of_tensors}
        vars(block).update(kept[key], element_ty=element_ty)

    return init


def known_shapes(core):
    """A tensor, with the shape that its type knows."""
    of_scalars = core.tuple([]), core.constexpr(1)

    def init(tensor, handle, type):
        tensor.handle, tensor.type, tensor.dtype = handle, type, type.scalar
        tensor.shape, tensor.numel = type.of_tensors if type.is_block() else of_scalars

    return init


def unless(alike, change):
    """Two tensors as they are, where they are alike; else `change` makes them so."""

    def call(semantic, lhs, rhs, *words, **named):
        return (lhs, rhs) if alike(lhs, rhs) else change(semantic, lhs, rhs, *words, **named)

    return call


def alike(lhs, rhs) -> bool:
    """Whether two tensors have one shape."""
    return lhs.shape is rhs.shape  # what `known_blocks` keeps of it


def alike_numbers(language):
    """Whether two operands are tensors of one shape and one type, which stays as it is."""
    lasting = [language.float32, language.float64, language.int32, language.int64, language.int1]
    lasting = set(map(id, lasting))  # their own hashes take long

    def found(lhs, rhs) -> bool:
        if type(lhs) is not language.tensor or type(rhs) is not language.tensor:
            return False
        of = lhs.dtype
        return of is rhs.dtype and lhs.shape is rhs.shape and id(of) in lasting

    return found


def scan_by_rows(scan, inputs):
    """What `generic_scan` gives; all elements at once that have the same place on its axis."""
    sources = [np.moveaxis(tensor.handle.data, scan.axis, 0) for tensor in inputs]
    found, so_far = [np.empty_like(source) for source in sources], ()
    for place in range(len(sources[0])):
        row = [
            scan.to_tensor(source[place], tensor.dtype)
            for source, tensor in zip(sources, inputs, strict=True)
        ]
        so_far = scan.combine_fn.fn(*so_far, *row) if place else row
        for target, tensor in zip(found, so_far, strict=True):
            target[place] = tensor.handle.data.reshape(target[place].shape)
    return [
        scan.to_tensor(np.moveaxis(target, 0, scan.axis), tensor.dtype)
        for target, tensor in zip(found, inputs, strict=True)
    ]


@pytest.fixture(autouse=True)
def every_validation_is_saved(monkeypatch):
    """Small trainings are over before a checkpoint would be due."""
    monkeypatch.setattr(train_module, "SAVE_EVERY_SECONDS", 0)
    monkeypatch.setattr(train_module, "SAVES", float("inf"))


@pytest.fixture
def user():
    """One row of a sequences file, from a history."""

    def make(items: list[int], *, times: list[int] | None = None, **others: Any) -> dict:
        times = times or [1_000_000 + 60 * place for place in range(len(items))]
        n_train = len(items) - 2 if len(items) >= 3 else len(items)
        gaps = [b - a for a, b in itertools.pairwise(times) if b > a]
        row = {
            "item_ids": items,
            "timestamps": times,
            "weeks": [1 + (time // 604_800) % 52 for time in times],
            "ratings": [1 + (3 * item + place) % 10 for place, item in enumerate(items)],
            "n_train": n_train,
            "time_scale": min(gaps, default=1),
            "valid_candidates": [],
            "test_candidates": [],
        }
        return row | others

    return make


def genres_of(n_items: int) -> list[list[int]]:
    """None, or two of seven, of items from 1 on."""
    return [[1 + n % 4, 5 + n % 3] if n % 5 else [] for n in range(1, n_items + 1)]


@pytest.fixture
def write_sequences(tmp_path):
    """Write rows as a sequences file and its checksum; returns the path."""

    def write(
        rows: list[dict],
        n_items: int,
        *,
        name: str = "sequences-abc.parquet",
        genres: bool = False,
        **metadata: str,
    ) -> Path:
        numbered = [{"user_id": number} | row for number, row in enumerate(rows, start=1)]
        table = pa.Table.from_pylist(numbered, SCHEMA)
        facts = {"snapshot_id": "abc", "n_items": str(n_items)} | metadata
        if genres:
            said = {"names": list("abcdefg"), "items": genres_of(n_items)}
            facts["genres"] = json.dumps(said)
        path = tmp_path / name
        pq.write_table(table.replace_schema_metadata(facts), path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        Path(f"{path}.sha256").write_text(f"{sha256}  {path.name}\n")
        return path

    return write


@pytest.fixture
def make_sequences(write_sequences):
    """The tensors of rows, by way of the file."""

    def make(rows: list[dict], n_items: int) -> Sequences:
        return load(write_sequences(rows, n_items, genres=True))

    return make


@pytest.fixture
def learnable_rows(user):
    """26 users who mostly take item i + 1 after item i, of 30; two of them without held-out items.

    Their gaps reach from a minute to many days, so that every part of a model has work.
    """
    chance = random.Random(5)
    rows = []
    for _ in range(24):
        length, first = chance.randint(3, 12), chance.randint(1, 30)
        items = [(first + place - 1) % 30 + 1 for place in range(length)]
        times = [978_300_000 + chance.randint(0, 10**7)]
        times += [0] * (length - 1)
        for place in range(1, length):
            times[place] = times[place - 1] + 60 * chance.choice([0, 1, 2, 5, 300, 9000, 30_000])
        unseen = [item for item in range(1, 31) if item not in items]
        drawn = {
            f"{split}_candidates": chance.sample(unseen, min(15, len(unseen)))
            for split in ("valid", "test")
        }
        rows.append(user(items, times=times, **drawn))
    return [*rows, user([4, 9]), user([7])]


@pytest.fixture
def learnable(write_sequences, learnable_rows) -> Path:
    """The sequences file of `learnable_rows`."""
    return write_sequences(learnable_rows, 30, genres=True)


@pytest.fixture
def small_config():
    """A variant at small sizes; parts that it lacks stay away."""

    def make(model: str, **overrides: Any) -> Config:
        paper = resolve(model, "paper")
        sizes = SMALL | {name: 4 for name in ("week_width", "user_width") if getattr(paper, name)}
        return resolve(model, "paper", sizes | overrides)

    return make


@pytest.fixture
def encoder():
    """A model in float64 with random weights of a size at which everything matters."""

    def make(config: Config, *, n_items: int = 20, n_users: int = 5, edges=(24, 40, 80)) -> Encoder:
        torch.manual_seed(3)
        edges = edges[: config.overflow_rows]
        edges = torch.tensor(edges, dtype=torch.int64)
        genres = torch.tensor([one or [0, 0] for one in [[], *genres_of(n_items)]])
        model = Encoder(config, n_items, n_users, edges, {"genres": genres}).double()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                kept = parameter.clone()
                parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64) * 0.5)
                if name in TABLES:
                    parameter[0] = kept[0]
        return model.eval()

    return make


@pytest.fixture
def random_windows():
    """Windows of B users with at least `real` real places, by a seed."""

    def make(seed: int, *, batch: int = 3, length: int = 6, real: int = 1) -> SequenceBatch:
        g = torch.Generator().manual_seed(seed)

        def draw(high: int, *shape: int, low: int = 0) -> torch.Tensor:
            return torch.randint(low, high, shape, generator=g)

        padded = torch.arange(length) < draw(length - real + 1, batch, 1)
        items = draw(21, batch, length, low=1).masked_fill(padded, 0)
        times = draw(400, batch, length).cumsum(1).masked_fill(padded, 0)
        return SequenceBatch(
            items=items,
            times=times,
            query_times=times,
            weeks=draw(53, batch, length, low=1).masked_fill(padded, 0),
            users=draw(6, batch, low=1),
            scales=draw(20, batch, low=1),
            ratings=draw(11, batch, length, low=1).masked_fill(padded, 0),
            ends=(items > 0).sum(1),
            gaps=draw(32, batch, length, low=1).masked_fill(padded, 0),
            depths=draw(27, batch, length, low=1).masked_fill(padded, 0),
        )

    return make


@pytest.fixture
def pair_by_pair():
    """Features and weights as the papers write them, a loop over pairs."""

    def attend(model, windows: SequenceBatch, b: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of one user's n real places: (n, D), and (blocks, H, n) weights of the last place."""
        config = model.config
        width = config.width // config.heads
        places = [t for t in range(windows.items.shape[1]) if windows.items[b, t]]
        intervals = scaled_intervals(windows.query_times, windows.times, windows.scales)
        rows = interval_rows(intervals, config.time_span, model.edges)[b]
        first_position = config.max_length - windows.items.shape[1]
        parts = [model.items.weight[windows.items[b, places]]]
        if config.week_width:
            parts.append(model.weeks.weight[windows.weeks[b, places]])
        if config.user_width:
            parts.append(model.users.weight[windows.users[b]].expand(len(places), -1))
        if config.rating_width:
            parts.append(model.ratings.weight[windows.ratings[b, places]])
        if config.genre_width:
            genres = [model.genres_of_items[item] for item in windows.items[b, places]]
            parts.append(torch.stack([sum(model.genres.weight[one]) for one in genres]))
        if config.gap_width:
            parts.append(model.gaps.weight[windows.gaps[b, places]])
        if config.depth_width:
            parts.append(model.depths.weight[windows.depths[b, places]])
        x = torch.cat(parts, 1) * math.sqrt(config.width)
        if not config.intervals:
            x = x + torch.stack([model.positions[0][first_position + t] for t in places])
        latest = torch.zeros(config.blocks, config.heads, len(places), dtype=x.dtype)
        for number, block in enumerate(model.blocks):
            normal = block.norm_attention(x)
            q, k, v = block.query(normal), block.key(x), block.value(x)
            attended = torch.zeros_like(x)
            for i, at in enumerate(places):
                for h in range(config.heads):
                    part = slice(h * width, (h + 1) * width)
                    logits, values = [], []
                    for j, past in enumerate(places[: i + 1]):
                        key, value = k[j], v[j]
                        if config.intervals:
                            key = key + model.positions[0][first_position + past]
                            key = key + model.intervals[0][rows[at, past]]
                            value = value + model.positions[1][first_position + past]
                            value = value + model.intervals[1][rows[at, past]]
                        logits.append(q[i, part] @ key[part] / math.sqrt(width))
                        values.append(value[part])
                    latest[number, h, : i + 1] = torch.stack(logits).softmax(0)
                    attended[i, part] = latest[number, h, : i + 1] @ torch.stack(values)
            x = block.norm_pointwise(normal + attended)
            x = x + block.pointwise_2(F.relu(block.pointwise_1(x)))
        return model.norm(x), latest

    return attend


@pytest.fixture
def run_command(capsys):
    """Run `python -m fpt_model` in this process."""

    def run(*words: object) -> Ended:
        capsys.readouterr()
        code = main([str(word) for word in words])
        seen = capsys.readouterr()
        return Ended(code, [json.loads(line) for line in seen.out.splitlines()], seen.err)

    return run


@pytest.fixture
def train_words():
    """The words of a small training."""

    def words(path: Path, output: Path, model: str = "sas_fpt", **settings: object) -> list[str]:
        paper = resolve(model, "paper")
        sizes = SMALL | {name: 4 for name in ("week_width", "user_width") if getattr(paper, name)}
        sets = [f"--set={name}={value}" for name, value in (sizes | settings).items()]
        places = ["--sequences", str(path), "--output", str(output), "--model", model]
        return ["train", *places, "--preset", "paper", "--device", "cpu", "--threads", "1", *sets]

    return words


@pytest.fixture
def train_small(run_command, train_words):
    """Run a small training in this process."""

    def run(path: Path, output: Path, model: str = "sas_fpt", seed: int = 0, **sets: object):
        return run_command(*train_words(path, output, model, **sets), "--seed", seed)

    return run


HELD = """
import time
from fpt_model.training import run
from fpt_model.training.trainer import Trainer

step, note, told = Trainer.step, run.Signals._note, []

def noted(signals, number, frame):
    told.append(number)
    note(signals, number, frame)

def held(trainer):
    deadline = time.monotonic() + 120
    while trainer.progress.epoch == EPOCH and trainer.seed in SEEDS and not told:
        assert time.monotonic() < deadline, "nobody told it to end"
        time.sleep(0.01)
    step(trainer)

run.Signals._note, Trainer.step = noted, held
"""


@pytest.fixture(scope="session")
def held_after():
    """What a command runs first so that its trainings wait after an epoch, until a signal comes."""

    def code(epoch: int, *seeds: int) -> str:
        return HELD.replace("EPOCH", str(epoch)).replace("SEEDS", str(seeds or "range(9)"))

    return code


@pytest.fixture(scope="session")
def loaded_for_all() -> Iterator["Loaded"]:
    running = Loaded()
    yield running
    running.end()


@pytest.fixture
def loaded(loaded_for_all) -> Iterator["Loaded"]:
    """See `loaded.py`; what a test has started, and its session, is killed at its end."""
    yield loaded_for_all
    loaded_for_all.end_all()


class Loaded:
    """Starts commands of which it does not matter how long PyTorch takes to load."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self.started: list[Command] = []

    def end_all(self) -> None:
        """Kill what was started."""
        for command in self.started:
            with suppress(ProcessLookupError):
                os.killpg(command.pid, signal.SIGKILL)
            command.wait()
            command.close()
        self.started.clear()

    def end(self) -> None:
        if self.process is not None:
            self.requests.close()  # which ends it
            self.process.wait()

    def start(
        self,
        *words: str,
        script: Path | None = None,
        first: str = "",
        **environment: str,
    ) -> "Command":
        """Start `python -m fpt_model`, or a script, as the leader of a session.

        Args:
            words: after the name.
            script: its path.
            first: Python code that it runs before.
            environment: besides ours.
        """
        # kernels as a GPU has them
        own = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
        if self.process is None:  # the first that needs it
            self.requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                here = Path(__file__).with_name("loaded.py")
                self.process = subprocess.Popen(
                    [sys.executable, "-P", here, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    env=own,
                )
        asked = {
            "words": ["fpt_model", *words],
            "script": str(script or ""),
            "first": first,
            "environment": own | environment,
            "folder": str(Path.cwd()),
        }
        self.started.append(Command(self.requests, json.dumps(asked).encode()))
        return self.started[-1]


class Command:
    """A command that runs, as `subprocess.Popen` shows one.

    Who writes more than a page that nobody reads has to wait.
    """

    returncode: int | None = None

    def __init__(self, requests: socket.socket, asked: bytes) -> None:
        (told, tells), (out, says) = os.pipe(), os.pipe()
        fcntl.fcntl(says, fcntl.F_SETPIPE_SZ, 4096)
        self.stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - until it is closed
        socket.send_fds(requests, [asked], [tells, says, self.stderr.fileno()])
        for file in (tells, says):
            os.close(file)
        # without a buffer no more is taken from a pipe than is asked for
        self.stdout, self._told = io.FileIO(out), io.FileIO(told)
        self.pid = int(self._told.readline())

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a command", timeout or 0)
            self.returncode = int(self._told.readline())
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """All that it still says, and its errors; a test's own time limits how long."""
        out = self.stdout.read().decode()
        self.wait()
        self.stderr.seek(0)
        return out, self.stderr.read()

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        for file in (self.stdout, self.stderr, self._told):
            file.close()


def pytest_generate_tests(metafunc):
    """Every test that asks for `slug` runs for every variant, or for those its file names."""
    if "slug" in metafunc.fixturenames:
        metafunc.parametrize("slug", getattr(metafunc.module, "SLUGS", list(VARIANTS)))
