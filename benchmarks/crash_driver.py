"""Run commands of the pipeline in forked processes, some of which are killed at a given moment.

What takes seconds to import is imported once. The flows' own functions run, without Prefect's
engine and server around them: nobody listens, so nothing is told. What trains is a process of its
own as ever, forked too. `crash_test.py` starts this,
writes a JSON line for each command, and reads a JSON line with how its process ended.
"""

import ctypes
import gc
import hashlib
import json
import logging
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

NOBODY = "http://127.0.0.1:9/api"
LOOK_SECONDS = 0.002
REFUSED, BROKE = 1, 2
DIE_WITH_PARENT = 1  # of Linux's prctl
SHORT = {"epochs": 8, "validate_every": 2}  # checkpoints enough for one to go


def main() -> None:
    works = {"pipeline": pipeline, "training": training}[sys.argv[1]]()
    gc.collect()
    gc.freeze()  # what is loaded here need not be gone through by each process
    print(json.dumps({"ready": sorted(works)}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        began = time.monotonic()
        status = _forked(works[request["do"]], request)
        print(json.dumps({"status": status, "seconds": time.monotonic() - began}), flush=True)
    os._exit(0)  # libraries have threads that nobody ends


def _forked(work: Callable[..., Any], request: dict[str, Any]) -> int:
    """Exit status; the negative number of the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        _become(request)
        os._exit(_status(work, request["arguments"]))
    if request.get("kill_after") is not None:
        deadline = time.monotonic() + request["kill_after"]
        while time.monotonic() < deadline:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(LOOK_SECONDS)
        os.kill(pid, signal.SIGKILL)  # it is not waited for yet: the number is still its own
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _become(request: dict[str, Any]) -> None:
    """Let go of the pipes of the one that forks; say everything into a log."""
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, to in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(to, number)
    os.environ.update(request.get("environment", {}))


def _status(work: Callable[..., Any], arguments: dict[str, Any]) -> int:
    from warehouse.errors import RefusedError

    try:
        return int(work(**arguments) or 0)
    except RefusedError as refusal:
        print(f"refused: {refusal}", flush=True)
        return REFUSED
    except BaseException:
        traceback.print_exc()
        return BROKE
    finally:
        sys.stdout.flush()


def _load_what_trains() -> None:
    """PyTorch once for all trainings."""
    from fpt_model.engines.cpu import training as engine  # noqa: F401
    from fpt_model.training import jobs  # noqa: F401


def training() -> dict[str, Callable[..., Any]]:
    """The program that trains, which keeps a checkpoint at each validation."""
    _load_what_trains()
    from fpt_model import __main__ as program
    from fpt_model.training import run as train

    train.SAVE_EVERY_SECONDS, train.SAVES = 0.0, float("inf")

    def train_all(jobs: str) -> int:
        here = ["--device", "cpu", "--cpu-processes", "1"]  # what is changed above is this one's
        return program.main(["train-all", *here, "--jobs", jobs])

    return {"train": train_all}


def pipeline() -> dict[str, Callable[..., Any]]:
    """The commands."""
    os.environ["PREFECT_API_URL"] = NOBODY
    import httpx
    import prefect

    prefect.task, prefect.flow = _plain, _plain  # type: ignore[assignment]
    _load_what_trains()
    from expectations import runner  # noqa: F401 - what takes seconds
    from flows import report as reports
    from flows.doctor import examine
    from flows.run import run
    from tasks import flow_runs, progress, servers, settings, temporary, training
    from warehouse import backup, fetch, forgetting, garbage, upgrade
    from warehouse.datasets import find
    from warehouse.home import Home

    temporary.temporary.used = True  # a run is dead when its process is
    servers.get_client = lambda **_: nullcontext(SimpleNamespace(read_flow_run=_unknown))
    flow_runs.tell = lambda action: action()
    sys.modules[run.__module__].tag = lambda *_: None  # type: ignore[attr-defined]
    flow_runs.create_markdown_artifact = lambda *_, **__: None
    flow_runs.get_run_logger = lambda: logging.getLogger("driver")  # type: ignore[assignment]
    progress.use(_Silent())
    garbage.SETTLED_SECONDS = 0.0  # nobody else works in the home: a lock is old at once
    training.follow = _follow
    full = settings.resolve_any
    settings.resolve_any = lambda *asked: replace(full(*asked), **SHORT)  # type: ignore

    def run_it(**asked: Any) -> int:
        flow_runs.flow_run = SimpleNamespace(id=str(uuid4()), tags=[])  # type: ignore[assignment]
        asked["source"] = Path(asked["source"])
        asked["home"] = Path(asked["home"])
        done = run(device="cpu", **asked)
        if hasattr(done, "message"):  # a state: it was refused
            print(done.message, flush=True)
            return REFUSED
        return 0

    def doctor(home: str) -> None:
        examine(Path(home), mend=True)

    def report(home: str, output: str) -> None:
        reports._example = _no_attention  # the weights' own words are not what is looked at
        reports.report(Path(home), Path(output), None)

    def fetched(home: str) -> None:
        from warehouse.synthetic import writer
        from warehouse.synthetic.world import SyntheticWorld

        small = SyntheticWorld(n_users=40)
        fetch.write_archive = lambda _, target, **__: writer.write_archive(small, target)
        fetch.fetch(find("synthetic"), Home.at(home))

    def download(home: str, source: str) -> None:
        data = Path(source).read_bytes()

        def answer(_: object) -> httpx.Response:
            return httpx.Response(200, stream=httpx.ByteStream(data), headers={"ETag": '"1"'})

        served = httpx.MockTransport(answer)
        fetch._client = lambda _: httpx.Client(transport=served)
        dataset = replace(find("ml-1m"), md5=hashlib.md5(data).hexdigest())
        fetch.fetch(dataset, Home.at(home))

    return {
        "run": run_it,
        "import": import_scores,
        "bring": bring,
        "carry": carry,
        "export ranks": export_ranks,
        "download": download,
        "age": age,
        "upgrade": lambda home: upgrade.upgrade(Home.at(home)) and 0,
        "doctor": doctor,
        "report": report,
        "backup": lambda home, output: backup.backup(Home.at(home), Path(output)) and 0,
        "restore": lambda home, backup_file: backup.restore(Home.at(home), Path(backup_file)) and 0,
        "forget": lambda home, user: forgetting.forget(Home.at(home), "ml-1m", user) and 0,
        "prune": prune,
        "ask": ask,
        "fetch": fetched,
    }


def ask(home: str, output: str) -> None:
    """Name a data set, and keep an answer as a file."""
    from io import BytesIO

    from flows import sql_answers
    from warehouse.choosing import remember
    from warehouse.home import Home
    from warehouse.records import Choice

    remember(Home.at(home), Choice("ml-1m", "cold-start"))
    sql_answers._write(BytesIO(b"n\n1\n"), Path(output))


def import_scores(home: str, file: str) -> int:
    """Import a file of scores."""
    from flows.importing import import_scores as flow
    from tasks import flow_runs

    flow_runs.flow_run = SimpleNamespace(id=str(uuid4()), tags=[])  # type: ignore[assignment]
    done = flow(Path(file), "theirs", trained_on="train", home=Path(home))
    if hasattr(done, "message"):
        print(done.message, flush=True)
        return REFUSED
    return 0


def export_ranks(home: str, output: str) -> None:
    """Write the ranks of a training as TREC's files."""
    from warehouse import trec
    from warehouse.home import Home
    from warehouse.records import Choice

    place = Home.at(home)
    of = trec.only_one(place, Choice(model="sasrec"))
    trec.export_ranks(place, of, "test", "full", Path(output), 3)


def bring(home: str, store: str) -> None:
    """Bring what a worker left in a shared store."""
    from tasks.orders import bring_result
    from warehouse.home import Home
    from warehouse.shared_store import open_store

    (run,) = (Path(store) / "trainings").iterdir()
    bring_result(open_store(store, print), Home.at(home), run.name)


def carry(home: str, folder: str) -> None:
    """Bring a home's compiled kernels into a folder that travels, as an export does."""
    from fpt_model.files.kernels import copy_whole
    from warehouse.home import Home

    copy_whole(Home.at(home).kernels, Path(folder))


def prune(home: str) -> None:
    """Remove everything."""
    from warehouse import pruning
    from warehouse.expiry import Rule
    from warehouse.home import Home

    place, everything = Home.at(home), Rule(keep=0)
    pruning.clear_up(place)
    if found := pruning.would_go(place, everything):
        pruning.prune(place, everything, found)


def age(home: str) -> None:
    """Make a home one of the version that kept all in one database."""
    import duckdb

    from warehouse.stored import KEYS
    from warehouse.upgrade import SMALL

    root = Path(home)
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{root / 'published.duckdb'}' AS now (READ_ONLY)")
        connection.execute(f"ATTACH '{root / 'warehouse.duckdb'}' AS old")
        for name in (*KEYS, *SMALL):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS old.{name.partition('.')[0]}")
            has = "publication" in connection.sql(f"FROM now.{name}").columns
            columns = "* EXCLUDE (publication)" if has else "*"
            connection.execute(f"CREATE TABLE old.{name} AS SELECT {columns} FROM now.{name}")
    for gone in ("catalogue", "store"):
        shutil.rmtree(root / gone)
    (root / "published.duckdb.wal").unlink()
    (root / "published.duckdb").unlink()


def _unknown(identity: object) -> None:
    from prefect.exceptions import ObjectNotFound

    raise ObjectNotFound(Exception(str(identity)))


def _no_attention(*_: object) -> None:
    from warehouse.errors import RefusedError

    raise RefusedError("Not asked here")


def _follow(command: Sequence[str], on_event: Callable[[Any], None], *, log: Path) -> None:
    """As that of `tasks/subprocesses.py`, for a program that is loaded already."""
    from fpt_model.__main__ import main as program
    from warehouse.errors import RefusedError

    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
        os.dup2(theirs, 1)
        os._exit(_status(program, {"arguments": command[3:]}))
    os.close(theirs)
    last: dict[str, Any] = {}
    with os.fdopen(ours) as lines:
        for line in lines:
            last = json.loads(line) if line.startswith("{") else last
            on_event(last)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise RefusedError("Training stopped", got=f"exit code {status}: {last}, {log}")


class _Silent:
    def report(self, *_: object) -> None:
        """Not looked at."""

    def note(self, text: str) -> None:
        print(text, flush=True)


def _plain(function: Any = None, **_: Any) -> Any:
    """In place of Prefect's `task` and `flow`: the function alone, and its result as a state."""
    if function is None:
        return _plain

    @wraps(function)
    def called(*args: Any, return_state: bool = False, **named: Any) -> Any:
        result = function(*args, **named)
        return SimpleNamespace(result=lambda: result) if return_state else result

    called.fn = function  # type: ignore[attr-defined]
    return called


if __name__ == "__main__":
    main()
