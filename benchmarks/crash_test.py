"""Make the pipeline fail everywhere, run the same command again, and compare what there is then.

    python benchmarks/crash_test.py --kills 200 --seed 7

- Every named place of the code (`faults.point`, and each rename) fails in each way: an error that
  nobody foresees, a kill, a full disk.
- `--kills` more commands are killed at random instants.

Meanwhile others read what is published, over and over. After each fault the same command is run
again, and the home is compared with one in which nothing failed: rows of every table, audits,
files. Prints what was done, and these counts, all of which must be 0:

- torn: readers saw something that does not fit together;
- lost, double: rows, audits or files that are missing, or there too often;
- other: rows or files of another content;
- garbage: files that nobody needs;
- failed reruns: the same command did not end well;
- dead places: nothing came there, or nothing failed there.

Exit code 1 when a count is not 0. The flows' own functions run, in processes of their own, without
Prefect's engine around them (`crash_driver.py`); `--typed` faults more hit the real `fpt run`.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import duckdb
from crash_content import Content, content_of, difference

HERE = Path(__file__).parent
FPT = Path(sys.executable).parent / "fpt"
MEMORY = Path("/dev/shm")  # a folder without a disk, where there is one
KINDS = ("raise", "kill", "full")
MUST_BE_NONE = ("torn", "lost", "double", "other", "garbage", "failed reruns", "dead places")
N_USERS, N_ITEMS, LENGTH = 60, 140, 14
FORGOTTEN = 7
HANG_SECONDS = 300.0
TELL_EVERY = 10
# places that others pass, too, are tried here again
THOROUGH = ("restore", "forget", "prune", "upgrade")
# what readers meet of damage until it is mended: a file that can't be read, or is out of the
# catalogue; after `doctor` its rows are still to be made again
LOST_RATINGS = r"^(not read: .*store/raw\.ratings/|count of raw\.ratings )"
NO_RATINGS = r"^count of raw\.ratings .*, there 0$"
ONE_BACK = r"^publication \d+ after \d+$"
TRIES = 5
EVEN_LATER = 1.02  # some kills come after the end


@dataclass(frozen=True)
class Scenario:
    """A command, and the home it begins with.

    Attributes:
        name: of the scenario.
        driver: which of `crash_driver.py` runs it.
        do: the command there.
        arguments: of it, for a folder whose `home` is the home.
        start: makes the home from one in which `run` has ended.
        content: what is compared.
        damage: pattern of what readers may meet before it is mended, as it was put there.
        left: pattern of what they meet of it in the end, too.
    """

    name: str
    driver: str
    do: str
    arguments: Callable[[Path], dict[str, Any]]
    start: Callable[["Place"], None]
    content: Callable[[Path], Content] = content_of
    damage: str = ""
    left: str = ""


@dataclass(frozen=True)
class Fault:
    """What fails in a scenario: a place in some way, at some time; or a kill after a share of it.

    Attributes:
        scenario: its name.
        place: of the code; empty for a kill at some instant.
        kind: one of `KINDS`.
        number: which time.
        share: of the undisturbed command's duration.
    """

    scenario: str
    place: str = ""
    kind: str = "kill"
    number: int = 1
    share: float = 0.0

    def __str__(self) -> str:
        where = f"{self.place} ({self.number})" if self.place else f"{self.share:.3f} of its time"
        return f"{self.scenario}: {self.kind} at {where}"


@dataclass
class Seen:
    """An undisturbed command: its end, its duration, the places passed with the times of each."""

    content: Content
    seconds: float
    places: Counter[str]
    callers: set[str]


@dataclass
class Report:
    """What came of all faults."""

    faults: int = 0
    kills: int = 0  # at random instants
    reads: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    fired: set[tuple[str, str]] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)

    def add(self, fault: object, kind: str, details: Sequence[str]) -> None:
        """Count what was found, if anything, and say it."""
        if details:
            self.counts[kind] += 1
            self.lines.append(f"{kind}: after {fault}: {'; '.join(details)[:600]}")
            print(self.lines[-1], flush=True)


class Served:
    """A program that takes lines and answers each."""

    def __init__(self, *command: object, log: Path) -> None:
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "FPT_"))
        }
        environment |= {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
        environment |= {"POLARS_MAX_THREADS": "2", "PREFECT_HOME": str(log.parent / "prefect")}
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("a"),
            text=True,
            env=environment,
        )

    def tell(self, line: str) -> None:
        """Write a line to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for its next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.log.read_text())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class Place:
    """A folder with a home, in which one fault after the other happens."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.folder, self.archive = folder, archive
        folder.mkdir()
        self.home = folder / "home"
        self.log = folder / "said.log"
        self.drivers: dict[str, Served] = {}
        self.reader = Served(HERE / "crash_reader.py", log=folder / "reader.log")

    def driver(self, name: str) -> Served:
        """The driver of that name, started when it is first needed."""
        if name not in self.drivers:
            served = Served(HERE / "crash_driver.py", name, log=self.folder / f"{name}.log")
            served.answer()
            self.drivers[name] = served
        return self.drivers[name]

    def do(
        self,
        scenario: Scenario,
        environment: dict[str, str] | None = None,
        kill_after: float | None = None,
    ) -> tuple[int, float]:
        """Run its command; exit status and seconds."""
        driver = self.driver(scenario.driver)
        request = {
            "do": scenario.do,
            "arguments": scenario.arguments(self.folder),
            "environment": environment or {},
            "kill_after": kill_after,
            "log": str(self.log),
        }
        driver.tell(json.dumps(request))
        answer = driver.answer()
        return answer["status"], answer["seconds"]

    def read(self, damage: str = "", left: str = "") -> None:
        """Let the reader begin, who may meet these patterns meanwhile, and in the end."""
        self.reader.tell(json.dumps({"home": str(self.home), "damage": damage, "left": left}))

    def fresh(self, template: str) -> None:
        """The home as it was kept under this name; none if none was."""
        for path in (self.home, self.folder / "other", self.folder / "out"):
            shutil.rmtree(path, ignore_errors=True)
        (self.folder / "out").mkdir()
        if (self.folder / template).exists():
            shutil.copytree(self.folder / template, self.home, symlinks=True)

    def keep(self, template: str) -> None:
        """Keep the home as it is under a name."""
        shutil.copytree(self.home, self.folder / template, symlinks=True)

    def end(self) -> None:
        """End what it started."""
        for served in (*self.drivers.values(), self.reader):
            served.end()


class Typed(Place):
    """The same with the real command line, Prefect and all.

    Args:
        folder: of the place.
        archive: that is run.
        more: words of the command, beside those.
        environment: what it is told.
        fpt: the program.
    """

    def __init__(
        self,
        folder: Path,
        archive: Path,
        more: Sequence[str] = ("--model", "sasrec"),
        environment: dict[str, str] | None = None,
        fpt: Path = FPT,
    ) -> None:
        super().__init__(folder, archive)
        self.more, self.environment, self.fpt = more, environment or {}, fpt

    def do(
        self,
        scenario: Scenario,  # noqa: ARG002 - there is one
        environment: dict[str, str] | None = None,
        kill_after: float | None = None,
    ) -> tuple[int, float]:
        """Run `fpt run`, whatever the scenario; exit status and seconds."""
        words = ["--dataset", "ml-1m", "--source", self.archive, "--retention", "cold-start"]
        command = [self.fpt, "run", *words, *self.more, "--home", self.home]
        there = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "FPT_"))}
        there |= {"PREFECT_HOME": str(self.folder / "prefect"), "PYTHONPATH": str(HERE.parent)}
        there |= self.environment | (environment or {})
        began = time.monotonic()
        with self.log.open("a") as log:
            process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env=there)
            try:
                process.wait(HANG_SECONDS if kill_after is None else kill_after)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return process.returncode, time.monotonic() - began


def scenarios(archive: Path, models: Sequence[str]) -> list[Scenario]:
    """All of them; the first makes what the others begin with."""

    def run(folder: Path) -> dict[str, Any]:
        asked = {"dataset": "ml-1m", "source": str(archive), "retention": "cold-start"}
        return asked | {"models": list(models), "home": str(folder / "home")}

    def at_home(folder: Path) -> dict[str, Any]:
        return {"home": str(folder / "home")}

    def to(name: str) -> Callable[[Path], dict[str, Any]]:
        return lambda folder: at_home(folder) | {"output": str(folder / "out" / name)}

    def restore(folder: Path) -> dict[str, Any]:
        return at_home(folder) | {"backup_file": str(folder / "backup.tar")}

    def forget(folder: Path) -> dict[str, Any]:
        return at_home(folder) | {"user": FORGOTTEN}

    def download(folder: Path) -> dict[str, Any]:
        return at_home(folder) | {"source": str(archive)}

    def scores(folder: Path) -> dict[str, Any]:
        return at_home(folder) | {"file": str(folder / "out" / "scores.parquet")}

    def result(folder: Path) -> dict[str, Any]:
        return at_home(folder) | {"store": str(folder / "out" / "store")}

    def kernels(folder: Path) -> dict[str, Any]:
        return at_home(folder) | {"folder": str(folder / "out" / "to-gpu" / "kernels")}

    def jobs(folder: Path) -> dict[str, Any]:
        return {"jobs": str(folder / "out" / "jobs.json")}

    return [
        Scenario("run", "pipeline", "run", run, _nothing),
        Scenario("mend files", "pipeline", "run", run, _damage_files, damage=LOST_RATINGS),
        Scenario("mend catalogue", "pipeline", "run", run, _damage_catalogue, damage=ONE_BACK),
        Scenario(
            "doctor",
            "pipeline",
            "doctor",
            at_home,
            _damage_files,
            damage=LOST_RATINGS,
            left=NO_RATINGS,
        ),
        Scenario("train", "training", "train", jobs, _only_train, _runs_of),
        Scenario("train again", "training", "train", jobs, _lose_weights, _runs_of),
        Scenario("backup", "pipeline", "backup", to("b.tar"), _whole, _outputs_of),
        Scenario("restore", "pipeline", "restore", restore, _nothing),
        Scenario("report", "pipeline", "report", to("r.html"), _whole, _outputs_of),
        Scenario("forget", "pipeline", "forget", forget, _whole),
        Scenario("prune", "pipeline", "prune", at_home, _whole),
        Scenario("import scores", "pipeline", "import", scores, _with_scores),
        Scenario("bring a result", "pipeline", "bring", result, _without_a_run),
        Scenario("carry kernels", "pipeline", "carry", kernels, _with_kernels, _kernels_of),
        Scenario("export ranks", "pipeline", "export ranks", to("trec"), _whole, _outputs_of),
        Scenario("ask", "pipeline", "ask", to("a.csv"), _whole, _outputs_of),
        Scenario("fetch", "pipeline", "fetch", at_home, _nothing),
        Scenario("download", "pipeline", "download", download, _nothing),
        Scenario("upgrade", "pipeline", "upgrade", at_home, lambda place: place.fresh("old")),
    ]


def _nothing(place: Place) -> None:
    place.fresh("nothing")


def _whole(place: Place) -> None:
    place.fresh("whole")


def _without_a_run(place: Place) -> None:
    """A training's files are in a store that machines share, and not in the home."""
    from tasks.orders import put_result
    from warehouse.home import Home
    from warehouse.shared_store import open_store

    place.fresh("whole")
    run = next(place.home.glob("runs/*"))
    store = open_store(str(place.folder / "out" / "store"), print)
    put_result(store, Home(place.home), run.name)
    shutil.rmtree(run)


