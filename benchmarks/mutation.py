"""Make small mistakes in what metrics rest on, one at a time, and run the tests that should see it.

    python benchmarks/mutation.py --count 300 --seed 7

Each mutant (see `mutate.py`) is written into a private copy of the tree, and the tests of its file
run there, in a child of a process that has the heavy packages loaded, until the first one fails. A
mutant that no test sees is printed with its file and line, before and after, unless
`mutation_accepted.py` says why it changes nothing that counts. Exit code 1 when one is left.

`--count N` takes N mutants of each kind of file in turn, by `--seed`; 0 takes all of them.
`--only PATTERN` takes files whose path contains this; `--line` one line of them.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from mutate import Mutant, mutants
from mutation_accepted import ACCEPTED

ROOT = Path(__file__).parents[1]
MEMORY = "/dev/shm"  # a folder without a disk, where there is one
COPIED = ("warehouse", "expectations", "fpt_model", "tasks", "flows", "tests", "docs", "benchmarks")
SECONDS = 120.0  # for the tests of a mutant
AT_ONCE = 2

# What a file's mistakes should be seen by: the quickest first.
FIGURES = (
    "test_views",
    "test_figures",
    "test_questions",
    "test_slices",
    "test_suspicions",
    "test_significance",
)
VIEWS = (*FIGURES, "test_backtest", "test_saved_queries", "test_report")
TRANSFORMS = ("test_transforms", "test_own_transforms", "test_options", "test_backtest")
LANDING = ("test_small_files", "test_landing_rejects", "test_landing", "test_datasets")
SUITES = (
    "test_expectations_suites",
    "test_own_data_audit",
    "test_backtest_audit",
    "test_expectations_runner",
)
RANKING = (
    "test_model_evaluating",
    "test_model_ahead",
    "test_model_refit",
    "test_model_cold_start_users",
)
TESTS = {
    "warehouse/figures.py": ("warehouse", FIGURES),
    "warehouse/sql/figures/*.sql": ("warehouse", FIGURES),
    "warehouse/sql/views/*.sql": ("warehouse", VIEWS),
    "warehouse/transforms/*.py": ("warehouse", TRANSFORMS),
    "expectations/keys.py": ("expectations", SUITES),
    "expectations/suites/*.py": ("expectations", SUITES),
    "fpt_model/training/ranking.py": ("fpt_model", RANKING),
    "warehouse/raw_ids.py": ("warehouse", LANDING),
    "warehouse/small_files.py": ("warehouse", LANDING),
}
# what the tables of ids have in common is in `expectations/keys.py`
LEFT_OUT = {"__init__.py", "raw_user_keys.py", "raw_item_keys.py"}


@dataclass
class Slot:
    """A private copy of the tree, and the child that runs tests in it.

    Attributes:
        tree: the copy.
        mutant: what is changed in it now.
        child: number of the process, 0 for none.
        deadline: when it is ended.
        text: of the mutant's file, unchanged: whoever runs this may go on working meanwhile.
    """

    tree: Path
    mutant: Mutant | None = None
    child: int = 0
    deadline: float = 0.0
    text: str = ""
    output: Path = field(init=False)

    def __post_init__(self) -> None:
        self.output = self.tree.with_suffix(".txt")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=0, help="mutants; 0: all")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[""], help="files whose path contains this")
    parser.add_argument("--line", type=int, help="mutants of this line alone")
    parser.add_argument("--list", action="store_true", help="show the mutants, run nothing")
    parser.add_argument("--minutes", type=float, default=1e9, help="start none after so many")
    parser.add_argument(
        "--left-out", nargs="*", help="tests that fail anyway; else a run finds them"
    )
    arguments = parser.parse_args()
    chosen = choose(arguments.only, arguments.line, arguments.count, arguments.seed)
    if arguments.list:
        for mutant in chosen:
            print(f"{mutant.path}:{mutant.line}: {mutant.kind}: {mutant.old!r} -> {mutant.new!r}")
        print(f"{len(chosen):,} mutants")
        return
    sys.exit(_campaign(chosen, 60 * arguments.minutes, arguments.left_out))


def targets(only: Sequence[str] = ("",)) -> Iterator[str]:
    """Files whose mistakes are tried."""
    for pattern in TESTS:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            if any(part in name for part in only) and path.name not in LEFT_OUT:
                yield name


def tests_of(path: str) -> list[str]:
    """Files of tests, and the file itself for the examples in its doc strings."""
    folder, names = next(tests for pattern, tests in TESTS.items() if fnmatch(path, pattern))
    own = [path] if path.endswith(".py") else []
    return [*own, *(f"tests/{folder}/{name}.py" for name in names)]


def narrowed(path: str) -> list[str]:
    """Options of pytest: of the cases of expectations those of one suite alone."""
    if not path.startswith("expectations/"):
        return []
    return ["-k", f"{Path(path).stem} or not broken_data"]


def choose(only: Sequence[str], line: int | None, count: int, seed: int) -> list[Mutant]:
    """The mutants to try: as many of each file, as far as it has them, in an order by chance."""
    chance = random.Random(seed)
    by_file = []
    for path in targets(only):
        found = mutants(path, (ROOT / path).read_text(encoding="utf-8"))
        own = [one for one in found if line in (None, one.line)]
        chance.shuffle(own)
        by_file.append(deque(own))
    chosen: list[Mutant] = []
    while any(by_file) and (not count or len(chosen) < count):
        chosen += [own.popleft() for own in by_file if own]
    return chosen[:count] if count else chosen


def _campaign(chosen: Sequence[Mutant], seconds: float, known: Sequence[str] | None) -> int:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as folder:
        slots = [Slot(Path(folder) / str(number)) for number in range(AT_ONCE)]
        for slot in slots:
            _copy(slot.tree)
        _preload(chosen)
        left_out = _failing(slots[0], chosen) if known is None else set(known)
        counts, survivors = _run(slots, chosen, left_out, started + seconds)
    for name in sorted(left_out):
        print(f"left out: {name} fails without a mutant")
    print(f"{sum(counts.values()):,} mutants:", end=" ")
    print(", ".join(f"{n:,} {name}" for name, n in sorted(counts.items())), end=", ")
    print(f"{time.monotonic() - started:.0f} s")
    return int(bool(survivors or left_out))


def _copy(tree: Path) -> None:
    tree.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.png", "*.pt")
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "Makefile", "constraints.txt"):
        shutil.copyfile(ROOT / name, tree / name)


def _preload(chosen: Sequence[Mutant]) -> None:
    """Packages that every child would load for itself; none of ours."""
    import duckdb  # noqa: F401
    import hypothesis
    import numpy as np  # noqa: F401
    import polars as pl  # noqa: F401
    import pytest  # noqa: F401

    if any(one.path.startswith("fpt_model") for one in chosen):
        import torch  # noqa: F401
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # nothing is made smaller
    hypothesis.settings.register_profile("mutants", phases=phases, database=None, deadline=None)


def _failing(slot: Slot, chosen: Sequence[Mutant]) -> set[str]:
    """Tests that fail without a mutant: they would kill whatever is tried."""
    files = sorted({name for one in chosen for name in tests_of(one.path)})
    slot.child = _start(slot, files, [], stop=False)
    os.waitpid(slot.child, 0)
    slot.child = 0
    said = slot.output.read_text(errors="replace")
    print(said.strip().rsplit("\n", 1)[-1], flush=True)
    return {
        line.split()[1] for line in said.splitlines() if line.startswith(("FAILED", "ERROR tests"))
    }


def _run(
    slots: Sequence[Slot], chosen: Sequence[Mutant], left_out: set[str], until: float
) -> tuple[Counter[str], list[Mutant]]:
    waiting, survivors = deque(chosen), list[Mutant]()
    counts: Counter[str] = Counter()
    while waiting or any(slot.child for slot in slots):
        for slot in slots:
            if slot.child and (result := _ended(slot)):
                assert slot.mutant is not None
                reason = ACCEPTED.get((slot.mutant.path, slot.mutant.before, slot.mutant.after))
                result = "accepted" if result == "survived" and reason else result
                counts[result] += 1
                if result in {"survived", "broken"}:
                    survivors.append(slot.mutant)
                    _show(slot.mutant, result)
            if not slot.child and waiting and time.monotonic() < until:
                _begin(slot, waiting.popleft(), left_out)
        if sys.stderr.isatty():
            print(f"\r{len(waiting):,} to go", end=" ", file=sys.stderr)
        if time.monotonic() >= until:
            waiting.clear()
        time.sleep(0.02)
    return counts, survivors


def _show(mutant: Mutant, result: str) -> None:
    print(f"{result}: {mutant.path}:{mutant.line}: {mutant.kind}")
    print(f"    - {mutant.before}\n    + {mutant.after}", flush=True)


def _begin(slot: Slot, mutant: Mutant, left_out: set[str]) -> None:
    path = slot.tree / mutant.path
    slot.mutant, slot.text = mutant, path.read_text(encoding="utf-8")
    path.write_text(mutant.apply(slot.text), encoding="utf-8")
    slot.deadline = time.monotonic() + SECONDS
    slot.child = _start(
        slot, [*narrowed(mutant.path), *tests_of(mutant.path)], sorted(left_out), stop=True
    )


def _start(slot: Slot, files: Sequence[str], left_out: Sequence[str], *, stop: bool) -> int:
    """A child of this process runs the tests: what is loaded here it need not load."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.setsid()
        output = os.open(slot.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = _test(slot, files, left_out, stop=stop)
    finally:
        os._exit(code)


def _test(slot: Slot, files: Sequence[str], left_out: Sequence[str], *, stop: bool) -> int:
    import pytest

    os.chdir(slot.tree)
    sys.path[0] = str(slot.tree)  # before the installed ones
    os.environ |= {"PYTHONPATH": str(slot.tree), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = stop  # of the unchanged tree alone it may be kept
    scratch = slot.tree.with_suffix(".tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    options = ["-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist"]
    options += ["--hypothesis-profile=mutants", "--hypothesis-seed=0", f"--basetemp={scratch}"]
    options += ["-x"] if stop else []
    options += [option for name in left_out for option in ("--deselect", name)]
    code = int(pytest.main([*options, *files]))
    import warehouse

    ours = str(warehouse.__path__[0]).startswith(str(slot.tree))
    return code if ours else 98  # the mutant was not what was tested


def _ended(slot: Slot) -> str:
    """What became of the mutant; empty while its tests run."""
    assert slot.mutant is not None
    number, status = os.waitpid(slot.child, os.WNOHANG)
    late = time.monotonic() > slot.deadline
    if not number and not late:
        return ""
    _end_group(slot.child)
    if not number:
        os.waitpid(slot.child, 0)
    (slot.tree / slot.mutant.path).write_text(slot.text, encoding="utf-8")
    slot.child = 0
    code = os.waitstatus_to_exitcode(status) if number else None
    if code is None:
        return "timed out"
    return {0: "survived", 1: "killed", 2: "killed"}.get(code, "broken")


def _end_group(child: int) -> None:
    """And what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
