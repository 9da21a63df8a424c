"""What users had seen by when, by hand and against a loop."""

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpt_model.data.seen import FirstSeen, seen_before
from fpt_model.data.sequences import load
from fpt_model.data.training_windows import training_windows

N_ITEMS = 6


def items_met(seen: torch.Tensor) -> list[set[int]]:
    return [set(torch.nonzero(row).flatten().tolist()) for row in seen]


def test_only_what_came_before_a_place_was_seen(user, make_sequences):
    rows = [user([5, 6]), user([3, 1, 3, 2, 4, 5])]  # the last two are held out
    sequences = make_sequences(rows, N_ITEMS)
    seen = seen_before(sequences, torch.tensor([2, 1]), torch.tensor([[0, 1, 2, 4], [-1, 0, 1, 2]]))
    assert seen.shape == (2, 4, N_ITEMS + 1)
    assert items_met(seen[0]) == [set(), {3}, {1, 3}, {1, 2, 3}]
    assert items_met(seen[1]) == [set(), set(), {5}, {5, 6}]


def test_held_out_items_were_never_seen(user, make_sequences):
    sequences = make_sequences([user([3, 1, 2, 4, 5])], N_ITEMS)
    late = seen_before(sequences, torch.tensor([1]), torch.tensor([[5]]))
    assert items_met(late[0]) == [{1, 2, 3}]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(st.integers(1, N_ITEMS), min_size=4, max_size=12),
    length=st.integers(1, 6),
    end=st.integers(1, 9),
)
def test_a_window_knows_what_its_targets_follow(history, length, end, user, write_sequences):
    sequences = load(write_sequences([user(history)], N_ITEMS))
    end = min(end, int(sequences.n_train[0]) - 1)
    windows, targets = training_windows(sequences, torch.tensor([0]), torch.tensor([end]), length)
    seen = seen_before(sequences, windows.users, windows.next_positions)[0]
    for place, target in enumerate(targets[0].tolist()):
        if target:
            number = end - length + place + 1  # of the target in the history
            assert history[number] == target
            assert set(torch.nonzero(seen[place]).flatten().tolist()) == set(history[:number])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    histories=st.lists(
        st.lists(st.integers(1, N_ITEMS), min_size=4, max_size=12), min_size=1, max_size=3
    ),
    drawn=st.lists(st.integers(1, N_ITEMS), min_size=1, max_size=8),
)
def test_some_items_are_known_by_search_as_all_are(histories, drawn, user, write_sequences):
    sequences = load(write_sequences([user(history) for history in histories], N_ITEMS))
    users = torch.arange(len(histories), 0, -1)
    positions = torch.arange(-1, 12).expand(len(histories), -1)
    items = torch.tensor(drawn)
    found = FirstSeen(sequences).seen_before(users, positions, items)
    assert found.equal(seen_before(sequences, users, positions)[:, :, items])