def _with_kernels(place: Place) -> None:
    """The home has two compiled kernels; what is in them does not matter here."""
    from fpt_model.files.kernels import Kept, write

    place.fresh("whole")
    for name in ("forward.cubin", "backward.cubin"):
        data = {name: name.encode() * 1000, "about.txt": b"two warps"}
        write(place.home / "kernels" / "triton-0-cpython-0-none", Kept(name, name, data))


def _with_scores(place: Place) -> None:
    """Beside the home a file with the best items of each user."""
    place.fresh("whole")
    with duckdb.connect(str(place.home / "published.duckdb"), read_only=True) as connection:
        connection.execute(
            "COPY (SELECT raw_user_id AS user, raw_item_id AS item, items.n_train AS score "
            "FROM core.users CROSS JOIN core.items) "
            f"TO '{place.folder / 'out' / 'scores.parquet'}' (FORMAT parquet)"
        )


def _damage_files(place: Place) -> None:
    """A file of the store loses its end, a training its record."""
    place.fresh("whole")
    stored = next(place.home.glob("store/raw.ratings/*/*.parquet"))
    stored.chmod(0o640)
    stored.write_bytes(stored.read_bytes()[:-9])
    next(place.home.glob("runs/*/run.json")).unlink()
    old = place.home / "store" / "raw.items" / "load_id=0" / "nobody.parquet"
    old.parent.mkdir()
    old.write_bytes(b"PAR1")
    os.utime(old, (0, 0))


