"""Run programs in forks of a process that has loaded other people's libraries.

Great Expectations, pandas, SQLAlchemy and Prefect take each command more than three seconds of a
core, PyTorch each program of the models more than one. What is ours each imports itself; Prefect
reads its settings anew when it is imported. `forked_client.py` says over a socket what is to be
run, and sends three open files along. What the fork ends with comes back. What is typed at a
terminal starts from nothing unless a test says otherwise.
"""

import gc
import importlib
import importlib.util
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

# by its path: folders of tests are not on sys.path here
_spec = importlib.util.spec_from_file_location(
    "forked_end", Path(__file__).parents[1] / "forked_end.py"
)
forked_end = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(forked_end)

LOADED = {
    "fpt": (
        *("expectations.library", "pandas", "polars", "duckdb", "duckdb_engine"),
        *("pyarrow.compute", "fastapi.encoders", "httpx", "rich.console", "typer"),
        *("prefect", "prefect.artifacts", "prefect.flow_engine", "prefect.task_engine"),
    ),
    "fpt_model": ("torch", "pyarrow.compute", "pyarrow.parquet", "safetensors.torch"),
}
OURS = ("expectations", "fpt_model")  # of what is loaded: each takes its own
PREFECT = "prefect"
# libraries read such settings when they are loaded
READ_ON_LOAD = ("OMP_", "MKL_", "OPENBLAS_", "KMP_", "CUDA_", "TORCH", "PYTORCH_", "TRITON_")
# PyTorch's compiler says this itself, in whoever imports it, and reads it when it compiles
SAID_BY_A_LIBRARY = {"TORCHINDUCTOR_CACHE_DIR"}


def told_paths() -> list[str]:
    """Where the environment says that modules are."""
    told = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [str(Path(one).absolute()) for one in told if one]


OTHERS = [one for one in sys.path if one not in told_paths()]


@dataclass
class Asked:
    """What is to be run: `fpt …`, `python -m …` or `python -c …`."""

    words: list[str]
    environment: dict[str, str]
    folder: str
    client: str
    files: list[int] = field(default_factory=list)

    @property
    def library(self) -> str:
        """Whose libraries it needs."""
        return "fpt_model" if self.words[1:3] == ["-m", "fpt_model"] else "fpt"

    @property
    def fits(self) -> bool:
        """Whether it would have loaded them as they are loaded here."""
        same = read_on_load(self.environment) == read_on_load(os.environ)
        return same or self.library != "fpt_model"


def read_on_load(environment: Mapping[str, str]) -> dict[str, str]:
    names = {name for name in environment if name.startswith(READ_ON_LOAD)} - SAID_BY_A_LIBRARY
    return {name: environment[name] for name in names}


def received(connection: socket.socket) -> Asked | None:
    """What somebody asks for, if they still do."""
    head, files, _, _ = socket.recv_fds(connection, 4, 3)
    if not head:
        return None
    text = connection.recv(length := struct.unpack("<i", head)[0], socket.MSG_WAITALL)
    if len(text) < length:  # it was killed meanwhile
        for file in files:
            os.close(file)
        return None
    return Asked(**json.loads(text), files=files)


class Returning(MetaPathFinder, Loader):
    """Brings Prefect back as soon as somebody imports it, with the settings of that moment."""

    def __init__(self) -> None:
        self.modules = taken_away(PREFECT)

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """See `MetaPathFinder`."""
        if name != PREFECT:
            return None
        sys.meta_path.remove(self)
        sys.modules.update(self.modules)
        sys.modules["prefect.context"].refresh_global_settings_context()
        logging = sys.modules["prefect.logging.configuration"]
        logging.PROCESS_LOGGING_CONFIG = {}
        logging.setup_logging()
        return ModuleSpec(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """See `Loader`."""
        self.spec = self.modules[spec.name].__spec__
        return self.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """It ran when it was loaded."""
        module.__spec__ = self.spec


def taken_away(*packages: str) -> dict[str, ModuleType]:
    """Modules that are to be imported anew."""
    names = [name for name in sys.modules if name.partition(".")[0] in packages]
    return {name: sys.modules.pop(name) for name in names}


def load(library: str) -> None:
    """Load them, unless they are there."""
    for name in LOADED.pop(library, ()):
        importlib.import_module(name)
    taken_away(*OURS)
    if PREFECT in sys.modules:
        sys.meta_path.insert(0, Returning())
    gc.collect()
    gc.freeze()  # what is loaded need not be gone through by each program


def serve(listener: socket.socket) -> Asked:
    """Fork for whatever is asked for; returns in the forks alone, with what they have to run."""
    while True:
        if sys.stdin in select.select([sys.stdin, listener], [], [])[0]:
            reap()
            os._exit(0)  # libraries have threads that nobody ends
        with listener.accept()[0] as connection:
            asked = received(connection)
            if asked and asked.fits:
                if asked.library in LOADED:
                    load(asked.library)
                if os.fork() == 0:
                    listener.close()
                    supervise(connection, asked)
                    return asked
            for file in asked.files if asked else ():
                os.close(file)
        reap()


def reap() -> None:
    """What has ended leaves nothing behind."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def supervise(connection: socket.socket, asked: Asked) -> None:
    """Pass on the signals that come, and tell how the program ended; returns in the program alone.

    It is killed when nobody waits for it any more.
    """
    connection.sendall(b"+")
    program = os.fork()
    if program == 0:
        os.setsid()
        connection.close()
        return
    for file in asked.files:  # whoever reads them waits for their end
        os.close(file)
    ended = os.pidfd_open(program)
    while ended not in select.select([connection, ended], [], [])[0]:
        number = b""
        with suppress(ConnectionError):  # it is reset where nobody has heard of the beginning
            number = connection.recv(1)
        with suppress(ProcessLookupError):
            os.killpg(program, number[0] if number else signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    with suppress(OSError):
        connection.sendall(struct.pack("<i", code))
    os._exit(0)


def become(asked: Asked) -> None:
    """What a process of its own would find."""
    for number, file in enumerate(asked.files):
        os.dup2(file, number)
    os.closerange(3, 64)
    os.chdir(asked.folder)
    os.environ.clear()
    os.environ.update(asked.environment)
    time.tzset()
    tempfile.tempdir = None
    sys.argv = asked.words
    sys.executable = asked.client
    own = [] if asked.words[0] == "fpt" else [asked.folder]
    sys.path[:] = [*own, *told_paths(), *OTHERS]
    importlib.invalidate_caches()
    if "PYTHONUNBUFFERED" in os.environ:
        sys.stdout.reconfigure(write_through=True)


def program() -> None:
    """What Python would do on these words."""
    program, *words = sys.argv
    if program == "fpt":
        from flows.entry import main

        main()
    elif words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *words[2:]]
        main_module = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), vars(main_module))


if __name__ == "__main__":
    # whoever runs the tests in the background may have it ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    listener = socket.socket(fileno=int(sys.argv[1]))
    asked = serve(listener)
    become(asked)
    os._exit(forked_end.ended(program))
