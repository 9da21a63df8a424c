"""Run `python -m fpt_model` in forks of a process that has loaded PyTorch.

To load it takes each process two seconds of a core. So the server that forks a command's workers is
a fork of the command, too. A message says what to run: words, or a script; environment, folder, and
what to run first. With it come the files that get its process and exit code, output and errors.
"""

import gc
import importlib.util
import json
import os
import runpy
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing import util
from pathlib import Path

# by its path: folders of tests are not on sys.path here
_spec = importlib.util.spec_from_file_location(
    "forked_end", Path(__file__).parents[1] / "forked_end.py"
)
forked_end = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(forked_end)

LOADED = (
    *("fpt_model.training.worker", "fpt_model.training.ranking", "fpt_model.engines.cpu.training"),
    *("fpt_model.engines.distributed.follow", "torch.distributed.launcher.api"),
    *("pandas", "pyarrow.compute"),  # which pyarrow takes, when it is asked for arrays
    *("triton.language", "triton.backends.compiler"),
)
LARGEST = 1 << 20  # bytes of a message


def serve(requests: socket.socket) -> dict:
    """Fork for each message; returns in the fork alone, with what it has to run."""
    while True:
        said, files, *_ = socket.recv_fds(requests, LARGEST, 3)
        if not said:
            os._exit(0)  # libraries have threads that nobody ends
        with suppress(ChildProcessError):  # none is left
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if os.fork() == 0:
            requests.close()
            return waited_for(json.loads(said), *files)
        for file in files:
            os.close(file)


def waited_for(asked: dict, told: int, out: int, err: int) -> dict:
    """Fork again, and tell of it: first the process, last its exit code."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.close(told)
        return asked | {"to": (out, err)}
    for file in (out, err):
        os.close(file)
    with open(told, "w", encoding="ascii") as answers:
        print(pid, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)
    os._exit(0)


def become(asked: dict) -> None:
    """What a process of its own would find."""
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), *asked["to"])):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    tempfile.tempdir = None
    if threads := os.environ.get("OMP_NUM_THREADS"):
        sys.modules["torch"].set_num_threads(int(threads))
    # whoever runs the tests in the background may have it ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = asked["words"]
    util.spawnv_passfds = forked_server


def forked_server(path: bytes, words: Sequence[str], files: Sequence[int]) -> int:
    """`spawnv_passfds`; the server that forks need not load what is loaded."""
    if "forkserver" not in words[-1]:
        return spawn(path, words, files)
    pid = os.fork()
    if pid:
        return pid
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers
        if int(name) > 2 and int(name) not in files:
            with suppress(OSError):  # the folder's own
                os.close(int(name))
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    util._finalizer_registry.clear()
    code = 1
    try:
        exec(words[-1], {})
    except SystemExit:
        code = 0
    finally:
        os._exit(code)


def program(asked: dict) -> None:
    """What Python would do on these words."""
    exec(asked["first"], {})
    if asked["script"]:
        sys.path.insert(0, os.path.dirname(asked["script"]))  # noqa: PTH120 - as Python does
        runpy.run_path(asked["script"], run_name="__main__")
    else:
        sys.exit(import_module("fpt_model.__main__").main())


if __name__ == "__main__":
    for name in LOADED:
        with suppress(ImportError):  # Triton is not everywhere
            import_module(name)
    import_module("fpt_model.engines.compile_aside").hash_triton()
    spawn = util.spawnv_passfds
    gc.collect()
    gc.freeze()  # what is loaded need not be gone through by each command
    command = serve(socket.socket(fileno=int(sys.argv[1])))
    become(command)
    os._exit(forked_end.ended(lambda: program(command)))
