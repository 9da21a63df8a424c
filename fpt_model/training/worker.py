"""The process of one place: it trains what it is given, and tells of it, until its pipe closes."""

import gc
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NamedTuple

import torch

from fpt_model.deterministic import prepare
from fpt_model.engines.choose import device_name
from fpt_model.engines.cpu.threads import grant
from fpt_model.errors import InterruptedTrainingError, ModelError
from fpt_model.processes import end_with_parent
from fpt_model.simple.settings import SimpleConfig
from fpt_model.training.jobs import Bench, Job, shares_threads
from fpt_model.training.places import Place
from fpt_model.training.run import PUT_ASIDE

READY, BROKEN, EVENT, ENDED, ASIDE = "ready", "broken", "event", "ended", "aside"
FREE = 0.1  # of a GPU's memory; where others leave less, it is busy


class Threads(NamedTuple):
    """Of a CPU.

    Attributes:
        each: of every process.
        most: that one may take when no other is at work.
        whole: that a process of its own would take.
    """

    each: int
    most: int
    whole: int


def work(place: Place, pipe: Connection, engine: str, threads: Threads) -> None:
    """What the process does.

    It says `READY` with the device's name and memory and the server that forked it, or `BROKEN` and
    why. Then it gets jobs, the share of their epochs after which to put them aside, and jobs to
    compile for. It says `EVENT` with each event, and last `ENDED` with what failed, or `ASIDE` with
    checkpoints kept. SIGTERM puts aside what it is at. SIGUSR1 says that no other process is at
    work: on a CPU it takes most threads then. A Ctrl-C at the terminal is its parent's to pass
    on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, PUT_ASIDE):
        signal.signal(number, _stop)
    signal.signal(signal.SIGUSR1, lambda *_: grant(threads.most))
    end_with_parent()
    if place.visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.visible
    with suppress(InterruptedTrainingError, EOFError, BrokenPipeError, ConnectionResetError):
        prepare(threads.each)
        gc.freeze()  # as `train-all` does
        device = torch.device(place.device)
        try:
            name, memory = _started(device)
        except (RuntimeError, ModelError) as error:
            pipe.send((BROKEN, str(error).partition("\n")[0]))
            return
        pipe.send((READY, name, memory, os.getppid()))
        _Worker(pipe, device, engine, threads).work()


def _stop(number: int, _: FrameType | None) -> None:
    raise InterruptedTrainingError(number)


def _started(device: torch.device) -> tuple[str, int]:
    """The device's name and its memory in bytes, 0 for a CPU.

    Raises:
        RuntimeError: CUDA does not start on it.
        ModelError: others use its memory.
    """
    if device.type == "cpu":
        return device_name(device), 0
    torch.ones(1, device=device).sum().item()
    free, memory = torch.cuda.mem_get_info()
    if free < FREE * memory:
        raise ModelError(
            "others use its memory", got=f"{free / 1e9:.1f} of {memory / 1e9:.0f} GB free"
        )
    return device_name(device), memory


class _Worker:
    def __init__(
        self, pipe: Connection, device: torch.device, engine: str, threads: Threads
    ) -> None:
        self.pipe, self.device, self.threads = pipe, device, threads
        self.bench = Bench(device, self._tell, engine)
        self.until = 1.0

    def work(self) -> None:
        while True:
            jobs, self.until, ahead = self.pipe.recv()
            try:
                failures = self._train(jobs, ahead)
            except InterruptedTrainingError:
                grant(0)
                self.pipe.send((ASIDE,))
                continue
            grant(0)  # before it is told of: then the next work may come, and be alone as well
            if failures and not self._is_usable():
                os._exit(1)  # an error of CUDA that stays with the process
            self.pipe.send((ENDED, failures))

    def _train(self, jobs: Sequence[Job], ahead: Sequence[Job]) -> dict[str, str]:
        here = [job for job in ahead if job.sequences == jobs[0].sequences]
        self.bench.compile(jobs[0].sequences, [*jobs, *here])
        with self._as_alone(jobs[0]):
            return self.bench.train(jobs)

    @contextmanager
    def _as_alone(self, job: Job) -> Iterator[None]:
        """A training whose bits depend on the number of threads has those of a process alone."""
        on_cpu = self.device.type == "cpu" or isinstance(job.config, SimpleConfig)
        if not on_cpu or shares_threads(job, self.device, self.bench.engine):
            yield
            return
        torch.set_num_threads(self.threads.whole)
        try:
            yield
        finally:
            torch.set_num_threads(self.threads.each)

    def _tell(self, event: dict[str, Any]) -> None:
        self.pipe.send((EVENT, event))
        if event["event"] == "epoch" and event["share"] >= self.until:
            signal.raise_signal(PUT_ASIDE)  # noted, and heeded after the next step, if there is one

    def _is_usable(self) -> bool:
        try:
            if self.device.type == "cuda":
                torch.cuda.synchronize()
        except RuntimeError:
            return False
        return True
