"""Run commands in forks of a process that has loaded other people's libraries.

Great Expectations, pandas and SQLAlchemy take each command more than two seconds of a core. What is
ours, and Prefect, which reads its settings on import, each command imports itself. A JSON line says
what to run: its words, environment and folder, and where its output goes. Lines with its process
and its exit code come back. Pages, and what is typed at a terminal, start from nothing as ever.
"""

import atexit
import fcntl
import gc
import json
import os
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
        pid = os.fork()
        if pid == 0:
            return asked
        print(json.dumps({"pid": pid}), flush=True)
        print(json.dumps({"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}), flush=True)
    os._exit(0)  # libraries have threads that nobody ends


def become(asked: dict) -> None:
    """What a process of its own would find."""
    files = [
        os.open(os.devnull, os.O_RDONLY),
        *(os.open(path, os.O_WRONLY) for path in asked["to"]),
    ]
    for file in files[1:]:  # held by all that have it from us: so they can be waited for
        fcntl.flock(file, fcntl.LOCK_SH)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = asked["words"]


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
