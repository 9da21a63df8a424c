"""A slow command that has said nothing says that it is at work, at a terminal alone."""

import io
import time

import pytest

from flows import first_word
from flows.console import Speaking
from flows.first_word import CLEAR, FirstWord


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(first_word, "AFTER_SECONDS", 0.1)
    monkeypatch.setattr(first_word, "AGAIN_SECONDS", 0.1)


def shown_after(seconds: float, screen: io.StringIO) -> str:
    time.sleep(seconds)
    return screen.getvalue()


@pytest.mark.usefixtures("soon")
def test_it_stands_until_something_else_is_said_and_leaves_no_trace():
    screen = io.StringIO()
    word = FirstWord(screen, "fpt report")
    assert f"{CLEAR}fpt report … 0 s" in shown_after(0.6, screen)
    word.over()
    before = screen.getvalue()
    assert before.endswith(CLEAR)
    word.over()
    assert shown_after(0.3, screen) == before


@pytest.mark.usefixtures("soon")
def test_what_answers_sooner_is_all_that_is_said():
    screen = io.StringIO()
    FirstWord(screen, "fpt report").over()
    assert shown_after(0.3, screen) == ""


@pytest.mark.usefixtures("soon")
def test_it_is_gone_before_the_first_words_of_a_console(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(first_word, "_word", FirstWord(screen, "fpt report"))
    shown_after(0.3, screen)
    Speaking(file=screen).print("here")
    assert screen.getvalue().endswith(f" s{CLEAR}here\n")


@pytest.mark.slow
def test_a_slow_command_at_a_terminal_says_a_word_first(finished, typed, tmp_path):
    slow = typed("report", "--output", tmp_path / "report.html", "--home", finished[0])
    slow.wait_for("fpt report … ")
    slow.wait_for("report.html")
    slow.end()
    assert slow.process.returncode == 0
    assert "Traceback" not in slow.seen


def test_a_pipe_hears_nothing_of_it(finished, fpt):
    slow = "SELECT count(*) FROM range(300000000) WHERE random() < 2"
    answer = fpt("sql", slow, home=finished[0])
    assert (answer.code, answer.err) == (0, "")
