"""Processes of `fpt up`: all of them end, with what they started, whatever they do about it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from flows import processes
from flows.processes import Processes, lives
from warehouse.errors import RefusedError

CHILD = "import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', {code!r}]); "
CHILD += "print(c.pid, flush=True); c.wait()"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@pytest.fixture
def ours(tmp_path) -> Processes:
    started = Processes(tmp_path)
    yield started
    for one in started.running.values():
        if one.poll() is None:
            one.kill()


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def first_line(ours: Processes, name: str) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if text := ours.log(name).read_text().strip():
            return text.splitlines()[0]
        time.sleep(0.02)
    raise AssertionError(f"{name} said nothing")


def test_who_ends_by_itself_is_named_with_its_last_words(ours):
    ours.start("good", python("import time; time.sleep(600)"))
    ours.start("bad", python("print('so it went')"))
    ours.running["bad"].wait(20)
    assert ours.dead() == "bad"
    assert ours.last_words("bad").startswith("so it went (all of it in ")


def test_a_deaf_child_of_a_child_is_killed_in_the_end(ours, monkeypatch):
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.5)
    ours.start("server", python("import time; time.sleep(600)"))
    ours.start("worker", python(CHILD.format(code=DEAF)))
    grandchild = int(first_line(ours, "worker"))
    time.sleep(0.3)  # until it is deaf
    started = time.monotonic()
    ours.stop(last="server")
    assert time.monotonic() - started < 60  # by itself it ends after ten minutes
    assert not lives(grandchild)
    assert [one.returncode for one in ours.running.values()] == [-signal.SIGTERM] * 2


def test_the_server_goes_last(ours):
    tell = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print("
    tell += "time.monotonic(), flush=True), sys.exit())); print('ready', flush=True); "
    tell += "time.sleep(600)"
    for name in ("server", "worker"):
        ours.start(name, python(tell))
        first_line(ours, name)
    ours.stop(last="server")
    ended = {name: float(ours.log(name).read_text().split()[1]) for name in ours.running}
    assert ended["worker"] < ended["server"]


def test_a_failed_step_is_told_in_its_own_words(ours):
    ours.run("good", python("pass"))
    with pytest.raises(RefusedError, match="No pool of that name"):
        ours.run("bad", python("import sys; sys.exit('No pool of that name')"))


def test_a_step_does_not_wait_for_what_is_gone(ours):
    ours.start("server", python("print('port taken')"))
    with pytest.raises(RefusedError, match="server ended by itself: got port taken"):
        ours.run("bootstrap", python("import time; time.sleep(600)"))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_a_kill_of_the_parent_ends_the_children(tmp_path):
    code = f"""
import time
from pathlib import Path
from flows.processes import Processes
ours = Processes(Path({str(tmp_path)!r}))
ours.start("worker", [{sys.executable!r}, "-c", "import time; time.sleep(600)"])
print(ours.running["worker"].pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert lives(child)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 5
        while lives(child) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert not lives(child)