def _damage_catalogue(place: Place) -> None:
    place.fresh("whole")
    newest = max(place.home.glob("catalogue/*.duckdb"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.chmod(0o640)
    newest.write_bytes(data)


def _only_train(place: Place) -> None:
    """Nothing but the sequences and a jobs file."""
    place.fresh("nothing")
    shutil.copytree(place.folder / "whole" / "sequences", place.home / "sequences")
    record = json.loads(next(place.folder.glob("whole/runs/*/order.json")).read_text())
    (sequences,) = place.home.glob("sequences/*.parquet")
    config = record["config"]
    job = {"sequences": str(sequences), "output": str(place.home / "runs" / "one")}
    jobs = [job | {"config": config, "seed": 0}]
    text = json.dumps({"code_version": record["code_version"], "jobs": jobs})
    (place.folder / "out" / "jobs.json").write_text(text)


def _lose_weights(place: Place) -> None:
    """A finished training whose weights are gone."""
    _only_train(place)
    kept = next(place.folder.glob("whole/runs/*"))
    shutil.copytree(kept, place.home / "runs" / "one")
    (place.home / "runs" / "one" / "best.safetensors").unlink()


def _runs_of(home: Path) -> Content:
    found = content_of(home)
    return Content(found.rows, found.audits, {k: v for k, v in found.files.items() if "runs" in k})


def _outputs_of(home: Path) -> Content:
    """What a command wrote beside the home; the bytes hold the time."""
    found = content_of(home)
    written = {f"../out/{path.name}": "" for path in (home.parent / "out").iterdir()}
    return Content(found.rows, found.audits, found.files | written)


def _kernels_of(home: Path) -> Content:
    """Whole kernels in the folder that travels; what a killed writer left, nobody reads there."""
    from warehouse.identity import sha256_of

    found, out = content_of(home), home.parent / "out"
    carried = {f"../out/{path.relative_to(out)}": path for path in out.rglob("*.zip")}
    written = {name: sha256_of(path) for name, path in carried.items()}
    return Content(found.rows, found.audits, found.files | written)


def undisturbed(place: Place, scenario: Scenario) -> Seen:
    """Run it without a fault, noting the places.

    Raises:
        RuntimeError: it does not end well.
    """
    scenario.start(place)
    notes = place.folder / "notes"
    notes.unlink(missing_ok=True)
    status, seconds = place.do(scenario, {"FPT_FAULT": ":note", "FPT_FAULT_NOTES": str(notes)})
    if status:
        raise RuntimeError(f"{scenario.name} failed: {place.log.read_text()[-3000:]}")
    lines = [line.split("\t") for line in notes.read_text().splitlines()] if notes.exists() else []
    places = Counter(name for name, _ in lines)
    return Seen(scenario.content(place.home), seconds, places, {caller for _, caller in lines})


def made_ready(place: Place, all_scenarios: Sequence[Scenario]) -> dict[str, Seen]:
    """What the scenarios begin with, and how each ends undisturbed."""
    first, *others = all_scenarios
    seen = {first.name: undisturbed(place, first)}
    place.keep("whole")
    by_name = {one.do: one for one in others}
    _prepare(place, by_name, "backup", lambda: place.folder.joinpath("out", "b.tar"))
    age = Scenario("age", "pipeline", "age", lambda folder: {"home": str(folder / "home")}, _whole)
    _whole(place)
    if place.do(age)[0]:
        raise RuntimeError(place.log.read_text()[-3000:])
    place.keep("old")
    return seen | {one.name: undisturbed(place, one) for one in others}


def _prepare(
    place: Place, by_name: dict[str, Scenario], do: str, output: Callable[[], Path]
) -> None:
    _whole(place)
    if place.do(by_name[do])[0]:
        raise RuntimeError(place.log.read_text()[-3000:])
    output().rename(place.folder / "backup.tar")


def faults_of(seen: dict[str, Seen], rng: random.Random, kills: int) -> list[Fault]:
    """Each place in each way, at a time drawn; and kills at random instants, half of them of `run`.

    First comes each place in one way, then the kills: a campaign which ends early, in the other
    ways, has been everywhere.
    """
    first: list[tuple[str, str]] = []
    for name, one in seen.items():
        known = set() if name in THOROUGH else {place for _, place in first}
        first += [(name, place) for place in sorted(one.places) if place not in known]
    turns = [
        [
            Fault(name, place, KINDS[(turn + at) % 3], rng.randint(1, seen[name].places[place]))
            for at, (name, place) in enumerate(first)
        ]
        for turn in range(len(KINDS))
    ]
    for turn in turns:
        rng.shuffle(turn)
    placed = [fault for turn in turns for fault in turn]
    others = [name for name in seen if name != "run"] or ["run"]
    names = ["run" if at % 2 == 0 else rng.choice(others) for at in range(kills)]
    random_ones = [Fault(name, share=rng.uniform(0, EVEN_LATER)) for name in names]
    return placed[: len(first)] + random_ones + placed[len(first) :]


def disturb(
    place: Place, scenario: Scenario, seen: Seen, fault: Fault, report: Report, lock: Any
) -> None:
    """Let one fault happen while somebody reads, run again, compare."""
    notes = place.folder / "notes"
    for _ in range(TRIES):
        scenario.start(place)
        notes.unlink(missing_ok=True)
        place.read(scenario.damage, scenario.left)
        struck = _strike(place, scenario, seen, fault, notes)
        if struck or fault.share >= 1:
            break
        _count_reads(place, fault, report, lock)  # it was done before the kill: once more
    else:
        place.read(scenario.damage, scenario.left)
    status, _ = place.do(scenario)
    _count_reads(place, fault, report, lock)
    found = difference(seen.content, scenario.content(place.home))
    with lock:
        report.faults += 1
        report.kills += struck and not fault.place
        if report.faults % TELL_EVERY == 0:
            print(f"{report.faults} faults so far", file=sys.stderr, flush=True)
        if fault.place and notes.exists():
            report.fired.add((fault.place, fault.kind))
        elif fault.place:
            report.add(fault, "dead places", ["nothing failed"])
        if status:
            words = place.log.read_text()[-500:]
            report.add(fault, "failed reruns", [f"status {status}: {words}"])
        for kind in ("lost", "double", "other", "garbage"):
            report.add(fault, kind, getattr(found, kind))


def _strike(place: Place, scenario: Scenario, seen: Seen, fault: Fault, notes: Path) -> bool:
    """Run its command with the fault; whether it was at work when the fault came.

    How long it takes hangs on what else the machine does: each that is done before tells anew.
    """
    if fault.place:
        asked = f"{fault.place}:{fault.kind}:{fault.number}"
        place.do(scenario, {"FPT_FAULT": asked, "FPT_FAULT_NOTES": str(notes)})
        return True
    status, seconds = place.do(scenario, kill_after=fault.share * seen.seconds)
    if status == -signal.SIGKILL:
        return True
    seen.seconds = seconds
    return False


def _count_reads(place: Place, fault: Fault, report: Report, lock: Any) -> None:
    """The reader stops; what it saw."""
    place.reader.tell("")
    read = place.reader.answer()
    with lock:
        report.reads += read["reads"]
        report.add(fault, "torn", read["torn"])


def _work(
    place: Place,
    all_scenarios: Sequence[Scenario],
    seen: dict[str, Seen],
    todo: "SimpleQueue[Fault]",
    report: Report,
    lock: Any,
    until: float,
) -> None:
    by_name = {one.name: one for one in all_scenarios}
    while time.monotonic() < until:
        try:
            fault = todo.get_nowait()
        except Empty:
            return
        disturb(place, by_name[fault.scenario], seen[fault.scenario], fault, report, lock)


def campaign(
    folder: Path,
    faults: Callable[[dict[str, Seen]], list[Fault]],
    *,
    workers: int = 2,
    minutes: float = 60.0,
    models: Sequence[str] = ("sasrec",),
    only: Sequence[str] = (),
) -> tuple[Report, dict[str, Seen]]:
    """Let all faults happen, in homes side by side, or as many as there is time for."""
    archive = write_archive(folder / "small.zip")
    all_scenarios = [
        one
        for one in scenarios(archive, models)
        if not only or one.name in (*only, "run", "backup")
    ]
    report, lock = Report(), threading.Lock()
    places = [Place(folder / f"place-{number}", archive) for number in range(workers)]
    seen: list[dict[str, Seen]] = [{} for _ in places]

    def get_ready(number: int) -> None:
        seen[number] = made_ready(places[number], all_scenarios)

    _side_by_side([lambda number=number: get_ready(number) for number in range(workers)])
    print(", ".join(f"{name} {one.seconds:.1f} s" for name, one in seen[0].items()), flush=True)
    until = time.monotonic() + 60 * minutes
    todo: SimpleQueue[Fault] = SimpleQueue()
    for fault in faults(seen[0]):
        todo.put(fault)

    def work(number: int) -> None:
        _work(places[number], all_scenarios, seen[number], todo, report, lock, until)

    _side_by_side([lambda number=number: work(number) for number in range(workers)])
    for place in places:
        place.end()
    return report, seen[0]


def _side_by_side(works: Sequence[Callable[[], None]]) -> None:
    errors: list[BaseException] = []

    def go(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=go, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def typed(
    place: Typed,
    faults: Callable[[Seen], Iterable[Fault]],
    report: Report,
    whole: Seen | None = None,
) -> None:
    """Let faults happen to the real command line.

    Args:
        place: for them.
        faults: of an undisturbed run.
        report: gets what came of it.
        whole: that run, if there was one already.
    """
    scenario = Scenario("typed run", "", "", lambda _: {}, _nothing)
    whole = whole or undisturbed(place, scenario)
    for fault in faults(whole):
        disturb(place, scenario, whole, fault, report, threading.Lock())
    place.end()


def write_archive(path: Path) -> Path:
    """Few users go round the items, a day apart; some wander, to stay human."""
    rows = []
    for user in range(1, N_USERS + 1):
        rng = random.Random(user)
        start = rng.randrange(N_ITEMS)
        items = [(start + step) % N_ITEMS + 1 for step in range(LENGTH)]
        if user % 3 == 0:
            items = rng.sample(range(1, N_ITEMS + 1), LENGTH)
        rows += [
            f"{user}::{item}::{step % 5 + 1}::{960_000_000 + 90_000 * step}"
            for step, item in enumerate(items)
        ]
    movies = [f"{item}::Film {item} (1999)::Drama" for item in range(1, N_ITEMS + 1)]
    users = [f"{user}::F::25::4::10115" for user in range(1, N_USERS + 1)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, lines in (("ratings", rows), ("movies", movies), ("users", users)):
            archive.writestr(f"ml-1m/{name}.dat", "\n".join(lines) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=200, help="at random instants")
    parser.add_argument("--typed", type=int, default=6, help="faults of the real command line")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60.0, help="no new fault after these")
    parser.add_argument(
        "--only", action="append", default=[], help="this scenario; repeat for more"
    )
    parser.add_argument("--keep", type=Path, help="do it in this folder, and leave it")
    asked = parser.parse_args()
    began = time.monotonic()
    memory = MEMORY if MEMORY.is_dir() else None
    folder = Path(asked.keep or tempfile.mkdtemp(dir=memory, prefix="crash-"))
    folder.mkdir(exist_ok=True)
    rng = random.Random(asked.seed)
    try:
        report, seen = campaign(
            folder,
            lambda found: _those(faults_of(found, rng, asked.kills), asked.only),
            workers=asked.workers,
            minutes=asked.minutes,
            only=asked.only,
        )
        places = {name for one in seen.values() for name in one.places}
        if asked.typed:
            place = Typed(folder / "typed", folder / "small.zip")
            typed(place, lambda whole: islice(_typed(whole, rng), asked.typed), report)
    finally:
        if asked.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{report.faults:,} faults, {report.kills} of them kills at random instants;", end=" ")
    print(f"{len(places)} places; {report.reads:,} reads meanwhile;")
    print(f"{len(report.fired)} of {len(places) * len(KINDS)} places and kinds fired;", end=" ")
    print(", ".join(f"{name} {report.counts[name]}" for name in MUST_BE_NONE), end=", ")
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(any(report.counts[name] for name in MUST_BE_NONE))


def _those(faults: list[Fault], only: Sequence[str]) -> list[Fault]:
    return [one for one in faults if not only or one.scenario in only]


def _typed(seen: Seen, rng: random.Random) -> Iterator[Fault]:
    """By turns a kill at some instant, and a place."""
    while True:
        yield Fault("typed run", share=rng.uniform(0, EVEN_LATER))
        place = rng.choice(sorted(seen.places))
        yield Fault("typed run", place, rng.choice(KINDS), rng.randint(1, seen.places[place]))


if __name__ == "__main__":
    main()
