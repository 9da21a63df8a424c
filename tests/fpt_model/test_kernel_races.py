"""What a GPU may do at the same time touches no memory that one of them writes.

A step is run by the interpreter, which says what each program of each launch reads and writes, to
the byte. Its streams are only remembered: a launch comes after those that its stream has waited
for, as in a graph. What several add to (atomics of whole numbers) is the same in any order.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

pytest.importorskip("triton", reason="Triton has no build for this platform")

from triton.runtime import interpreter

from fpt_model.data.sequences import load
from fpt_model.engines.gpu.streams import SideStreams
from fpt_model.engines.jagged import backward, forward
from fpt_model.engines.jagged import state as jagged
from fpt_model.engines.multiseed import state as multiseed
from fpt_model.training.trainer import trainer_of

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="the interpreter is for CPUs")
KINDS = READ, WRITTEN, ADDED = "read", "written", "added"


class Stream:
    """A stream, by how many launches of each of them it comes after."""

    def __init__(self, number: int, count: int) -> None:
        self.number, self.clock = number, [0] * count

    def wait_stream(self, other: "Stream") -> None:
        self.clock = [max(pair) for pair in zip(self.clock, other.clock, strict=True)]


class Launch:
    """Addresses by kind, each with the program that touches it."""

    def __init__(self, name: str, stream: Stream) -> None:
        stream.clock[stream.number] += 1
        self.name, self.stream, self.clock = name, stream.number, list(stream.clock)
        self.touched: dict[str, list[Any]] = {kind: [] for kind in KINDS}
        self.found: dict[tuple[str, ...], Any] = {}

    def touch(self, kind: str, addresses: Any, program: int = 0) -> None:
        self.found.clear()
        of = np.full(addresses.size, program)
        self.touched[kind].append(np.stack([addresses.ravel().astype(np.int64), of]))

    def all(self, *kinds: str) -> Any:
        """(2, M): addresses and programs, ascending; it is asked for with each other launch."""
        if kinds not in self.found:
            self.found[kinds] = self._all(kinds)
        return self.found[kinds]

    def _all(self, kinds: tuple[str, ...]) -> Any:
        parts = [part for kind in kinds for part in self.touched[kind]]
        both = np.concatenate([np.zeros((2, 0), np.int64), *parts], 1)
        both = both[:, np.lexsort(both[::-1])]  # `np.unique` of pairs compares them one by one
        return both[:, np.diff(both, prepend=-1).any(0)]

    def before(self, later: "Launch") -> bool:
        return self.clock[self.stream] <= later.clock[self.stream]

    def meets(self, other: "Launch") -> bool:
        """Whether one writes what the other touches, or reads what the other adds to."""
        pairs = ((WRITTEN,), KINDS), (KINDS, (WRITTEN,)), ((READ,), (ADDED,)), ((ADDED,), (READ,))
        return any(has_common(self.all(*a)[0], other.all(*b)[0]) for a, b in pairs)

    def own_faults(self) -> int:
        """Addresses that a program writes and another one touches."""
        written, touched = self.all(WRITTEN), self.all(*KINDS)
        touched = touched[:, np.isin(touched[0], written[0])]
        return int((np.unique(touched[0], return_counts=True)[1] > 1).sum())


def has_common(some: Any, others: Any) -> bool:
    """Whether two rows of ascending addresses have one in common."""
    if not some.size or not others.size or some[-1] < others[0] or others[-1] < some[0]:
        return False
    place = np.searchsorted(others, some).clip(max=others.size - 1)
    return bool((others[place] == some).any())


class Recorded:
    """The launches of all that runs meanwhile."""

    def __init__(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.main, *self.sides = (Stream(number, count + 1) for number in range(count + 1))
        self.current, self.launches = self.main, list[Launch]()
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: self.current)
        monkeypatch.setattr(torch.cuda, "stream", self.on)
        self._note_kernels(monkeypatch)
        for module in (forward, backward):
            for name in ("multiply", "add_product"):
                monkeypatch.setattr(module, name, self._noting(getattr(module, name)))

    @contextmanager
    def on(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def _note_kernels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        memory, run = interpreter._interpreter, interpreter.InterpretedFunction.run

        def launch(kernel: Any, *args: Any, **options: Any) -> None:
            self.launches.append(Launch(kernel.fn.__name__, self.current))
            run(kernel, *args, **options)

        def touch(kind: str, pointers: Any, mask: Any) -> None:
            x, y, z = interpreter.interpreter_builder.grid_idx
            self.launches[-1].touch(kind, pointers[mask], (z << 20) + (y << 10) + x)

        def load(pointers: Any, mask: Any, *others: Any) -> Any:
            touch(READ, pointers, mask)
            return memory.load(pointers, mask, *others)

        def store(pointers: Any, values: Any, mask: Any) -> Any:
            touch(WRITTEN, pointers, mask)
            return memory.store(pointers, values, mask)

        def add(kind: Any, pointers: Any, values: Any, mask: Any, order: Any) -> Any:
            touch(ADDED, pointers, mask)
            return memory.atomic_rmw(kind, pointers, values, mask, order)

        noted = SimpleNamespace(**vars(memory) | {"load": load, "store": store, "atomic_rmw": add})
        monkeypatch.setattr(interpreter, "_interpreter", noted)
        monkeypatch.setattr(interpreter.InterpretedFunction, "run", launch)

    def _noting(self, product: Any) -> Any:
        def multiply(*args: Any) -> None:
            tensors = [one for one in args if isinstance(one, torch.Tensor)]
            written = tensors[-1] if product.__name__ == "multiply" else tensors[0]
            self.launches.append(Launch(product.__name__, self.current))
            for one in tensors:
                self.launches[-1].touch(WRITTEN if one is written else READ, addresses_of(one))
            product(*args)

        return multiply

    def faults(self) -> set[tuple[str, str]]:
        """Launches side by side that meet, and those whose own programs do."""
        found = {(one.name, "itself") for one in self.launches if one.own_faults()}
        for first, second in combinations(self.launches, 2):
            if not first.before(second) and first.meets(second):
                found.add((first.name, second.name))
        return found


def addresses_of(tensor: torch.Tensor) -> Any:
    """Of its elements."""
    found = np.array(tensor.data_ptr())
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        found = found[..., None] + np.arange(size) * stride * tensor.element_size()
    return found


@pytest.fixture
def recorded_step(learnable_rows, write_sequences, small_config, monkeypatch):
    """A step with these settings, recorded; of multiseed the two of an epoch."""

    def record(engine: str, model: str, **settings: Any) -> Recorded:
        monkeypatch.setattr(jagged, "HALF", torch.float32)
        monkeypatch.setattr(jagged, "ROUNDED", 128)
        monkeypatch.setattr(jagged, "SPLITS", 2)
        sequences = load(write_sequences(learnable_rows[:8], 30))
        config = small_config(model, **{"batch_size": 4, "dropout": 0.1} | settings)
        trainer = trainer_of(config, 3, sequences, engine)
        of = trainer.engine.group if engine == "multiseed" else trainer.engine
        recorded = Recorded(SIDES[engine], monkeypatch)
        of.kernels.streams.streams = recorded.sides
        trainer.step()
        return recorded

    return record


BEST = {"heads": 2, "loss": "softmax", "exclude_seen": True, "time_reference": "query"}
SIDES = {"jagged": len(jagged.SIDES), "multiseed": multiseed.SIDES}


@pytest.mark.parametrize(
    ("engine", "model", "settings"),
    [
        ("jagged", "sas_fpt", BEST),
        pytest.param("jagged", "sasrec", {"heads": 2, "loss": "bce"}, marks=pytest.mark.slow),
        pytest.param("jagged", "tisasrec", {"loss": "softmax"}, marks=pytest.mark.slow),
        pytest.param("multiseed", "sas_fpt", {"group_pairs": 8}, marks=pytest.mark.slow),
    ],
)
def test_what_runs_side_by_side_meets_nowhere(engine, model, settings, recorded_step):
    recorded = recorded_step(engine, model, **settings)
    assert len({one.stream for one in recorded.launches}) == SIDES[engine] + 1
    assert recorded.faults() == set()


@pytest.mark.slow
def test_a_stream_that_nobody_waits_for_is_found(recorded_step, monkeypatch):
    join = SideStreams.join_streams

    def forget(streams: SideStreams, *numbers: int) -> None:
        if numbers != (jagged.SHORT,):
            join(streams, *numbers)

    monkeypatch.setattr(SideStreams, "join_streams", forget)
    assert ("multiply", "weigh") in recorded_step("jagged", "sas_fpt", **BEST).faults()


def test_programs_that_write_over_each_other_are_found():
    launch = Launch("one", Stream(0, 1))
    launch.touch(WRITTEN, np.array([8, 16]), program=0)
    launch.touch(READ, np.array([16, 24]), program=1)
    launch.touch(ADDED, np.array([32]), program=0)
    launch.touch(ADDED, np.array([32]), program=1)
    assert launch.own_faults() == 1
