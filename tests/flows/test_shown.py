"""Lines in place of bars, and a word in every long silence."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from flows import shown


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines(clock) -> shown.LineReporter:
    board = Console(file=io.StringIO(), force_terminal=False, width=20)
    return shown.LineReporter(board, "fpt run", clock)


def said(lines: shown.LineReporter) -> list[str]:
    return lines._to.file.getvalue().splitlines()


def pass_time(lines: shown.LineReporter, clock: Clock, seconds: float) -> None:
    """As the thread does that looks five times a second."""
    for _ in range(round(seconds * 5)):
        clock.now += 0.2
        lines.look()


def test_a_step_is_a_line_when_it_begins_and_one_when_it_ends(lines, clock):
    for done in (1, 5, 10, 10):
        lines.report("land ml-1m", done, 10, "")
        clock.now += 2
    lines.report("train sas_fpt", 1, 1, "best epoch 3")
    assert said(lines) == [
        "land ml-1m: begins",
        "land ml-1m: 100%, after 4 s",
        "train sas_fpt: 100%, best epoch 3, after 0 s",
    ]


def test_what_is_quick_says_nothing_and_what_is_not_says_so_within_a_second(lines, clock):
    pass_time(lines, clock, 0.6)
    assert said(lines) == []
    pass_time(lines, clock, 0.4)
    assert said(lines) == ["fpt run: starts"]


def test_every_ten_silent_seconds_there_is_a_line_with_the_latest(lines, clock):
    pass_time(lines, clock, 25)
    assert said(lines) == ["fpt run: starts", "fpt run … 11 s", "fpt run … 21 s"]
    lines.report("fetch ml-1m", 1_500_000, None, "")  # nobody knows of how many
    pass_time(lines, clock, 9)
    assert said(lines)[3:] == ["fetch ml-1m: begins"]
    pass_time(lines, clock, 2)
    assert said(lines)[4:] == ["fetch ml-1m: 1,500,000 … 35 s"]
    lines.note("a note")
    pass_time(lines, clock, 9)
    assert said(lines)[5:] == ["a note"]


def test_a_step_that_has_ended_is_not_what_is_waited_for(lines, clock):
    """An audit of a minute stood as `land ml-1m: 100% … 1 min 36 s`."""
    lines.report("land ml-1m", 10, 10, "")
    pass_time(lines, clock, 10.4)
    assert said(lines)[1:] == ["fpt run … 10 s"]
    lines.report("train sasrec", 1, 4, "")
    lines.report("train ridge", 4, 4, "")
    lines.report("land ml-1m", 10, 10, "")  # told once more
    pass_time(lines, clock, 10.4)
    assert said(lines)[4:] == ["train sasrec: 25% … 20 s"]


def test_of_an_unknown_whole_the_bar_shows_the_count_and_no_share():
    board = Console(file=io.StringIO(), force_terminal=False, width=60)
    with Progress("{task.description}", shown.Share(), console=board) as bars:
        bars.add_task("fetch", total=None, completed=2048)
        bars.add_task("land", total=8, completed=2)
    assert [line.split() for line in board.file.getvalue().splitlines()] == [
        ["fetch", "2,048"],
        ["land", "25%"],
    ]
