"""What a command says and does in its first moments, at a terminal and without one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FPT = Path(sys.executable).parent / "fpt"
TOLD = "interrupted; the same command goes on"
FIRST_WORD_SECONDS = 2.0


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler of its own for that signal."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def handler_is_there(process: subprocess.Popen) -> None:
    """Python itself takes SIGINT, but SIGTERM is caught by ours alone."""
    deadline = time.monotonic() + 30
    while not catches(process.pid, signal.SIGTERM):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.001)


SLOW = pytest.mark.slow
AT_ONCE = [(0.0, 0.0, ()), (0.05, 0.3, ("--json",)), (0.3, 0.6, ())]
LATER = [(0.6, 1.3, ()), (1.3, 3.0, ("--json",))]


@pytest.mark.parametrize(
    ("first", "last", "words"), [*AT_ONCE, *(pytest.param(*one, marks=SLOW) for one in LATER)]
)
def test_an_interrupt_in_the_first_moments_is_one_line(typed, tmp_path, first, last, words):
    """At another moment of that part of the beginning each time."""
    after = random.uniform(first, last)
    print(f"after {after:.3f} s")  # of a test that fails
    command = typed("run", *words, "--home", tmp_path / "home")
    handler_is_there(command.process)
    time.sleep(after)
    os.write(command.terminal, b"\x03")
    assert command.end() < 5
    assert command.process.returncode == 130, command.seen
    assert "Traceback" not in command.seen
    assert command.seen.count("interrupted") == 1, command.seen
    if words:
        said = json.loads(command.seen[command.seen.index("{") :].splitlines()[0])
        assert said == {
            "what": "interrupted",
            "got": None,
            "expected": None,
            "to_do": "the same command goes on",
            "code": 130,
        }
    else:
        assert f"error: {TOLD}" in command.seen


def test_something_is_on_the_screen_within_two_seconds(typed, tmp_path):
    began = time.monotonic()
    command = typed("run", "--home", tmp_path / "home")
    while not command.seen:
        command.read()
    late, worked = time.monotonic() - began, cpu_seconds(command.process.pid)
    command.process.kill()
    assert command.seen.lstrip("\r").startswith("fpt run"), command.seen
    # of a machine that is busy with other tests as well, what the command itself took counts
    assert min(late, worked) < FIRST_WORD_SECONDS


def test_without_a_terminal_the_first_word_comes_as_soon(tmp_path):
    environment = os.environ | {"PREFECT_HOME": str(tmp_path / "prefect")}
    command = [FPT, "run", "--home", str(tmp_path / "home")]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    )
    began = time.monotonic()
    first = process.stderr.readline()
    late, worked = time.monotonic() - began, cpu_seconds(process.pid)
    process.terminate()
    rest = process.communicate(timeout=30)[1]
    assert first == "fpt run: starts\n"
    assert min(late, worked) < FIRST_WORD_SECONDS
    assert process.returncode == 143
    assert rest.splitlines()[-1] == f"error: {TOLD}"
