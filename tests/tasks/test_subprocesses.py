"""Following a training program: its events, its failures, its end."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.subprocesses import follow
from warehouse.errors import RefusedError


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text()
    return state.rsplit(")", 1)[1].split()[0] != "Z"


def all_end(pids: list[int]) -> bool:
    """Whether they end within half a minute; by themselves they take ten."""
    deadline = time.monotonic() + 30
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(is_running, pids))


def test_events_are_passed_on_in_order_and_other_lines_are_not(tmp_path):
    events = []
    code = """print('{"event": "start"}'); print('hello'); print('{"event": "done", "epoch": 3}')"""
    follow(python(code), events.append, log=tmp_path / "log")
    assert events == [{"event": "start"}, {"event": "done", "epoch": 3}]


def test_an_error_event_is_the_message(tmp_path):
    code = """print('{"event": "error", "message": "No GPU here."}'); raise SystemExit(2)"""
    with pytest.raises(RefusedError, match=r"^No GPU here\.$"):
        follow(python(code), lambda event: None, log=tmp_path / "log")


def test_a_crash_names_the_log_with_its_words(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(RefusedError, match=r"exit code 1.*log"):
        follow(python("raise ValueError('so it went')"), lambda event: None, log=log)
    assert "so it went" in log.read_text()


def test_a_kill_is_a_failure(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(RefusedError, match="exit code -9"):
        follow(python(code), lambda event: None, log=tmp_path / "log")


def test_silence_ends_it_and_all_it_started(tmp_path):
    code = """
import json, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(json.dumps({"event": "start", "pid": child.pid}), flush=True)
time.sleep(600)
"""
    events = []
    started = time.monotonic()
    with pytest.raises(RefusedError, match="Training hung"):
        follow(python(code), events.append, log=tmp_path / "log", silence_seconds=3)
    assert time.monotonic() - started < 20
    assert all_end([events[0]["pid"]])


def test_an_interrupt_ends_it(tmp_path):
    pids = []

    def interrupt(event):
        pids.append(event["pid"])
        raise KeyboardInterrupt

    code = """
import json, os, time
print(json.dumps({"event": "start", "pid": os.getpid()}), flush=True)
time.sleep(600)
"""
    with pytest.raises(KeyboardInterrupt):
        follow(python(code), interrupt, log=tmp_path / "log")
    assert not is_running(pids[0])


def test_a_kill_of_the_follower_ends_the_program_and_its_children_at_once(tmp_path):
    """The program is deaf to requests and silent for minutes, as within a long epoch."""
    program = """
import json, os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(json.dumps({"event": "start", "pids": [os.getpid(), child.pid]}), flush=True)
time.sleep(600)
"""
    follower = f"""
import sys, threading
from pathlib import Path
from tasks.subprocesses import follow
words = [sys.executable, "-c", {program!r}]
tell = lambda event: print(*event["pids"], flush=True)
thread = threading.Thread(target=follow, args=(words, tell), kwargs={{"log": Path("log")}})
thread.start()
thread.join()
"""
    with subprocess.Popen(
        python(follower),
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_running, pids))
        parent.kill()
    assert all_end(pids)


def test_the_program_is_its_own_first_process(tmp_path):
    """Its exit status, its signals and its standard input are not those of a wrapper."""
    code = "import json, os, sys; print(json.dumps({'event': 'start', 'pid': os.getpid(),"
    code += " 'leads': os.getpgrp() == os.getpid(), 'said': sys.stdin.read()}))"
    events = []
    follow(python(code), events.append, log=tmp_path / "log")
    assert events[0]["leads"] is True
    assert events[0]["said"] == ""
    assert not is_running(events[0]["pid"])
