"""One line when a command fails, whatever fails while it is told; servers that are not there."""

import errno
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
import typer
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import console, guard, logs, server
from flows.server import damage_of, refuse_unreachable
from flows.serving import AUTH, password, password_file
from tasks.telling import listens
from tasks.temporary import temporary
from warehouse.database import locked
from warehouse.errors import RefusedError
from warehouse.home import Home

FPT = Path(sys.executable).parent / "fpt"


@pytest.fixture
def said(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(console, "fail", lines.append)
    return lines


def fails(error: BaseException, home: Path | None) -> int:
    def action() -> None:
        raise error

    with pytest.raises(typer.Exit) as end:
        guard.exit_on_error(action, home)
    return end.value.exit_code


def full(name: str = "x.partial") -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)


def test_a_full_disk_is_one_line_with_the_file_and_what_to_do(said, tmp_path):
    assert fails(full("/h/x.partial"), tmp_path / "home") == 1
    assert said == [
        "The disk is full at /h/x.partial: got No space left on device. "
        "Free some of it; the same command goes on where it was."
    ]


def test_a_full_disk_under_a_library_s_error_is_seen(said, tmp_path):
    class SomeLibraryError(Exception):
        pass

    error = SomeLibraryError('IO Error: Could not write file "x": No space left on device')
    assert fails(error, tmp_path) == 1
    assert said[0].startswith("The disk is full: got IO Error")


def test_a_full_disk_under_a_refusal_of_ours_is_told_without_its_advice(said, tmp_path):
    cause = RefusedError("r.html can't be written", got=os.strerror(28), to_do="Make the folder")
    assert fails(cause, tmp_path) == 1
    assert said == [
        "The disk is full: got r.html can't be written. "
        "Free some of it; the same command goes on where it was."
    ]


def test_a_log_that_can_not_be_written_hides_no_error(said, tmp_path, monkeypatch):
    def refuse(home: Path) -> Path:
        raise full("fpt.log")

    monkeypatch.setattr(logs, "log_file", refuse)
    assert fails(ZeroDivisionError("so it went"), tmp_path) == 1
    (line,) = said
    assert line.startswith("ZeroDivisionError: so it went (at test_guard.py:")
    assert "no traceback kept: [Errno 28]" in line


def test_a_full_disk_makes_the_log_silent_not_loud(capfd):
    """Python's own handler prints a traceback for each line that it can't write."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here: it fails each write as a full disk does")
    handler = logs._Log("/dev/full", encoding="utf-8")
    handler.handle(logging.LogRecord("x", logging.INFO, "f", 1, "a line", (), None))
    handler.stream = None  # closing it would write once more
    assert capfd.readouterr().err == ""


def test_a_home_that_is_read_only_is_one_line(fpt, tmp_path):
    """/proc is read-only for root as well, whom modes do not stop."""
    if not Path("/proc/self").exists():
        pytest.skip("no /proc here: modes do not stop root")
    for command in (("ingest", "--dataset", "ml-1m", "--source", __file__), ("doctor",)):
        answer = fpt(*command, home=Path("/proc/fpt-home"))
        assert answer.code == 2
        assert len(answer.err.strip().splitlines()) == 1, answer.err
        assert "/proc/fpt-home" in answer.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_leaves_no_half_files(archive, prefect_home, tmp_path):
    """A file system of 300 KB, as a command meets it."""
    home = tmp_path / "home"
    home.mkdir()
    script = f"mount -t tmpfs -o size=300k none {home} && exec {FPT} ingest --dataset ml-1m "
    script += (
        f"--source {archive} --home {home}; code=$?; find {home} -type f -size +0 >&1; exit $code"
    )
    script = script.replace("exec ", "")
    environment = os.environ | {"PREFECT_HOME": str(prefect_home(tmp_path / "prefect"))}
    command = ["unshare", "--mount", "bash", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr.strip()}")
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().splitlines()
    assert "disk is full" in lines[-1], done.stderr
    assert "Traceback" not in done.stderr
    assert not [line for line in done.stdout.splitlines() if "staging" in line or "partial" in line]


@pytest.mark.parametrize(
    ("said", "words"),
    [("print(text)", []), ("c.console.out.print(text)", []), ("None", ["--help"])],
)
def test_a_reader_that_leaves_is_no_error(said, words):
    """As `head` does; more is printed than a pipe holds: by Python, by Rich, by Typer's help."""
    code = "import sys; import flows.cli as c; text = 'x ' * 300_000\n"
    code += f"c.app.command('spill', help=text)(lambda: {said})\n"
    code += f"sys.argv = ['fpt', 'spill', *{words}]; c.main()"
    command = f'{sys.executable} -c "$0" | head -c 1 > /dev/null; echo "${{PIPESTATUS[0]}}"'
    # unbuffered, Python loses the rest of what a pipe takes a part of, and says nothing
    there = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = ["bash", "-c", command, code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=there)
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_a_dead_server_is_one_clear_line_within_seconds():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    began = time.monotonic()
    with pytest.raises(RefusedError, match=r"No Prefect server .*got http.*refused.*unset PREFECT"):
        refuse_unreachable(dead, None)
    assert time.monotonic() - began < 30  # a machine may be busy
    assert not listens(dead)


