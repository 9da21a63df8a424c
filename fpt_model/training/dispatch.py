"""Trainings in several processes, one a place. What one that dies leaves is taken over.

Results are those of one process, to the bit: who trains a seed, beside which others and after which
stops is of no effect on it.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from fpt_model.errors import InterruptedTrainingError, ModelError
from fpt_model.files.finished import RECORD
from fpt_model.processes import CONTEXT, start_server, stop_server
from fpt_model.training.expected import expected
from fpt_model.training.jobs import Job, groups_of
from fpt_model.training.places import Place
from fpt_model.training.run import Emit, Signals
from fpt_model.training.sharing import Work, in_line
from fpt_model.training.worker import ASIDE, BROKEN, ENDED, EVENT, READY, Threads, work

DEATHS = 3  # of processes, after which a training has failed
RESTARTS = 2  # of a place's process, between two works that it ends
GRACE_SECONDS = 10.0  # to keep checkpoints after a signal
LOOK_EVERY_SECONDS = 0.1  # for a signal
OUT_OF_MEMORY = "OutOfMemoryError"


def run_at(
    places: Sequence[Place],
    jobs: Sequence[Job],
    emit: Emit,
    engine: str = "auto",
    threads: int | None = None,
) -> tuple[dict[str, str], str]:
    """`run_jobs` at several places.

    Args:
        places: where; a process each.
        jobs: the trainings.
        emit: gets the events of `run_jobs`; and `place`, with a text for people, where one is not
            used or its process died.
        engine: as in `train`.
        threads: CPU threads of each process.

    Returns:
        What each failed job died of, by its name, in the order of the jobs; what the devices are
        called.

    Raises:
        ModelError: see `run_jobs`; no place works.
        InterruptedTrainingError: SIGTERM or SIGINT came; checkpoints were written.
    """
    groups = groups_of(jobs, torch.device(places[0].device), engine)
    whole = torch.get_num_threads()
    each = threads or max(1, whole // len(places))
    most = threads * len(places) if threads else whole
    with Signals() as signals:
        crew = _Crew(groups, emit, (engine, Threads(each, most, whole)))
        try:
            crew.run(places[: len(jobs)], signals)
        finally:
            crew.end()
    if signals.received is not None:
        raise InterruptedTrainingError(signals.received)
    failures = crew.failures
    return {job.name: failures[job.name] for job in jobs if job.name in failures}, crew.devices


@dataclass(eq=False)
class _Member:
    """The process of a place, and what it is at."""

    place: Place
    process: BaseProcess
    pipe: Connection
    restarts: int
    device: str = ""
    memory: int = 0
    work: Work | None = None
    ranked: set[str] = field(default_factory=set)
    is_alone: bool = False  # and knows it

    @property
    def left(self) -> tuple[Job, ...]:
        """Jobs of its work that it has not ended."""
        jobs = self.work.jobs if self.work else ()
        return tuple(job for job in jobs if job.name not in self.ranked)

    @property
    def is_idle(self) -> bool:
        return bool(self.device) and self.work is None


class _Crew:
    """The processes, and the work that waits."""

    def __init__(
        self, groups: Sequence[Sequence[Job]], emit: Emit, settings: tuple[str, Threads]
    ) -> None:
        self.groups, self.emit, self.settings = groups, emit, settings
        self.failures: dict[str, str] = {}
        self.members: list[_Member] = []
        self.waiting: list[Work] | None = None  # until the first place is ready
        self.ends: dict[str, float] = {}
        self.broken: list[str] = []
        self.server: int | None = None
        self.seen: dict[str, tuple[str, int]] = {}  # device and memory by the place's name

    @property
    def devices(self) -> str:
        """What is trained on, such as `2 x NVIDIA H200`."""
        count = Counter(device for device, _ in self.seen.values())
        return ", ".join(f"{n} x {name}" if n > 1 else name for name, n in count.items())

    def run(self, places: Sequence[Place], signals: Signals) -> None:
        """Until all is done, or a signal came."""
        start_server(places[0].device)
        for place in places:
            self._start(place, RESTARTS)
        while signals.received is None and self._is_at_work():
            pipes: dict[Any, _Member] = {one.pipe: one for one in self.members}
            for pipe in wait(list(pipes), LOOK_EVERY_SECONDS):
                self._hear(pipes[pipe])
            self._hand_out()

    def end(self) -> None:
        """Let those at work keep their checkpoints; then make all end."""
        busy: dict[Any, _Member] = {one.pipe: one for one in self.members if one.work}
        for member in busy.values():
            _signal(member.process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while busy and (seconds := deadline - time.monotonic()) > 0:
            for pipe in wait(list(busy), seconds):
                if self._is_through(pipe):
                    del busy[pipe]
        for member in self.members:
            member.process.kill()
            member.process.join()
        if self.server:
            stop_server(self.server)

    def _is_through(self, pipe: Any) -> bool:
        """Hear the last words of one that was told to stop; whether it has."""
        try:
            kind, *said = pipe.recv()
        except (EOFError, OSError):
            return True
        if kind == EVENT and said[0]["event"] != "failed":
            with suppress(OSError):  # nobody may listen any more
                self.emit(said[0])
        return kind in (ASIDE, ENDED)

    def _start(self, place: Place, restarts: int) -> None:
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=work, args=(place, theirs, *self.settings), daemon=True)
        process.start()
        theirs.close()  # so that its end is heard
        self.members.append(_Member(place, process, ours, restarts))

    def _is_at_work(self) -> bool:
        if not self.members:
            self._give_up()
        return self.waiting is None or bool(self.waiting) or any(one.work for one in self.members)

    def _give_up(self) -> None:
        """No process is left."""
        cause = "; ".join(self.broken)
        if self.waiting is None:
            raise ModelError("No place to train at works", got=cause)
        while self.waiting:
            self._fail(self.waiting.pop().jobs, f"no process was left to train it: {cause}")

    def _hear(self, member: _Member) -> None:
        try:
            kind, *said = member.pipe.recv()
        except (EOFError, OSError):
            self._died(member)
            return
        if kind == READY:
            self._ready(member, *said)
        elif kind == BROKEN:
            self._lose(member, said[0])
        elif kind == EVENT:
            self._pass_on(member, said[0])
        elif kind == ENDED:
            self._ended(member, said[0])
        elif kind == ASIDE:
            if member.left:
                self._line().append(replace(_work(member), jobs=member.left, until=1.0))
            member.work = None

    def _line(self) -> list[Work]:
        assert self.waiting is not None
        return self.waiting

    def _ready(self, member: _Member, device: str, memory: int, server: int) -> None:
        self.server = server
        member.device, member.memory = device, memory
        self.seen[member.place.name] = device, memory
        if self.waiting is None:
            jobs = [job for group in self.groups for job in group]
            known = expected(jobs, device)
            self.ends = {name: one.end for name, one in known.items()}
            finished = {job.name for job in jobs if (job.output / RECORD).exists()}
            costs = {name: known[name].cost * (name not in finished) for name in known}
            self.waiting = in_line(self.groups, lambda job: costs[job.name], len(self.members))
        if len(set(self.seen.values())) > 1 and all(one.device for one in self.members):
            kinds = [f"{name} {of} ({size / 1e9:.0f} GB)" for name, (of, size) in self.seen.items()]
            self._say(
                f"Unlike GPUs: {', '.join(kinds)}. What does not fit a smaller one goes to a "
                "larger one; last digits may depend on which of them trains"
            )

    def _pass_on(self, member: _Member, event: dict[str, Any]) -> None:
        if event["event"] == "failed":  # told when it is clear that nobody else can do it
            return
        if event["event"] == "ranked":
            member.ranked.add(event["run"])
        self.emit(event)

    def _ended(self, member: _Member, failures: dict[str, str]) -> None:
        done = _work(member)
        member.work, member.restarts = None, RESTARTS
        for job in (job for job in done.jobs if job.name in failures):
            cause = failures[job.name]
            larger = any(one.memory > member.memory for one in self.members)
            if cause.startswith(OUT_OF_MEMORY) and larger:
                self._say(f"A training does not fit {member.place.name}: it goes to a larger GPU")
                self._line().append(Work((job,), deaths=done.deaths, above=member.memory))
            else:
                self._fail([job], cause)

    def _died(self, member: _Member) -> None:
        member.process.join(1.0)
        code = member.process.exitcode
        how = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
        if not member.device:
            self._lose(member, f"its process died at its start, {how}")
            return
        self._take_over(member, how)
        if member.restarts:
            self.members.remove(member)
            self._start(member.place, member.restarts - 1)
        else:
            self._lose(member, f"its process died again and again, at last by {how}")

    def _take_over(self, member: _Member, how: str) -> None:
        """Put the work of a process that died back, at the front; apart, if it is not the first."""
        if member.work is None:
            return
        jobs, deaths = member.left, member.work.deaths + 1
        if deaths >= DEATHS:
            self._fail(jobs, f"{deaths} processes died of it, the last one by {how}")
            return
        many = "1 training goes" if len(jobs) == 1 else f"{len(jobs)} trainings go"
        self._say(
            f"The process of {member.place.name} died ({how}): {many} on in another one, "
            "from the last checkpoint"
        )
        parts = [jobs] if deaths == 1 else [(job,) for job in jobs]
        again = replace(member.work, until=1.0, deaths=deaths)
        self._line()[:0] = [replace(again, jobs=part) for part in parts if part]

    def _lose(self, member: _Member, why: str) -> None:
        member.process.join(1.0)
        self.members.remove(member)
        self.broken.append(f"{member.place.name}: {why}")
        self._say(f"{member.place.name} is not used: {why}")

    def _fail(self, jobs: Iterable[Job], cause: str) -> None:
        for job in jobs:
            self.failures[job.name] = cause
            self.emit({"event": "failed", "run": job.name, "message": cause})

    def _say(self, text: str) -> None:
        self.emit({"event": "place", "text": text})

    def _hand_out(self) -> None:
        """Give the idle what waits and may go to them; the last one at work gets all threads."""
        if not self.waiting:
            busy = [one for one in self.members if one.work]
            if self.waiting is not None and len(busy) == 1:
                self._let_alone(busy[0])
            return
        for member in [one for one in self.members if one.is_idle]:
            alone = not any(one.work for one in self.members)
            fitting = [one for one in self.waiting if one.above < member.memory or not one.above]
            if chosen := fitting or (self.waiting if alone else []):
                self._give(member, chosen[0])

    def _let_alone(self, member: _Member) -> None:
        """Tell one, once, that no other is at work nor will be."""
        if member.place.device == "cpu" and not member.is_alone:
            member.is_alone = True
            _signal(member.process, signal.SIGUSR1)

    def _give(self, member: _Member, given: Work) -> None:
        waiting = self._line()
        waiting.remove(given)
        member.work, member.ranked, member.is_alone = given, set(), False
        end = min(self.ends[job.name] for job in given.jobs)
        until = given.until * end if given.until < 1.0 else 2.0
        # what it may get afterwards, if all take turns
        ahead = [work.jobs[0] for work in waiting[len(self.members) - 1 :: len(self.members)]]
        with suppress(OSError):  # it has died, which will be heard
            member.pipe.send((given.jobs, until, ahead))


def _work(member: _Member) -> Work:
    assert member.work is not None
    return member.work


def _signal(process: BaseProcess, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid or 0, number)
