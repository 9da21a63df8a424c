"""What has yet to be measured on a GPU: on_a_gpu.toml, one measurement after the other.

    python benchmarks/on_a_gpu.py list
    python benchmarks/on_a_gpu.py prepare --folder F --sequences S --source ml-1m.zip --home .fpt
    python benchmarks/on_a_gpu.py run --folder F --minutes 9

`prepare` needs the whole pipeline. `run` is for a machine that has PyTorch and this checkout, with
the folder F that `prepare` wrote. It does what is not done, in the order of the file, and ends when
its minutes are over: a training that goes on where it stopped is cut off (SIGTERM), another
measurement does not begin unless its minutes are left. The same command goes on. What a measurement
printed is F/NAME/output.txt; F/NAME/done.json says that it is done, and how long it took. How its
figures get into the documents is its line `after`.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PLAN = Path(__file__).with_suffix(".toml")
PATIENCE = 30.0  # seconds that what is cut off has to end


@dataclass(frozen=True)
class Measurement:
    """A table of the plan; see there.

    Attributes:
        name: of its folder.
        question: that it answers.
        minutes: it takes, about.
        run: command lines.
        after: what to do with what it found.
        prepare: command lines, where the whole pipeline is.
        goes_on: whether it may be cut off, and goes on later.
    """

    name: str
    question: str
    minutes: float
    run: list[str]
    after: str
    prepare: Sequence[str] = ()
    goes_on: bool = False


def main(words: Sequence[str] | None = None, plan: Path = PLAN) -> int:
    asked = arguments(words)
    every = [Measurement(**table) for table in tomllib.loads(plan.read_text())["measurement"]]
    chosen = [one for one in every if not asked.only or one.name in asked.only]
    if missing := set(asked.only) - {one.name for one in every}:
        sys.exit(f"No measurement is called {', '.join(sorted(missing))}; `list` has all names.")
    if asked.command == "list":
        for one in chosen:
            print(f"{one.name:14} {one.minutes:3g} min  {one.question}")
        return 0
    if asked.command == "prepare":
        return prepare(chosen, asked)
    return run(chosen, asked.folder.resolve(), time.monotonic() + 60 * asked.minutes)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("list", "prepare", "run"):
        command = commands.add_parser(name)
        command.add_argument("--only", nargs="+", action="extend", default=[], metavar="NAME")
        if name != "list":
            command.add_argument("--folder", type=Path, required=True, help="one for all of them")
        if name == "prepare":
            command.add_argument("--sequences", type=Path, required=True, help="of ML-1M 5-core")
            command.add_argument("--source", type=Path, required=True, help="archive of ML-1M")
            command.add_argument("--home", type=Path, required=True)
        if name == "run":
            command.add_argument("--minutes", type=float, required=True)
    return parser.parse_args(words)


def prepare(chosen: Sequence[Measurement], asked: argparse.Namespace) -> int:
    """The folder that `run` reads; what is there already is not made again."""
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(asked.sequences, sequences_of(folder))
    places = {"source": asked.source.resolve(), "home": asked.home.resolve()}
    for one in chosen:
        mark = folder / one.name / "prepared.json"
        if mark.is_file():
            continue
        mark.parent.mkdir(exist_ok=True)
        for line in one.prepare:
            print(f"{one.name}: {line}", flush=True)
            command = ["bash", "-c", filled(line, folder, one, **places)]
            if subprocess.run(command, cwd=ROOT, check=False).returncode:
                return 1
        mark.write_text("{}\n")
    return 0


def run(chosen: Sequence[Measurement], folder: Path, until: float) -> int:
    """What is not done; returns 1 if something failed."""
    failed = False
    for one in chosen:
        left = until - time.monotonic()
        if (folder / one.name / "done.json").is_file():
            print(f"{one.name}: done before")
        elif left <= 0 or not (one.goes_on or left >= 60 * one.minutes):
            print(f"{one.name}: not begun, {max(0, left) / 60:.1f} minutes are left")
        else:
            print(f"{one.name}: {one.question}", flush=True)
            outcome = measured(one, folder, until)
            print(f"{one.name}: {outcome}", flush=True)
            failed |= outcome.startswith("failed")
    return int(failed)


def measured(one: Measurement, folder: Path, until: float) -> str:
    """Run its lines; says how that ended."""
    own, began = folder / one.name, time.monotonic()
    own.mkdir(parents=True, exist_ok=True)
    with (own / "output.txt").open("ab") as output:
        for line in one.run:
            code = ended(filled(line, folder, one), output, until if one.goes_on else None)
            if code is None:
                return "cut off, goes on at the next run"
            if code:
                return f"failed with exit code {code}, see {own / 'output.txt'}"
    took = round(time.monotonic() - began, 1)
    (own / "done.json").write_text(json.dumps({"seconds": took, "lines": one.run}) + "\n")
    return f"done in {took} s; then: {filled(one.after, folder, one)}"


def ended(line: str, output: Any, until: float | None) -> int | None:
    """The exit code of a line in a process group of its own, None if it was cut off."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        ["bash", "-c", line],
        cwd=ROOT,
        stdout=output,
        stderr=output,
        env=environment,
        start_new_session=True,
    )
    try:
        return process.wait(None if until is None else max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return None
    except BaseException:  # Ctrl-C: nothing goes on alone
        os.killpg(process.pid, signal.SIGKILL)
        raise


def filled(line: str, folder: Path, one: Measurement, **places: Path) -> str:
    """A command line with the places in it."""
    known = {
        "bin": Path(sys.executable).parent,
        "folder": folder / one.name,
        "sequences": sequences_of(folder),
    }
    for name, place in (known | places).items():
        line = line.replace(f"{{{name}}}", str(place))
    return line


def sequences_of(folder: Path) -> Path:
    return folder / "sequences.parquet"


if __name__ == "__main__":
    sys.exit(main())
