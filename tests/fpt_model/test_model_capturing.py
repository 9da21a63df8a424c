"""Steps of the reference trainer as graphs: what a replay is given, put back, and says.

Where there is no GPU a stand-in records a step and does it again at a replay, as a graph does.
"""

import copy

import pytest
import torch

from fpt_model.data.sequences import load
from fpt_model.engines import capturing
from fpt_model.engines.capturing import CapturedSteps
from fpt_model.engines.gpu import graphs
from fpt_model.training.trainer import Trainer, trainer_of

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
EVERYTHING = {
    "heads": 2,
    "mask": "queries",
    "loss": "softmax",
    "exclude_seen": True,
    "time_reference": "query",
    "windows": "random",
    "rating_width": 4,
    "sse_user": 0.4,
    "sse_item": 0.2,
    "group_refresh": 1,
    "schedule": "cosine",
    "warmup": 1.5,
    "weight_decay": 0.1,
    "smoothing": 0.1,
}


class StandIn:
    """A graph that works on the CPU."""

    def __init__(self, work) -> None:
        self.replay, self.replays = work, 0

    def pool(self) -> int:
        return 1


@pytest.fixture
def recordings(monkeypatch):
    """How often a step was recorded."""
    found: list[object] = []
    real = graphs.capture_cuda_graph

    def capture_cuda_graph(work, pool=None):
        found.append(pool)
        return real(work, pool) if ON_GPU else (StandIn(work), None)

    monkeypatch.setattr(graphs, "capture_cuda_graph", capture_cuda_graph)
    if not ON_GPU:
        monkeypatch.setattr(capturing, "_dry_run", lambda work: work())
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    return found


@pytest.fixture
def trainer(learnable, small_config, recordings):
    """A training whose epochs have two sizes of steps, captured."""
    sequences = load(learnable).to(DEVICE)

    def make(slug="sas_fpt", *, captured=True, **settings):
        config = small_config(slug, **{"batch_size": 8, "epochs": 9} | settings)
        one = trainer_of(config, 3, sequences)
        own = one.engine
        own.captured = CapturedSteps(own.step_on, own._changing) if captured else None
        return one

    return make


def run(trainer: Trainer, steps: int) -> Trainer:
    for _ in range(steps):
        trainer.step()
        if trainer.progress.step == trainer.steps:
            trainer.end_epoch()
    return trainer


def same(one: Trainer, other: Trainer) -> bool:
    pairs = one.state().tensors, other.state().tensors
    return pairs[0].keys() == pairs[1].keys() and all(
        torch.equal(pairs[0][name], pairs[1][name]) for name in pairs[0]
    )


def test_a_captured_training_is_the_eager_one_to_the_bit(slug, trainer, recordings):
    steps = 8
    captured, eager = trainer(slug, **EVERYTHING), trainer(slug, captured=False, **EVERYTHING)
    assert captured.steps == 3
    assert len(captured.training.rows) % 8
    assert same(run(captured, steps), run(eager, steps))
    assert recordings == [
        None,
        captured.engine.captured.pool,
    ]  # full steps, and the last of an epoch


@pytest.mark.parametrize("settings", [{}, EVERYTHING])
@pytest.mark.parametrize("steps", [2, 3, 5])  # within an epoch, at its end, in the next one
def test_a_captured_training_goes_on_to_the_same_bits(settings, steps, trainer):
    whole, part, resumed = (trainer(**settings) for _ in range(3))
    run(resumed, 1)  # what it captured stays in use
    run(part, steps)
    resumed.restore(copy.deepcopy(part.state()))
    assert same(run(whole, 7), run(resumed, 7 - steps))


def test_the_first_run_leaves_no_trace(trainer, monkeypatch):
    """Weights, moments and the sum of losses are those from before the recording."""
    one = trainer(captured=True)
    before = {name: value.clone() for name, value in one.state().tensors.items()}
    one.engine.captured.of(one.engine.users_of_step(), pytest.fail)
    after = one.state().tensors
    assert all(torch.equal(after[name], value) for name, value in before.items())
    moments = [value for name, value in after.items() if name.startswith("adam.")]
    assert len(moments) == 3 * len(list(one.model.parameters()))
    assert not any(value.any() for value in moments)


def test_what_no_graph_can_hold_is_said_once_and_trained_eagerly(trainer, monkeypatch):
    def fail(work, pool=None):
        work()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    eager = run(trainer(captured=False), 5)
    monkeypatch.setattr(graphs, "capture_cuda_graph", fail)
    one, said = trainer(), []
    one.training.say = said.append
    assert same(run(one, 5), eager)
    assert said == [
        "Steps can't be captured, and launch one by one, more slowly: "
        "operation not permitted when stream is capturing"
    ]
