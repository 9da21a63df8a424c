"""`fpt sql` as people type it: answers of every type, limits that hold, a prompt that lives."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FPT = Path(sys.executable).parent / "fpt"
TYPES = json.loads(Path(__file__).parents[1].joinpath("types.json").read_text(encoding="utf-8"))
ALL = "SELECT " + ", ".join(f"{sql} AS t{place}" for place, (sql, _, _) in enumerate(TYPES))
ENDLESS = "SELECT length(lpad('x', 2000000000, 'y'))"  # one call, which DuckDB can't interrupt
FRACTIONS = {"0.1": "0.1000", "1e+300": "1e+300"}  # on a screen


@pytest.fixture
def ask(empty, forks):
    """What `fpt sql` writes when a question is piped into it."""

    def pipe(question: str, *options: str):
        there = os.environ | {"TZ": "UTC", "COLUMNS": "200"}
        return forks.run(["fpt", "sql", *options, "--home", str(empty)], there, 120, question)

    return pipe


def test_every_type_in_json(ask):
    done = ask(ALL, "--format", "json")
    assert (done.code, done.err) == (0, "")
    exact = {"parse_float": str, "parse_constant": pytest.fail}
    (row,) = json.loads(done.out, **exact)
    assert list(row.values()) == [json.loads(as_json, **exact) for *_, as_json in TYPES]


def test_every_type_in_csv(ask):
    done = ask(ALL, "--format", "csv")
    assert (done.code, done.err) == (0, "")
    _, row = csv.reader(io.StringIO(done.out))
    assert row == [f"'{text}" if (text or "").startswith("-inf") else text or ""
                   for _, text, _ in TYPES]  # fmt: skip


def on_screen(sql: str, text: str) -> str:
    """Whole numbers from five digits on are grouped; other values are as they are."""
    whole = re.fullmatch(r"-?\d{5,}", text) and not sql.endswith("::BIT")
    return f"{int(text):,}" if whole else FRACTIONS.get(text, text)


def test_every_type_on_the_screen(ask):
    done = ask(ALL)
    assert (done.code, done.err) == (0, "")
    seen = dict(re.findall(r"^(t\d+) +(.+)$", done.out, re.MULTILINE))
    expected = {f"t{at}": on_screen(sql, text) for at, (sql, text, _) in enumerate(TYPES) if text}
    assert {name: seen.get(name) for name in expected} == expected


def test_every_type_in_the_prompt_and_then_another_question(empty, prompt):
    terminal = prompt(empty)
    terminal.until("fpt> ")
    for sql, text, _ in TYPES:
        shown = terminal.type(f"SELECT {sql} AS x\n;\n", "fpt> ").split("…> ")[-1]
        assert text is None or on_screen(sql, text) in " ".join(shown.split()), sql
    terminal.type("SELECT 40 + 2 AS x;\n", " 42 ")
    os.write(terminal.screen, b".quit\n")
    assert os.waitpid(terminal.pid, 0)[1] == 0


def test_a_difference_of_times_is_a_duration(ask):
    question = "SELECT TIMESTAMP '2020-03-01' - TIMESTAMP '2020-02-01' AS age, count_if(TRUE) AS n"
    assert json.loads(ask(question, "--json").out) == [{"age": "29 days", "n": 1}]
    assert ask(question, "--format", "csv").out == "age,n\n29 days,1\n"


@pytest.mark.slow
def test_no_interruption_and_no_limit_ends_the_prompt(empty, prompt):
    terminal = prompt(empty, "--timeout", "5")
    terminal.until("fpt> ")
    terminal.type("SELECT 40 + 2 AS x;\n", " 42 ")
    terminal.type(f"{ENDLESS};\n", ";")
    time.sleep(1)
    terminal.interrupt("interrupted")  # else "no answer within 5 s" would stand there
    terminal.type("SELECT 41 + 2 AS x;\n", " 43 ")
    terminal.type("SELECT repeat('x', 3000000000);\n", "more memory")
    terminal.type("SELECT * FROM '/etc/passwd';\n", "The question was refused")
    terminal.type(f"{ENDLESS};\n", "no answer within 5 s")
    os.write(terminal.screen, b"\xff\xfe;\n")
    terminal.type("SELECT 42 + 2 AS x;\n", " 44 ")
    terminal.until("fpt> ")  # before it, the terminal would take the Ctrl-D for itself
    os.write(terminal.screen, b"\x04")
    assert os.waitpid(terminal.pid, 0)[1] == 0


def test_a_question_that_takes_too_long_ends_on_time(ask):
    begun = time.monotonic()
    done = ask(ENDLESS, "--timeout", "1")
    assert time.monotonic() - begun < 10
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: The question took too long: got no answer within 1 s.\n"


def test_more_rows_than_a_screen_takes_are_told(ask):
    done = ask("SELECT range AS x FROM range(2000)")
    assert len(done.out.split()) == 1000 + 2  # a name, a line
    assert done.err == "Only the first 1,000 rows are shown; `--format csv` has all\n"
    assert len(ask("SELECT range AS x FROM range(2000)", "--format", "csv").out.split()) == 2001


@pytest.mark.parametrize(
    ("question", "found"),
    [("", "none"), (";", "none"), ("-- nothing", "none"), ("SELECT 1; SELECT 2", "2 questions")],
)
def test_what_is_not_one_question_is_refused(ask, question, found):
    done = ask(question)
    assert (done.code, done.out) == (2, "")
    assert f"One question has one answer: got {found}" in done.err


def test_the_line_that_is_shown_as_wrong_is_the_one_that_was_written(ask):
    done = ask("SELECT 1,\n  nix\nFROM range(3)")
    assert done.err.endswith("LINE 2:   nix\n          ^^^\n")
    assert "EXPLAIN" not in done.err


def test_columns_without_a_value_are_named(ask):
    done = ask("SELECT range AS x, NULL AS y, NULL AS z FROM range(2)")
    assert done.out.split() == ["x", "─" * 3, "0", "1"]
    assert done.err == "No value in any row of y, z\n"
    alone = ask("SELECT NULL AS y")
    assert (alone.out.split(), alone.err) == (["y", "─" * 3], "")


def test_a_reader_may_leave_early(empty):
    command = f"{FPT} sql 'SELECT range FROM range(1000000)' --format csv --home {empty} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("range\n", "")


def test_ctrl_c_at_a_question_leaves_no_process(empty):
    asking = subprocess.Popen([FPT, "sql", ENDLESS, "--home", empty], stderr=subprocess.PIPE)
    children = Path(f"/proc/{asking.pid}/task/{asking.pid}/children")
    deadline = time.monotonic() + 30
    while not (found := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    asking.send_signal(signal.SIGINT)
    _, said = asking.communicate(timeout=10)
    assert asking.returncode == 130
    assert said.startswith(b"error: interrupted")
    assert not any(Path("/proc", pid).exists() for pid in found)


@pytest.mark.parametrize("coding", ["ascii", "latin-1"])
def test_a_terminal_without_utf_8_shows_what_it_can(empty, coding):
    there = os.environ | {"PYTHONIOENCODING": coding}
    done = subprocess.run(
        [FPT, "sql", "SELECT chr(8364) AS euro", "--home", empty],
        capture_output=True, env=there, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u20ac" in done.stdout


def test_a_question_in_other_bytes_is_refused(empty):
    there = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [FPT, "sql", "SELECT 'é'".encode(), "--home", empty],
        capture_output=True, env=there, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: The question is no text: got bytes")
