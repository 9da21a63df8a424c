"""Programs in forks answer as processes of their own do: in time, for themselves, to the end."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def test_a_command_that_nobody_waits_for_is_ended(forks, tmp_path, monkeypatch):
    """Its test was ended, as by pytest's own timeout."""
    said = tmp_path / "process"

    def interrupted(_):
        while not said.exists() or not said.read_text():
            time.sleep(0.005)
        raise KeyboardInterrupt

    monkeypatch.setattr(forks, "_told", interrupted)
    code = f"import os, time; open({str(said)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt):
        forks.run(["python", "-c", code], os.environ, 60)
    end = time.monotonic() + 10
    while is_there(int(said.read_text())):
        assert time.monotonic() < end
        time.sleep(0.005)


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_output_that_somebody_still_writes_is_waited_for(forks, tmp_path):
    path = tmp_path / "out"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as `Forks._ask` does
        with subprocess.Popen(["sleep", "0.5"], stdout=file):
            file.close()
            assert not forks.closed(path, time.monotonic())
            assert forks.closed(path, time.monotonic() + 30)


@pytest.fixture
def model(forks, tmp_path):
    """A package `fpt_model` whose program is so, begun as `python -m`."""
    forks.start()

    def start(program: str, **more: str) -> subprocess.Popen:
        (tmp_path / "fpt_model").mkdir()
        (tmp_path / "fpt_model" / "__main__.py").write_text(f"import os, sys, time\n{program}")
        return subprocess.Popen(
            [forks.bin / "python", "-m", "fpt_model", "a word"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": "", "SAID": "so"} | more,
        )

    return start


def test_python_has_the_words_the_folder_the_files_and_the_end_of_a_program(model, tmp_path):
    program = "print(sys.argv[1:], os.environ['SAID'], os.getcwd(), 'torch' in sys.modules)\n"
    program += "print(sys.stdin.read(), file=sys.stderr)\nsys.exit(7)"
    process = model(program)
    out, err = process.communicate("typed", 60)
    assert out == f"['a word'] so {tmp_path} True\n"
    assert (process.returncode, err) == (7, "typed\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_reaches_the_program_and_ends_both(model, number):
    process = model("print(os.getpid(), flush=True)\ntime.sleep(60)")
    program = int(process.stdout.readline())
    process.send_signal(number)
    assert process.wait(30) in (-number, 1)  # Python has a traceback and 1 for a Ctrl-C
    end = time.monotonic() + 10
    while is_there(program):
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_program_whose_libraries_would_be_loaded_otherwise_is_a_process_of_its_own(model):
    process = model("print('torch' in sys.modules)", OMP_NUM_THREADS="3")
    assert process.communicate(timeout=60)[0] == "False\n"


def test_what_pytorchs_compiler_has_said_itself_is_no_reason_for_that(model):
    process = model("print('torch' in sys.modules)", TORCHINDUCTOR_CACHE_DIR="/somewhere/else")
    assert process.communicate(timeout=60)[0] == "True\n"


def test_prefect_is_imported_with_the_settings_of_the_command(forks, tmp_path):
    code = "import sys, logging; print('prefect' in sys.modules); import prefect.settings as it; "
    code += "print(it.PREFECT_API_URL.value(), it.PREFECT_HOME.value(), prefect_level()); "
    code = "prefect_level = lambda: logging.getLogger('prefect').level\n" + code
    for name, level in (("one", 40), ("two", 10)):
        told = {"PREFECT_API_URL": f"http://{name}.test/api", "PREFECT_HOME": str(tmp_path / name)}
        told["PREFECT_LOGGING_LEVEL"] = "ERROR" if level == 40 else "DEBUG"
        answer = forks.run(["python", "-c", code], os.environ | told, 60)
        assert answer.err == ""
        assert answer.out == f"False\nhttp://{name}.test/api {tmp_path / name} {level}\n"


def test_all_else_python_does_itself(forks):
    code = "import sys; print(sys.argv[1:], 'torch' in sys.modules, sys.executable)"
    said = subprocess.check_output([forks.bin / "python", "-c", code, "x"], text=True)
    assert said == f"['x'] False {Path(sys.executable)}\n"
