"""Temporary files of tests lie in memory: none is left there, not even by killed tests."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import importlib.util, pathlib, sys, time
spec = importlib.util.spec_from_file_location("conftest", sys.argv[1])
conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conftest)
memory = pathlib.Path(sys.argv[2])
conftest.remove_left(memory)
conftest.use_temporary(memory)
print(conftest.tempfile.gettempdir(), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they lie on a disk")
def test_what_killed_tests_left_goes_and_what_is_in_use_stays(tmp_path):
    def begin() -> tuple[subprocess.Popen, Path]:
        words = [
            sys.executable,
            "-c",
            TESTS,
            str(Path(__file__).with_name("conftest.py")),
            tmp_path,
        ]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen(words, text=True, **pipes)
        return process, Path(process.stdout.readline().strip())

    killed, left = begin()
    in_use, kept = begin()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert left.is_dir()
    third, own = begin()
    assert sorted(tmp_path.iterdir()) == sorted([kept, own])
    for process in (in_use, third):
        process.communicate()
        assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []
