"""How fast histories go: numbers of gaps and depths, by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fpt_model.config import Config
from fpt_model.data.histories import History, windows_of
from fpt_model.data.tempo import TEMPO, _of_some, tempo
from fpt_model.features import DEPTHS, GAPS

TIMES = [100, 100, 100, 101, 103, 3703, 7304, 7304, 50]  # of two users, the second with one


def test_each_number_is_that_of_its_place():
    found = {
        name: x.tolist() for name, x in tempo(torch.tensor(TIMES), torch.tensor([0, 8, 9])).items()
    }
    assert found == {
        "gaps": [1, 2, 2, 3, 4, 14, 14, 2, 1],  # 3600 and 3601 s lie between 2048 and 4095
        "depths": [1, 3, 4, 5, 5, 6, 6, 7, 1],
    }


def test_what_is_past_the_last_row_has_the_last():
    times = torch.cat([torch.zeros(20_000, dtype=torch.int64), torch.tensor([1 << 40])])
    found = {name: int(x.max()) for name, x in tempo(times, torch.tensor([0, len(times)])).items()}
    assert found == {"gaps": GAPS, "depths": DEPTHS}


@given(st.lists(st.lists(st.integers(0, 9000), min_size=1, max_size=9), min_size=1, max_size=5))
def test_a_history_has_the_numbers_that_it_has_alone(histories):
    """Also where few of them are looked at at a time."""
    histories = [torch.tensor(one).sort().values for one in histories]
    starts = torch.tensor([0, *(len(one) for one in histories)]).cumsum(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fpt_model.data.tempo.AT_ONCE", 10)
        together = tempo(torch.cat(histories), starts)
    for name in TEMPO:
        alone = [tempo(one, torch.tensor([0, len(one)]))[name] for one in histories]
        assert torch.equal(together[name], torch.cat(alone))


def test_what_is_in_between_does_not_grow_with_the_data(monkeypatch):
    pieces = []
    monkeypatch.setattr(
        "fpt_model.data.tempo._of_some", lambda *x: pieces.append(len(x[0])) or _of_some(*x)
    )
    monkeypatch.setattr("fpt_model.data.tempo.AT_ONCE", 10)
    tempo(torch.arange(40), torch.tensor([0, 4, 8, 12, 30, 30, 40]))
    assert pieces == [8, 4, 18, 10]


@pytest.mark.parametrize("length", [2, 5, 9])
def test_windows_of_training_and_of_requests_have_the_same(user, make_sequences, length):
    sequences = make_sequences(
        [user([1, 2], times=[5, 9]), user(list(range(1, 9)), times=TIMES[:8])], 9
    )
    rows = torch.tensor([1])
    windows = sequences.windows(rows, sequences.lengths[rows], length)
    own = slice(2, 10)
    history = History(
        2, sequences.items[own], torch.tensor(TIMES[:8]), *[torch.ones(8).long()] * 2, 1
    )
    asked = windows_of([history], length, Config("m", "p"))
    expected = tempo(torch.tensor(TIMES[:8]), torch.tensor([0, 8]))
    for name in TEMPO:
        got = getattr(windows, name)
        assert torch.equal(got, getattr(asked, name))
        assert got[0, -min(length, 8) :].tolist() == expected[name][-length:].tolist()
        assert got[0, : max(0, length - 8)].eq(0).all()


def test_an_input_of_tempo_has_its_width():
    widths = {f"{name[:-1]}_width": 2 for name in TEMPO}
    assert Config("m", "p", **widths).width == 54
