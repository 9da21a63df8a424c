"""Run commands in forks of a process that has loaded other people's libraries.

Great Expectations, pandas and SQLAlchemy take each command more than two seconds of a core. What is
ours, and Prefect, which reads its settings on import, each command imports itself. A JSON line says
what to run: its words, environment and folder, and where its output goes, or at which terminal it
is. A line with its process comes back. A line that names a process asks for its exit code, now or
at its end. Pages start from nothing as ever.
"""

import atexit
import fcntl
import gc
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from importlib import import_module

LOADED = (
    *("expectations.library", "pandas", "polars", "duckdb", "duckdb_engine", "pyarrow.compute"),
    *("fastapi.encoders", "httpx", "rich.console", "typer"),
)


def serve() -> dict:
    """Fork for each line; returns in the fork alone, with what it has to run."""
    for line in sys.stdin:
        asked = json.loads(line)
        if "pid" in asked:
            pid, status = os.waitpid(asked["pid"], 0 if asked["wait"] else os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if pid else None
            print(json.dumps({"code": code}), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            return asked
        print(json.dumps({"pid": pid}), flush=True)
    os._exit(0)  # libraries have threads that nobody ends


def become(asked: dict) -> None:
    """What a process of its own would find."""
    files = at_terminal(asked["terminal"]) if "terminal" in asked else with_files(asked["to"])
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = asked["words"]


def with_files(paths: list[str]) -> list[int]:
    files = [os.open(path, os.O_WRONLY | os.O_APPEND) for path in paths]  # they may be one
    for file in files:  # held by all that have it from us: so they can be waited for
        fcntl.flock(file, fcntl.LOCK_SH)
    return [os.open(os.devnull, os.O_RDONLY), *files]


def at_terminal(path: str) -> list[int]:
    """The one that its Ctrl-C comes from, whether or not ours is ignored."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return [os.open(path, os.O_RDWR) for _ in range(3)]  # the first is its session's from now on


def run() -> int:
    """The command, to the end that Python gives it; what is loaded is not taken down again."""
    from flows.entry import main

    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # as Python does: first threads are waited for
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    return code


if __name__ == "__main__":
    for name in LOADED:
        import_module(name)
    gc.collect()
    gc.freeze()  # what is loaded need not be gone through by each command
    become(serve())
    os._exit(run())
