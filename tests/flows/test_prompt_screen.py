"""`fpt sql` at a real terminal: a pager for what is long, a Ctrl-C that ends a question alone."""

import os
import pty
import re
import select
import sys
import time
from pathlib import Path

import pytest

from flows import prompt

FPT = Path(sys.executable).parent / "fpt"
SLOW = "SELECT count(*) FROM range(100000000000) AS a, range(3) AS b WHERE hash(a.range) = 1;\n"


class Screen:
    """A terminal of 24 lines that can move its cursor."""

    def __init__(self, *words: str, **environment: str) -> None:
        self.seen = ""
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", "LINES": "24", "COLUMNS": "100"} | environment)
            os.environ.pop("LESS", None)
            os.execv(FPT, ["fpt", *words])

    def until(self, words: str, seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while words not in self.seen and time.monotonic() < end:
            if select.select([self.screen], [], [], 0.1)[0]:
                self.seen += os.read(self.screen, 65536).decode("utf-8", "replace")
        assert words in self.seen, self.seen
        before, _, self.seen = self.seen.partition(words)
        return before + words

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def end(self) -> int:
        """What it ends with, and what it still says."""
        while True:
            try:
                more = os.read(self.screen, 65536)
            except OSError:
                break
            if not more:
                break
            self.seen += more.decode("utf-8", "replace")
        return os.waitpid(self.pid, 0)[1]


def test_ctrl_c_ends_a_question_and_not_the_prompt(empty):
    """Twice in a row too, as people do."""
    screen = Screen("sql", "--home", str(empty))
    screen.until("fpt> ")
    for times in (1, 5):
        screen.type(SLOW)
        screen.until("= 1;\r\n")
        time.sleep(1.5)  # until the prompt has it, and is waiting for the answer
        begun = time.monotonic()
        for _ in range(times):
            screen.type("\x03")
            time.sleep(0.01)
        said = screen.until("interrupted")
        assert "Traceback" not in said
        screen.until("fpt> ")
        assert time.monotonic() - begun < 30  # the question alone takes hours
        screen.type("SELECT 40 + 2 AS x;\n")
        assert "Traceback" not in screen.until(" 42 ")
        screen.until("fpt> ")
    screen.type("quit\n")
    assert screen.end() == 0
    assert "Traceback" not in screen.seen


def test_an_interruption_is_told_when_another_comes_meanwhile(monkeypatch):
    told, typed = [], iter(["SELECT 1;"])

    def fail(said: str) -> None:
        told.append(said)
        if len(told) == 1:
            raise KeyboardInterrupt

    def answer(question: str) -> None:
        raise KeyboardInterrupt

    def read(_: str) -> str:
        for line in typed:
            return line
        raise EOFError

    monkeypatch.setattr("builtins.input", read)
    monkeypatch.setattr(prompt.console, "fail", fail)
    prompt.converse(answer, lambda: None)
    assert told == ["interrupted", "interrupted"]


LONG = "SELECT range AS n FROM range(200)"


@pytest.mark.parametrize("options", [(), ("--no-pager",)])
def test_a_table_longer_than_the_screen_goes_through_a_pager(empty, tmp_path, options):
    kept = tmp_path / "paged"
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {kept}\n")
    pager.chmod(0o755)
    screen = Screen("sql", LONG, *options, "--home", str(empty), PAGER=str(pager))
    assert screen.end() == 0
    text = kept.read_text() if not options else screen.seen
    assert (kept.exists(), " 199 " in text) == (not options, True)
    assert " 199 " not in screen.seen or options


def test_what_fits_needs_no_pager(empty, tmp_path):
    screen = Screen("sql", "SELECT 6 * 7 AS x", "--home", str(empty), PAGER="false")
    assert screen.end() == 0
    assert re.search(r"\b42\b", screen.seen)
