"""Commands in forks answer as processes of their own do: in time, for themselves, to the end."""

import fcntl
import os
import subprocess
import time

import pytest

VERSION = ("--version",)
SLOW = ("sql", "SELECT count(*) FROM range(100000000000) WHERE random() < 2")


@pytest.fixture
def ours(forks, empty):
    """A command in a fork, within some seconds."""

    def run(*words: str, seconds: float = 60):
        return forks.run(["fpt", *words], os.environ | {"FPT_HOME": str(empty)}, seconds)

    return run


def test_a_command_whose_time_is_up_is_ended_and_the_next_one_answers_for_itself(ours):
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        ours(*SLOW, seconds=1.5)
    assert time.monotonic() - began < 20
    assert ours(*VERSION).out.startswith("fpt ")


def test_a_command_that_nobody_waited_for_does_not_answer_the_next_question(
    ours, forks, monkeypatch
):
    """Its test was ended, as by pytest's own timeout."""
    told, times = forks._told, []

    def interrupted():
        times.append(forks.child)
        if len(times) == 2:
            raise KeyboardInterrupt
        return told()

    monkeypatch.setattr(forks, "_told", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ours(*SLOW, seconds=1.5)
    monkeypatch.undo()
    with pytest.raises(ProcessLookupError):
        os.kill(times[1], 0)
    assert ours("no-such-command").code == 2
    answer = ours(*VERSION)
    assert (answer.out.split()[0], answer.err) == ("fpt", "")


def test_output_that_somebody_still_writes_is_waited_for(forks, tmp_path):
    path = tmp_path / "out"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as `forked.become` does
        with subprocess.Popen(["sleep", "0.5"], stdout=file):
            file.close()
            assert not forks.closed(path, time.monotonic())
            assert forks.closed(path, time.monotonic() + 30)
