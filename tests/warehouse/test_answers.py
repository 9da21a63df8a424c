"""The process that answers people's questions: its limits hold, and nothing else is to be had."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from warehouse.answers import Answers, Limits
from warehouse.catalogue import writing
from warehouse.errors import RefusedError
from warehouse.home import Home

ENDLESS = "SELECT length(lpad('x', 2000000000, 'y'))"  # one call, which DuckDB can't interrupt


@pytest.fixture(scope="module")
def home(tmp_path_factory, home_at) -> Home:
    made = home_at(tmp_path_factory.mktemp("answers") / "home")
    with writing(made):
        pass
    return made


@pytest.fixture(scope="module")
def answers(home):
    with Answers(home) as made:
        yield made


def lines(answers: Answers, question: str) -> list[str]:
    return answers.ask(question, "csv").read().decode().splitlines()


def pid_of(answers: Answers) -> int:
    assert answers._process is not None
    return answers._process.pid


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_one_process_answers_until_a_question_has_to_be_killed(home):
    with Answers(home) as answers:
        first = pid_of(answers)
        assert lines(answers, "SELECT 6 * 7 AS x") == ["x", "42"]
        with pytest.raises(RefusedError, match="Parser Error"):
            lines(answers, "SELEKT")
        assert lines(answers, "SELECT 1 AS x UNION ALL SELECT 2") == ["x", "1", "2"]
        assert pid_of(answers) == first
        answers._limits = Limits(seconds=1)
        begun = time.monotonic()
        with pytest.raises(RefusedError, match="too long: got no answer within 1 s"):
            lines(answers, ENDLESS)
        assert 1 <= time.monotonic() - begun < 30  # it has no end of its own
        answers._limits = Limits()
        assert not lives(first)
        assert lines(answers, "SELECT 6 * 7 AS x") == ["x", "42"]
        second = pid_of(answers)
    assert not lives(second)


@pytest.mark.parametrize(
    "question",
    [
        "SELECT length(repeat('x', 900000000))",
        "SELECT length(string_agg(repeat('x', 1000000), '')) FROM range(900)",
        "SELECT range(100000000)",
        "SELECT repeat('x', 300000000) AS x",  # fits into DuckDB, not into an answer
    ],
)
def test_the_system_holds_the_limit_of_memory(home, question):
    """DuckDB's own limit, of 2 GB, would let each of them pass."""
    with Answers(home, Limits(memory=600_000_000)) as answers:
        with pytest.raises(RefusedError, match="memory"):
            lines(answers, question)
        assert lines(answers, "SELECT 6 * 7 AS x") == ["x", "42"]


def test_an_answer_too_large_to_keep_is_one_line(home):
    with Answers(home, Limits(file=1_000_000)) as answers:
        with pytest.raises(RefusedError, match="can't be kept: got File too large"):
            lines(answers, "SELECT range FROM range(1000000)")
        assert lines(answers, "SELECT 6 * 7 AS x") == ["x", "42"]


