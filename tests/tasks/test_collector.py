"""Garbage waits while modules are imported, on whatever thread, and no longer."""

import gc
import subprocess
import sys
import threading

import pytest

from tasks.collector import Collector


def test_it_is_held_until_the_last_importer_is_through():
    collector = Collector()
    with collector.held():
        collector.hold()
        assert not gc.isenabled()
    assert not gc.isenabled()
    collector.release()
    assert gc.isenabled()


def test_what_fails_meanwhile_lets_it_go():
    with pytest.raises(ZeroDivisionError), Collector().held():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_another_thread_may_be_the_last():
    collector, go_on = Collector(), threading.Event()

    def imports() -> None:
        go_on.wait(30)
        collector.release()

    with collector.held():
        collector.hold()
        thread = threading.Thread(target=imports)
        thread.start()
    assert not gc.isenabled()
    go_on.set()
    thread.join()
    assert gc.isenabled()


COMMAND = """
import atexit, gc, os, sys

def tell():
    print(gc.isenabled(), gc.get_freeze_count(), gc.get_stats()[2]["collections"])

atexit.register(tell)
sys.argv = ["fpt", *sys.argv[1:]]
from flows.entry import main
main()
"""


def test_a_command_collects_again_when_it_is_imported():
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "--version"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[1:] == ["True 0 0"]


def test_imports_ahead_hold_it_until_they_end():
    code = "import gc; from tasks.ahead import Ahead; ahead = Ahead(['json.tool']); ahead.begin(); "
    code += "ahead._thread.join(); print(gc.isenabled())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True\n", "")
