"""What steps read where histories stay behind is what they read where all are on the device.

Without kernels; `test_jagged_trainer.py` compares whole trainings.
"""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("triton", reason="Triton has no build for this platform")

from fpt_model.data import device_limit
from fpt_model.data.device_limit import placed
from fpt_model.data.sequences import load
from fpt_model.engines.choose import engine_of
from fpt_model.engines.jagged.ahead import BEGIN, FIRST, Ahead, room_of
from fpt_model.engines.jagged.plan import Histories, Source
from fpt_model.engines.shared import Training
from fpt_model.errors import ModelError

BATCH = 3


@pytest.fixture
def training(learnable_rows, write_sequences, small_config):
    """Of histories of many lengths, seen from the time of the query: all columns differ."""
    rows = [row for row in learnable_rows if row["n_train"] > 1]
    assert len({row["n_train"] for row in rows}) > 5
    config = small_config("sas_fpt", time_reference="query", batch_size=BATCH, rating_width=4)
    return Training(config, 3, load(write_sequences(rows, 30)))


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.permutations(range(24)), room=st.integers(27, 90), start=st.integers(0, 3))
def test_every_window_is_at_hand_when_its_step_comes(training, order, room, start):
    sequences, length = training.sequences, training.config.max_length
    whole, parts = Source(training.model, sequences), Ahead(training.model, sequences, room)
    chosen = torch.tensor([row for row in order if row < len(training.rows)])
    rows, last = training.rows[chosen], training.last[chosen]
    for first in (start, 0):  # a resumed epoch, and a whole one
        plan = Histories(sequences).plan(rows, last, length, BATCH)
        followed = parts.follow(plan)
        assert followed.tokens == plan.tokens
        for step in range(first, len(plan.tokens)):
            with parts.at_hand(step):
                for window in range(BATCH):
                    assert_same_window(whole, plan, parts, followed, step, window)


def assert_same_window(whole, plan, parts, followed, step, window):
    """Its interactions and what comes next, in every column."""
    size = int(plan.steps[step, FIRST].diff()[window])
    if not size:
        return
    here, there = (int(of.steps[step, BEGIN, window]) for of in (followed, plan))
    columns = zip(
        (*parts.numbers, parts.items, parts.times, parts.query_times),
        (*whole.numbers, whole.items, whole.times, whole.query_times),
        strict=True,
    )
    for ours, theirs in columns:
        if theirs.dim() == 1:
            assert torch.equal(ours[here : here + size + 1], theirs[there : there + size + 1])


def test_room_is_what_the_limit_allows_and_a_step_needs(small_config, monkeypatch):
    config = small_config("sas_fpt", batch_size=4, max_length=8)
    rooms = []
    for said in ("1KB", "4 kb", "1TB"):
        monkeypatch.setenv(device_limit.NAME, said)
        rooms.append(room_of(config))
    assert rooms == [36, 125, 1 << 18]  # of four columns


def test_what_is_no_amount_is_refused(monkeypatch):
    monkeypatch.setenv(device_limit.NAME, "much")
    with pytest.raises(ModelError, match=r"FPT_DEVICE_HISTORIES is no amount: got 'much'"):
        device_limit.limit()


def test_the_engine_that_holds_all_windows_on_the_gpu_refuses_a_limit(small_config, monkeypatch):
    config, gpu = small_config("sas_fpt"), torch.device("cuda")
    assert engine_of("auto", config, gpu) == "multiseed"
    monkeypatch.setenv(device_limit.NAME, "8GB")
    assert engine_of("auto", config, gpu) == "jagged"
    with pytest.raises(ModelError, match=r"got a limit by FPT_DEVICE_HISTORIES, .*--engine jagged"):
        engine_of("multiseed", config, gpu)
    monkeypatch.delenv(device_limit.NAME)
    assert engine_of("multiseed", config, gpu) == "multiseed"


def test_histories_stay_behind_where_they_are_above_the_limit(training, monkeypatch):
    """On a device without memory, which stands for a GPU."""
    gpu = torch.device("meta")
    size = len(training.loaded.items) * device_limit.BYTES_EACH
    for most, where in ((size, "meta"), (size - 1, "cpu")):
        monkeypatch.setenv(device_limit.NAME, str(most))
        found = placed(training.loaded, gpu)
        assert (found.items.device.type, found.device.type) == (where, "meta")