def test_a_server_that_is_silent_is_not_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(RefusedError, match="timed out"):
            refuse_unreachable(f"http://127.0.0.1:{silent.getsockname()[1]}/api", None)
        assert time.monotonic() - began < 30  # a machine may be busy


@pytest.mark.parametrize("address", ["file:///etc/passwd", "4200", "http://"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(RefusedError, match="no address of a web server"):
        refuse_unreachable(address, None)


def test_a_lost_server_is_told_of_the_end_when_it_is_back(tmp_path, monkeypatch):
    heard: list[tuple[str, dict]] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            heard.append((self.path, json.loads(self.rfile.read(size))))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    home, run = Home.at(tmp_path / "home"), uuid4()
    with HTTPServer(("127.0.0.1", 0), Api) as api:
        address = f"http://127.0.0.1:{api.server_port}/api"
        monkeypatch.setattr(server, "_reported", [(address, None)])
        server.tell_later(home, run, "done")
        threading.Thread(target=api.serve_forever, daemon=True).start()
        monkeypatch.setattr(server, "_reported", [("http://127.0.0.1:9/api", None)])
        server.tell_untold(home)  # that is another server
        assert heard == []
        monkeypatch.setattr(server, "_reported", [(address, None)])
        server.tell_untold(home)
        server.tell_untold(home)  # once
        api.shutdown()
    state = {"type": "COMPLETED", "message": "done"}
    assert heard == [(f"/api/flow_runs/{run}/set_state", {"state": state, "force": True})]
    server.tell_later(home, run, "done")
    server.tell_untold(home)  # nobody listens any more: it waits on
    assert [path.stem for path in home.untold.iterdir()] == [str(run)]


def test_an_answer_that_the_server_refuses_is_no_telling(tmp_path, monkeypatch):
    """A restarted database may not know the run; the note is dropped then, not kept for good."""
    home, run = Home.at(tmp_path / "home"), uuid4()
    for status, kept in ((404, False), (500, True), (401, True)):
        monkeypatch.setattr(server, "_reported", [("http://h/api", None)])
        monkeypatch.setattr(server, "_status", lambda *_, status=status, **__: status)
        server.tell_later(home, run, "done")
        server.tell_untold(home)
        assert (home.untold / f"{run}.json").exists() is kept, status


def test_a_damaged_database_of_prefect_is_named(tmp_path):
    path = tmp_path / "prefect.db"
    assert damage_of(path) is None
    path.write_bytes(b"no database" * 1000)
    damage = damage_of(path)
    assert damage is not None
    assert str(path) in str(damage)
    assert "not a database" in str(damage)


def test_a_home_has_one_password_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.delenv(AUTH, raising=False)
    home = Home.at(tmp_path / "home")
    first = password(home)
    assert len(first.partition(":")[2]) >= 32
    assert password(home) == first
    assert password_file(home).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.root.glob("*.partial")] == []
    monkeypatch.setenv(AUTH, "anna:secret")
    assert password(home) == "anna:secret"


def test_a_password_that_others_may_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv(AUTH, raising=False)
    home = Home.at(tmp_path / "home")
    password(home)
    password_file(home).chmod(0o640)
    with pytest.raises(RefusedError, match=r"Others may read .*got 640, expected 600"):
        password(home)


def test_who_holds_a_lock_is_named(tmp_path):
    home = Home.at(tmp_path / "home")
    code = (
        "import sys, time; from warehouse.database import locked; from warehouse.home import Home;"
    )
    code += "sys.argv = ['/bin/fpt', 'run', '--seeds', '5']\n"
    code += f"with locked(Home.at({str(home.root)!r}), 'load-x'):\n"
    code += "    print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        expected = rf"load-x is in use by process {other.pid}, `fpt run --seeds 5`"
        with pytest.raises(RefusedError, match=expected), locked(home, "load-x", wait_seconds=0):
            pass
        other.kill()
    with locked(home, "load-x", wait_seconds=5):  # the kernel has freed it; the note said nothing
        pass
    assert list(home.locks.glob("*.holder")) == []


def test_a_second_flow_of_a_process_keeps_its_temporary_server(tmp_path, monkeypatch):
    class Begun:
        def stop(self) -> None:
            pytest.fail("the server that flows report to was stopped")

    monkeypatch.setattr(server, "_begun", [Begun()])
    monkeypatch.setattr(temporary, "used", True)
    monkeypatch.setattr(server, "refuse_unreachable", lambda *_: None)
    monkeypatch.setattr(server, "_use", lambda *_: None)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        server.connect(Home.at(tmp_path))
