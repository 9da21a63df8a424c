"""From when a window is looked back at: its own interactions, or the moments of the next ones."""

import torch

from fpt_model.model.intervals import scaled_intervals


def test_a_request_has_the_time_and_week_of_the_next_interaction(user, make_sequences):
    rows = [
        user([1, 2, 3, 4], times=[100, 100, 160, 400], weeks=[1, 1, 1, 2], ratings=[8, 2, 10, 7]),
        user([5, 6], times=[50, 90], weeks=[7, 8], ratings=[1, 9]),
    ]
    known = make_sequences(rows, 6)
    asked = known.with_time_reference("query")
    # seconds since the first interaction; behind the latest one nothing is known
    assert asked.query_times.tolist() == [0, 60, 300, 300, 40, 40]
    assert asked.weeks.tolist() == [1, 1, 2, 2, 8, 8]
    assert asked.ratings.tolist() == [8, 2, 10, 7, 1, 9]  # each item's own, the next's never
    assert asked.times.tolist() == known.times.tolist() == [0, 0, 60, 300, 0, 40]
    assert known.with_time_reference("last") is known
    assert known.query_times is known.times


def test_a_held_out_item_is_asked_for_at_its_own_time(user, make_sequences):
    rows = [user([1, 2, 3, 4], times=[100, 110, 160, 400], time_scale=10)]
    known = make_sequences(rows, 4)
    row = torch.tensor([0])
    for time_reference, expected in (("last", [0, 5, 6]), ("query", [24, 29, 30])):
        seen = known.with_time_reference(time_reference)
        windows = seen.windows(row, seen.held_out(row, "test"), 4)
        assert windows.items.tolist() == [[0, 1, 2, 3]]
        intervals = scaled_intervals(windows.query_times, windows.times, windows.scales)
        assert intervals[0, 3, [3, 2, 1]].tolist() == expected


def test_no_later_interaction_changes_a_request(user, make_sequences):
    times = [100, 110, 160, 400, 900]
    later = {"times": [*times[:-1], 5000], "ratings": [4, 7, 10, 5, 9]}
    rows = [
        user([1, 2, 3, 4, 5], times=times, ratings=[4, 7, 10, 2, 3]),
        user([1, 2, 3, 4, 5], **later),
    ]
    seen = make_sequences(rows, 5).with_time_reference("query")
    both = torch.tensor([0, 1])
    windows = seen.windows(both, seen.held_out(both, "valid"), 4)
    for name in ("items", "times", "weeks", "ratings", "query_times"):
        value = getattr(windows, name)
        assert value[0].tolist() == value[1].tolist()
