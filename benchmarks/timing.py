"""What benchmarks of training share: clocks, the command's own settings, epochs of any engine."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import torch
from results import cpu, versions

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
# the modules that have had each of these: `before_after.py` times older checkouts, too
HOMES = {
    "resolve": ["fpt_model.config"],
    "load": ["fpt_model.data.sequences", "fpt_model.data"],
    "engine_of": ["fpt_model.engines.choose", "fpt_model.engines"],
    "trainers_of": ["fpt_model.training.trainer", "fpt_model.engines.choose", "fpt_model.engines"],
}
LARGE: dict[str, Any] = {  # long windows, full softmax
    "max_length": 200,
    "item_width": 128,
    "week_width": 32,
    "user_width": 32,
    "loss": "softmax",
    "blocks": 2,
    "batch_size": 128,
}
# SAS-FPT as the preset `best` had it at commit 9196cff: a figure that goes on as the preset changes
BEST: dict[str, Any] = LARGE | {
    "blocks": 3,
    "heads": 4,
    "dropout": 0.2,
    "sse_item": 0.1,
    "sse_user": 0.9,
    "exclude_seen": True,
    "rating_width": 16,
    "time_reference": "query",
    "windows": "random",
    "ema_decay": 0.9,
    "group_weight": 0.01,
    "group_pairs": 100,
    "epochs": 120,
    "patience": 6,
}
# four heads of 48, 52 and 56, by width: 52 halves are no multiple of 16 bytes
HEADS_ALIKE: dict[int, dict[str, Any]] = {
    width: LARGE | {"blocks": 3, "heads": 4, "item_width": width - 64} for width in (192, 208, 224)
}


def of_model(name: str) -> Any:
    """A function of fpt_model, wherever this version of it has it."""
    for home in HOMES[name]:
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(import_module(home), name)
    raise ImportError(f"{name} is in none of {', '.join(HOMES[name])}")


def load(path: Any, device: str = "cuda") -> Any:
    """The sequences of a file, on a device."""
    return of_model("load")(path).to(torch.device(device))


def facts(device: str = "cuda") -> dict[str, Any]:
    """Of a `results.Result`: the device and the packages that matter."""
    if device == "cpu":
        return {"device": cpu(), "versions": versions("torch", "numpy")}
    return {"device": torch.cuda.get_device_name(), "versions": versions("torch", "triton")}


def seconds(work: Callable[[], object], times: int = 1) -> list[float]:
    """Of each call; a GPU has nothing else to do before it, and has done it."""
    found = []
    for _ in range(times):
        _wait()
        began = time.perf_counter()
        work()
        _wait()
        found.append(time.perf_counter() - began)
    return found


def _wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


@contextlib.contextmanager
def as_our_command() -> Iterator[None]:
    """`python -m fpt_model` computes so; other code as published does not."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    yield
    torch.use_deterministic_algorithms(False)


class Trainings:
    """Trainings side by side, as `python -m fpt_model` has them, without validation.

    Attributes:
        engine: that trains them.
        steps: of an epoch; the last one is smaller.
        batches: of an epoch, the smaller one as a part of one.
    """

    def __init__(
        self,
        model: str,
        sequences: Any,
        settings: Mapping[str, Any] | None = None,
        seeds: int = 1,
        engine: str = "auto",
        preset: str = "paper",
    ) -> None:
        config = of_model("resolve")(model, preset, settings or {})
        self.engine = of_model("engine_of")(engine, config, sequences.n_train.device)
        self.members = of_model("trainers_of")(config, range(seeds), sequences, self.engine)
        self.steps = self.members[0].steps
        rows = getattr(self.members[0], "training", self.members[0]).rows
        self.batches = len(rows) / config.batch_size

    def to_the_end(self) -> None:
        """The rest of an epoch of all; a step of some engines is that."""
        for one in self.members:
            while one.progress.step < one.steps:
                one.step()

    def epoch(self) -> None:
        """One of all of them; the next may begin."""
        self.to_the_end()
        for one in self.members:
            one.progress.step, one.progress.epoch = 0, one.progress.epoch + 1

    def seconds(self, epochs: int = 1) -> list[float]:
        """Of whole epochs."""
        with as_our_command():
            return seconds(self.epoch, epochs)

    def seconds_of_steps(self) -> list[float]:
        """Of each step of an epoch, without the smaller last one, where a step is one."""
        (member,) = self.members
        with as_our_command():
            found = seconds(member.step, max(1, self.steps - 1))
        self.epoch()
        return found

    def list_kernels(self) -> None:
        """Of a step on a GPU: launches and microseconds, the longest first."""
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiled:
            self.seconds()
        for one in sorted(profiled.key_averages(), key=lambda one: -one.device_time_total):
            if one.device_time_total:
                took, count = one.device_time_total / self.batches, one.count / self.batches
                print(f"  {one.key[:90]:90} {count:5.1f} {took:8.1f} µs")
