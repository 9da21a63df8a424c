"""What looks at a training from inside its loop: a clock; validation and the end of training.

A peer trains by its own loop or trainer, which calls a watch after each step and epoch. A watch
raises `Over` to end it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import torch
from peer import Peer, Row, Setting, ranked

from fpt_model.evaluation.metrics import ndcg

EVERY, PATIENCE = 2, 10  # epochs between validations; validations without a better one
ROUNDS, STEPS = 3, 12  # of a setting; of a round
SETTLE, WINDOW = 3, 3.0  # steps before a round; seconds of one at most


class Over(Exception):  # noqa: N818
    """The watch has seen enough."""


class Watch:
    """Looks at a training from inside its loop."""

    peer: Peer

    def begin_epoch(self) -> None:
        """An epoch begins."""

    def after_step(self) -> None:
        """An optimiser's step was made.

        Raises:
            Over: the training is to end.
        """

    def end_epoch(self) -> None:
        """An epoch ends; see `after_step`."""


def synchronise() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def settings_of(own: Setting, threads: Sequence[int]) -> list[Setting]:
    """As the peer has it; without determinism; with TF32 as well; that with other threads.

    >>> [one.words for one in settings_of(Setting(deterministic=True), [1])]
    ... # doctest: +NORMALIZE_WHITESPACE
    ['float32, deterministic, its threads', 'float32, its threads', 'TF32, its threads',
     'TF32, 1 thread']
    """
    found = [own, Setting(own.threads), Setting(own.threads, tf32=True)]
    found += [Setting(some, tf32=True) for some in threads]
    return list(dict.fromkeys(found))


class Clock(Watch):
    """Seconds a step under each of some settings, in turn.

    A round is a number of steps in a row; the device is waited for at its ends alone.

    Args:
        settings: to time.
        gate: called after the first step; returns when nothing else is on the machine.
        rounds, steps: of each setting; of a round.
    """

    def __init__(
        self,
        settings: Sequence[Setting],
        gate: Callable[[], object] = lambda: None,
        rounds: int = ROUNDS,
        steps: int = STEPS,
    ) -> None:
        self.gate, self.steps = gate, steps
        self.turns = [one for _ in range(rounds) for one in settings]
        self.seconds: dict[Setting, list[float]] = {one: [] for one in settings}
        self.done, self.began = -SETTLE - steps, 0.0  # the first steps of all fill queues
        self.turns[0].apply()

    def after_step(self) -> None:
        """See `Watch`."""
        if self.done == -SETTLE - self.steps:
            synchronise()
            self.gate()
        self.done += 1
        if self.done < 0:
            return
        if self.done == 0:
            synchronise()
            self.began = time.perf_counter()
        elif self.done == self.steps or time.perf_counter() - self.began > WINDOW:
            self._end_round()

    def _end_round(self) -> None:
        synchronise()
        took = time.perf_counter() - self.began
        self.seconds[self.turns.pop(0)].append(took / self.done)
        if not self.turns:
            raise Over
        self.turns[0].apply()
        self.done = -SETTLE

    def record(self) -> list[Row]:
        """Median milliseconds of each setting, in the order of settings."""
        return [
            asdict(one) | {"words": one.words, "ms": round(median(found) * 1e3, 3)}
            for one, found in self.seconds.items()
        ]


@dataclass
class Progress:
    """Of a training so far; seconds are those of its epochs, without validations."""

    epoch: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_ndcg: float = -1.0
    best_seconds: float = 0.0
    validated: list[tuple[int, float]] = field(default_factory=list)


class Training(Watch):
    """Validates, keeps the best weights, and ends the training.

    It ends where validation has not improved for `PATIENCE` validations, or when its time is up.
    A state is kept beside: the same call goes on from the last validation.

    Args:
        folder: for the state.
        until: seconds of `time.time`.
        validate: a peer's NDCG@10 on validation.
    """

    def __init__(self, folder: Path, until: float, validate: Callable[[Peer], float]) -> None:
        self.path, self.until, self.validate = folder / "state.pt", until, validate
        self.progress, self.best = Progress(), {}
        self.stopped_because = "epochs"
        self.loaded = False
        self.began = 0.0

    def begin_epoch(self) -> None:
        """See `Watch`."""
        if not self.loaded:
            self.loaded = True
            self._restore()
        synchronise()
        self.began = time.perf_counter()

    def end_epoch(self) -> None:
        """See `Watch`."""
        synchronise()
        progress = self.progress
        progress.seconds += time.perf_counter() - self.began
        progress.epoch += 1
        late = time.time() > self.until
        if progress.epoch % EVERY == 0 or late:
            self._validated(self.validate(self.peer))
        if progress.epoch - progress.best_epoch >= PATIENCE * EVERY:
            self._stop("patience")
        if late:
            self._stop("time")

    def _validated(self, found: float) -> None:
        progress = self.progress
        progress.validated.append((progress.epoch, found))
        if found > progress.best_ndcg:
            progress.best_ndcg, progress.best_epoch = found, progress.epoch
            progress.best_seconds = progress.seconds
            weights = self.peer.module.state_dict()
            self.best = {name: value.to("cpu", copy=True) for name, value in weights.items()}
        self._save()

    def _stop(self, why: str) -> None:
        self.stopped_because = why
        raise Over

    def _save(self) -> None:
        state = {"progress": asdict(self.progress), "best": self.best}
        state |= {"model": self.peer.module.state_dict()}
        state |= {"optimizer": self.peer.optimizer.state_dict()}
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)

    def _restore(self) -> None:
        if not self.path.exists():
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        self.progress, self.best = Progress(**state["progress"]), state["best"]
        self.peer.module.load_state_dict(state["model"])
        self.peer.optimizer.load_state_dict(state["optimizer"])


def sampled_ndcg(peer: Peer) -> float:
    """On validation, among 100 sampled items, by which our trainings choose their epoch, too."""
    return ndcg(ranked(peer, "valid", ("uniform_100",)).ranks["uniform_100"], 10)