def test_a_process_that_dies_is_told_and_replaced(home):
    with Answers(home) as answers:
        lines(answers, "SELECT 1")
        os.kill(pid_of(answers), signal.SIGSEGV)
        with pytest.raises(RefusedError, match="ended the process that answers it: got signal 11"):
            lines(answers, "SELECT 1")
        assert lines(answers, "SELECT 6 * 7 AS x") == ["x", "42"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_who_asks_may_be_killed_and_takes_the_process_along(home):
    program = f"""
import sys, threading
from pathlib import Path
from warehouse.answers import Answers
from warehouse.home import Home
answers = Answers(Home(Path({str(home.root)!r})))
answers.ask("SELECT 1", "csv")
print(answers._process.pid, flush=True)
answers.ask({ENDLESS!r}, "csv")
"""
    asking = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert asking.stdout is not None
    pid = int(asking.stdout.readline())
    time.sleep(0.3)
    assert lives(pid)
    asking.kill()
    asking.communicate()
    deadline = time.monotonic() + 30
    while lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(pid)


def test_the_process_knows_no_secrets(home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_KEY", "s3cret")
    with Answers(home) as answers:
        lines(answers, "SELECT 1")
        if sys.platform == "linux":
            assert b"s3cret" not in Path(f"/proc/{pid_of(answers)}/environ").read_bytes()
        with pytest.raises(RefusedError, match="getenv does not exist"):
            lines(answers, "SELECT getenv('PREFECT_API_KEY')")


def test_a_file_of_the_folder_we_are_in_is_no_module(home, tmp_path, monkeypatch):
    (tmp_path / "duckdb.py").write_text("raise SystemExit('run')")
    monkeypatch.chdir(tmp_path)
    with Answers(home) as answers:
        assert lines(answers, "SELECT 6 * 7 AS x") == ["x", "42"]


@pytest.mark.parametrize(
    "question",
    [
        "COPY (SELECT 1) TO '{target}'",
        "COPY (SELECT 1) TO '/dev/stdout'",
        "EXPORT DATABASE '{target}'",
        "IMPORT DATABASE '/tmp'",
        "ATTACH '{target}' AS other",
        "ATTACH ':memory:' AS other",
        "ATTACH '{home}/warehouse.duckdb' AS other (READ_ONLY)",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/proc/self/environ')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('{home}/**')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM 'https://example.org/a.parquet'",
        "SELECT * FROM duckdb_secrets()",
        "CREATE SECRET mine (TYPE s3)",
        "INSTALL httpfs",
        "LOAD httpfs",
        "LOAD '{target}'",
        "UPDATE EXTENSIONS",
        "SET memory_limit = '1TB'",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET temp_directory = '{target}'",
        "SET python_enable_replacements = true",
        "RESET memory_limit",
        "PRAGMA threads = 64",
        "PRAGMA enable_profiling",
        "PRAGMA profiling_output = '{target}'",
        "CALL enable_logging('QueryLog', storage = 'file', storage_path = '{target}')",
        "SELECT * FROM place",  # a variable of the program
        "DROP VIEW mart.models",
        "DELETE FROM mart.user_ranks",
        "UPDATE mart.training_runs SET seed = 1",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE OR REPLACE VIEW mart.models AS SELECT 1",
        "SELECT 1; DELETE FROM mart.user_ranks",
        "SELECT 1; SET memory_limit = '1TB'; SELECT 2",
        "SELECT ?",
        "nonsense",
    ],
)
def test_nothing_but_reading_is_allowed(answers, home, tmp_path, question):
    before = home.published.read_bytes()
    target = tmp_path / "stolen"
    with pytest.raises(RefusedError, match="The question was refused"):
        answers.ask(question.format(target=target, home=home.root), "json")
    assert not target.exists()
    assert home.published.read_bytes() == before


def test_what_one_question_leaves_no_other_finds(answers):
    with pytest.raises(RefusedError, match="got CREATE"):
        answers.ask("CREATE TEMP TABLE mine AS SELECT 1", "json")
    with pytest.raises(RefusedError, match="mine does not exist"):
        answers.ask("SELECT * FROM mine", "json")


def test_a_bomb_of_rows_is_stopped(home):
    bomb = "SELECT a.range FROM range(1000000000) AS a, range(1000000000) AS b"
    with (
        Answers(home, Limits(seconds=2, file=50_000_000)) as answers,
        pytest.raises(RefusedError, match=r"too long|File too large"),
    ):
        answers.ask(bomb, "csv")


def test_what_is_spilled_goes_with_the_process(home):
    question = "SELECT * FROM range(200000000) ORDER BY hash(range)"
    with Answers(home, Limits(seconds=2)) as answers:
        spill = answers._spill
        with pytest.raises(RefusedError):
            answers.ask(question, "csv")
        assert not spill.exists()
    assert not list(home.root.glob("*.tmp"))


def test_before_the_first_run_there_is_a_hint(tmp_path):
    with (
        Answers(Home(tmp_path)) as answers,
        pytest.raises(RefusedError, match=r"Nothing is published yet: .* Run `fpt run` first\."),
    ):
        answers.ask("SELECT 1", "table")
