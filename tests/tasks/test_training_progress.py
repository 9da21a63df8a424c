"""What the events of trainings become: what a person must see is shown, and stays in the log."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from fpt_model.config import resolve
from fpt_model.simple.settings import resolve_simple
from tasks import progress, training
from tasks.training import _Progress
from tasks.trainings import Training
from warehouse.records import Snapshot


class Terminal:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[str, float, str]] = []

    def report(self, step: str, done: float, total: float | None, note: str) -> None:
        self.steps.append((step, done, note))

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    kept = Terminal()
    monkeypatch.setattr(progress, "_reporter", kept)
    return kept


@pytest.fixture
def log(monkeypatch) -> list[str]:
    """What `logs/fpt.log` would get."""
    kept: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: kept.append(f"{record.levelname} {record.getMessage()}")
    logger = logging.getLogger("prefect")
    logger.addHandler(handler)
    yield kept
    logger.removeHandler(handler)


def test_a_passed_over_checkpoint_reaches_the_terminal_and_the_log(terminal, log):
    snapshot = Snapshot("s", "l", "5-core", 1, 1, 1, 0, Path("x"), "0")
    follow = _Progress({"runs/1": Training(snapshot, resolve("sasrec", "quick"), 3)})
    text = "checkpoint-7.safetensors is damaged. Passed over: training begins anew."
    follow({"event": "note", "run": "runs/1", "seed": 3, "text": text})
    said = f"sasrec 5-core seed 3: {text}"
    assert terminal.notes == [said]
    assert log == [f"WARNING {said}"]


def test_a_search_tells_the_settings_that_it_tries_and_chose(terminal):
    snapshot = Snapshot("s", "l", "5-core", 1, 1, 1, 0, Path("x"), "0")
    follow = _Progress({"runs/1": Training(snapshot, resolve_simple("ridge", "paper"), 0)})
    tried = {"settings": {"half_life": 2.0, "penalty": 200.0}, "valid_ndcg_10": 0.25}
    follow({"event": "epoch", "run": "runs/1", "share": 0.5, "train_loss": None, **tried})
    done = {"best_epoch": 1, "valid_ndcg_10": 0.25, "chosen": tried["settings"]}
    follow({"event": "done", "run": "runs/1", **done})
    said = "seed 0: half_life=2.0 penalty=200.0, validation NDCG@10 0.2500"
    assert terminal.steps == [("train ridge 5-core", 0.5, said), ("train ridge 5-core", 1.0, said)]


def test_of_a_group_in_a_pool_each_training_is_shown_less_often(monkeypatch):
    """Eight seeds that each tell their progress every five seconds are most of a server's work."""
    told: list[tuple[str, float]] = []
    now = 0.0
    snapshot = Snapshot("s", "l", "5-core", 1, 1, 1, 0, Path("x"), "0")
    asked = {f"runs/{n}": Training(snapshot, resolve("sasrec", "quick"), n) for n in range(8)}
    monkeypatch.setattr(training, "TaskRunContext", SimpleNamespace(get=lambda: True))
    monkeypatch.setattr(training.time, "monotonic", lambda: now)
    monkeypatch.setattr(training, "report", lambda *_: None)
    monkeypatch.setattr(
        training, "create_progress_artifact", lambda share, **_: told.append(("new", share)) or "id"
    )
    monkeypatch.setattr(
        training, "update_progress_artifact", lambda _, share, **__: told.append(("more", share))
    )
    follow = _Progress(asked, show_every=80.0)
    for second in range(161):
        now = float(second)
        for run in asked:
            event = {"event": "epoch", "run": run, "share": second / 200, "train_loss": 1.0}
            follow(event | {"valid_ndcg_10": None})
    assert [kind for kind, _ in told].count("new") == 8
    assert len(told) == 8 * 3  # at 0, 80 and 160 s: a request each ten seconds
    follow({"event": "done", "run": "runs/0", "best_epoch": 1, "valid_ndcg_10": 0.5})
    assert told[-1] == ("more", 100.0)  # its end is told at once
