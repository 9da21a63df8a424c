"""Interactions of the next steps on the device, those of all in the machine's memory.

The windows of a few steps are a part. A part's interactions are gathered and copied while the GPU
takes the steps of the part before, so it waits for nothing; kernels read them where they would read
all, at other places.

Letters: L interactions, M of a part, W windows of a part, B sequences a step.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from weakref import WeakSet

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.device_limit import limit
from fpt_model.data.sequences import Sequences
from fpt_model.engines.jagged.plan import Plan, Source
from fpt_model.features import token_inputs
from fpt_model.model.encoder import Encoder

FIRST, BEGIN = 0, 1  # rows of a plan's steps; see tokens.py
HALVES = 2  # one is read while the other is filled
BYTES = 4  # of a number of an interaction
MOST = 1 << 18  # interactions of a half: with more, less of their way is hidden


def room_of(config: Config) -> int:
    """Interactions of a half: as the limit allows, and at least those of one step."""
    least = config.batch_size * (config.max_length + 1)
    columns = len(token_inputs(config)) + 2  # and both times
    allowed = (limit() or 0) // (HALVES * columns * BYTES)
    return max(least, min(allowed, MOST))


@dataclass(frozen=True)
class Part:
    """Steps whose interactions are on the device together.

    Attributes:
        first, last: of the steps.
        starts, counts: (W,) where each window is in the data, and how many interactions it has,
            what comes next included.
    """

    first: int
    last: int
    starts: Tensor
    counts: Tensor

    def places(self) -> Tensor:
        """(M,) of its interactions in the data, one window after the other."""
        shift = self.starts - (self.counts.cumsum(0) - self.counts)
        return torch.arange(int(self.counts.sum())) + shift.repeat_interleave(self.counts)


class Ahead:
    """What steps read, as `Source` gives it, for the steps of one part after the other.

    Args:
        model: on the device.
        sequences: their histories in the machine's memory.
        room: interactions of a half; those of the longest step at least.

    Attributes:
        numbers, items, times, query_times, targets: as in `Source`, (2 · room,) int32.
    """

    def __init__(self, model: Encoder, sequences: Sequences, room: int) -> None:
        whole, self.room, self.device = Source(model, sequences), room, sequences.device
        self._columns: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        self.items = self._buffer(whole.items)
        self.times, self.query_times = self._buffer(whole.times), self._buffer(whole.query_times)
        self.targets = self.items[1:]
        # of each item, or of each interaction
        self.numbers = tuple(of if of.dim() > 1 else self._buffer(of) for of in whole.numbers)
        self._parts: list[Part] = []
        self._coming: dict[int, Future[None]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        _alive.add(self)
        there = self.device.type == "cuda"
        self._stream = torch.cuda.Stream(self.device) if there else None
        self._copied = [torch.cuda.Event() for _ in range(HALVES if there else 0)]
        self._read = [torch.cuda.Event() for _ in range(HALVES if there else 0)]

    def _buffer(self, column: Tensor) -> Tensor:
        """What stands on the device for a column (L,) in the machine's memory."""
        if id(column) not in self._columns:
            on_gpu = self.device.type == "cuda"
            staged = torch.zeros(HALVES * self.room, dtype=torch.int32, pin_memory=on_gpu)
            self._columns[id(column)] = column, staged, torch.zeros_like(staged, device=self.device)
        return self._columns[id(column)][2]

    def follow(self, plan: Plan) -> Plan:
        """Make ready for an epoch; returns its plan, windows where they will be on the device."""
        steps = plan.steps.clone()
        lengths, starts = steps[:, FIRST].diff().long(), steps[:, BEGIN, :-1].long()
        counts = torch.where(lengths > 0, lengths + 1, 0)  # (steps, B)
        before, self._parts, first = counts.sum(1).cumsum(0) - counts.sum(1), [], 0
        for last in _ends(counts.sum(1).tolist(), self.room):
            whole = slice(first, last + 1)
            half = len(self._parts) % HALVES * self.room
            place = before[whole, None] - before[first] + counts[whole].cumsum(1) - counts[whole]
            steps[whole, BEGIN, :-1] = (place + half).int()
            parts = starts[whole].flatten(), counts[whole].flatten()
            self._parts.append(Part(first, last, *parts))
            first = last + 1
        self.settle()
        self._coming.clear()
        self._fetch(0)
        return replace(plan, steps=steps)

    def settle(self) -> None:
        """Wait until nothing is being gathered."""
        for coming in self._coming.values():
            coming.result()

    @contextmanager
    def at_hand(self, step: int) -> Iterator[None]:
        """The interactions of a step are on the device, and those of the next part on their way."""
        number = next(n for n, part in enumerate(self._parts) if step <= part.last)
        if number not in self._coming:  # where a training is resumed
            self._fetch(number)
        if step == self._parts[number].first or number + 1 not in self._coming:
            self._coming[number].result()
            if self._stream:
                torch.cuda.current_stream().wait_event(self._copied[number % HALVES])
            if number + 1 < len(self._parts):
                self._fetch(number + 1)
        yield
        if self._stream and step == self._parts[number].last:
            self._read[number % HALVES].record()

    def _fetch(self, number: int) -> None:
        self._coming[number] = self._pool.submit(self._copy, number)

    def _copy(self, number: int) -> None:
        """Gather a part and send it on its way."""
        half, place = number % HALVES, self._parts[number].places()
        span = slice(half * self.room, half * self.room + len(place))
        if self._stream is None:
            for column, _, buffer in self._columns.values():
                buffer[span] = column[place]
            return
        self._copied[half].synchronize()  # what was staged there before is gone
        for column, staged, _ in self._columns.values():
            torch.index_select(column, 0, place, out=staged[span])
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._read[half])
            for _, staged, buffer in self._columns.values():
                buffer[span].copy_(staged[span], non_blocking=True)
            self._copied[half].record()


_alive: WeakSet[Ahead] = WeakSet()


def settle_all() -> None:
    """Wait until no training gathers anything."""
    for one in _alive:
        one.settle()


def _ends(counts: list[int], room: int) -> Iterator[int]:
    """The last step of each part.

    >>> list(_ends([3, 3, 3, 9, 1], room=9))
    [2, 3, 4]
    """
    taken = 0
    for step, count in enumerate(counts):
        if taken + count > room and step:
            yield step - 1
            taken = 0
        taken += count
    yield len(counts) - 1
