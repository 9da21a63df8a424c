"""Clocks that intervals are differences of, by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fpt_model.config import Config
from fpt_model.data.clock import told
from fpt_model.data.tempo import tempo
from fpt_model.model.intervals import overflow_edges, scaled_intervals

TIMES = [100, 100, 101, 104, 86504]  # 0, 1, 3 and 86,400 s between them
SHOWN = {"places": [0, 1, 2, 3, 4], "steps": [0, 1, 3, 6, 24]}


@pytest.fixture
def known(user, make_sequences):
    """Two users, of whom one lets a day pass."""
    return make_sequences(
        [user([1, 2, 3, 4, 5], times=TIMES, time_scale=3), user([6, 7], times=[50, 52])], 7
    )


@pytest.mark.parametrize("clock", SHOWN)
def test_intervals_are_differences_of_what_a_clock_shows(known, clock):
    seen = known.with_clock(clock)
    assert seen.times[:5].tolist() == SHOWN[clock]
    assert seen.times[5:].tolist() == [0, 1 if clock == "places" else 3]
    rows = torch.tensor([0])
    windows = seen.windows(rows, torch.tensor([5]), 3)  # in the midst of a history
    got = scaled_intervals(windows.query_times, windows.times, windows.scales)
    third, fourth, last = SHOWN[clock][2:]
    assert got[0, 2].tolist() == [last - third, last - fourth, 0]


def test_seconds_are_as_they_were(known):
    assert known.with_clock("seconds") is known
    assert known.as_seen_by(Config("m", "p")) is known


@pytest.mark.parametrize("clock", SHOWN)
def test_gaps_and_depths_remain_those_of_seconds(known, clock):
    seen = known.with_clock(clock)
    assert torch.equal(seen.gaps, known.gaps)
    assert torch.equal(seen.depths, known.depths)
    assert torch.equal(seen.with_validation().times, seen.times)


def test_a_request_shows_what_the_next_interaction_does(known):
    seen = known.as_seen_by(Config("m", "p", clock="steps", time_reference="query"))
    assert seen.query_times.tolist() == [1, 3, 6, 24, 24, 3, 3]
    assert seen.weeks.tolist() == known.with_time_reference("query").weeks.tolist()


def test_what_lies_past_the_clip_is_divided_by_the_same_clock(known):
    config = Config("m", "p", intervals=True, time_span=1, overflow_rows=1, clock="places")
    assert overflow_edges(known.as_seen_by(config), config).tolist() == [2]


@given(st.lists(st.lists(st.integers(0, 90_000), min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_history_is_told_what_it_is_told_alone(histories):
    histories = [torch.tensor(one).sort().values for one in histories]
    starts = torch.tensor([0, *(len(one) for one in histories)]).cumsum(0)
    gaps = tempo(torch.cat(histories), starts)["gaps"]
    for clock in SHOWN:
        alone = [
            told(clock, tempo(one, ends)["gaps"], ends)
            for one in histories
            for ends in [torch.tensor([0, len(one)])]
        ]
        together = told(clock, gaps, starts)
        assert torch.equal(together, torch.cat(alone))
        assert together.dtype == torch.int64
