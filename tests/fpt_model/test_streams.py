"""Trainings beside each other: who launches where, and what has waited for what."""

from contextlib import contextmanager

import pytest

from fpt_model.data.sequences import load
from fpt_model.engines.jagged import ahead
from fpt_model.training import run as run_module
from fpt_model.training.trainer import Trainer, trainer_of


class Streams:
    """Stands for the streams of an engine that has some: notes where its memory is used."""

    def __init__(self, trainer: Trainer, monkeypatch) -> None:
        self.inside = 0
        self.pending = False  # something was launched that nobody has waited for
        self.outside: list[str] = []
        engine = trainer.engine
        monkeypatch.setattr(engine, "on_own_stream", self.on_own_stream)
        monkeypatch.setattr(engine, "wait", self.wait)
        for name in ("train", "rank", "weights", "load", "moments", "restore", "encoder"):
            monkeypatch.setattr(engine, name, self.noted(name, getattr(engine, name)))

    @contextmanager
    def on_own_stream(self):
        self.inside += 1
        yield
        self.inside -= 1

    def wait(self) -> None:
        self.pending = False

    def noted(self, name, work):
        def launch(*args, **kwargs):
            if not self.inside:
                self.outside.append(name)
            self.pending = True
            return work(*args, **kwargs)

        return launch


@pytest.fixture
def trainer(learnable, small_config):
    config = small_config("sas_fpt", epochs=2, validate_every=1, ema_decay=0.5)
    return trainer_of(config, 0, load(learnable))


def test_all_that_uses_an_engines_memory_is_launched_where_its_steps_are(trainer, monkeypatch):
    streams = Streams(trainer, monkeypatch)
    trainer.step()
    assert streams.pending, "a step is left to the GPU"
    trainer.wait()
    assert not streams.pending
    while trainer.progress.step < trainer.steps:
        trainer.step()
    done = {
        "end_epoch": trainer.end_epoch,
        "state": trainer.state,
        "restore": lambda: trainer.restore(trainer.state()),
        "weights": trainer.weights,
        "ranked": lambda: trainer.ranked("valid"),
        "use_best": trainer.use_best,
    }
    for name, work in done.items():
        streams.pending = True
        work()
        assert not streams.pending, f"what {name} gives is read at once"
    assert not streams.outside


def test_an_epoch_has_ended_for_all_before_its_seconds_are_shared_out(
    learnable, small_config, monkeypatch, tmp_path
):
    order = []
    config = small_config("sas_fpt", epochs=1, validate_every=1)
    for name in ("step", "wait", "end_epoch"):
        work = getattr(Trainer, name)

        def told(self, *args, name=name, work=work):
            order.append((name, self.seed))
            return work(self, *args)

        monkeypatch.setattr(Trainer, name, told)
    sequences = load(learnable)
    folders = {seed: tmp_path / str(seed) for seed in (0, 1)}
    run_module.train_loaded(sequences, folders, config, lambda _: None, "reference")
    steps = [("step", 0)] * 3 + [("step", 1)] * 3
    waits, ends = [("wait", 0), ("wait", 1)], [("end_epoch", 0), ("end_epoch", 1)]
    assert order == steps + waits + ends


def test_no_training_gathers_anything_while_a_graph_is_recorded(monkeypatch):
    settled = []

    class Gathering:
        def settle(self) -> None:
            settled.append(self)

    some = [Gathering(), Gathering()]
    monkeypatch.setattr(ahead, "_alive", some)
    ahead.settle_all()
    assert settled == some
