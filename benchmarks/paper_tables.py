"""Both tables of the paper: seconds from sequences to published metrics, training and the rest.

    python benchmarks/paper_tables.py --source ml-1m.zip --device cuda --record

The tables have 30 trainings: TiSASRec, TiSASRec+, TiSASRec++ and SAS-FPT on 5-core data, TiSASRec
and SAS-FPT on cold-start data, five seeds each (`--model` names others, on both). Landing and
preparing come first and are not counted. Then `fpt benchmark` is one command, timed by the clock.
Where a GPU machine has no Prefect, training is timed there and the rest here:

    fpt export to-gpu --dataset ml-1m --source ml-1m.zip --preset paper      here
    python -m fpt_model train-all --jobs jobs.json > events.jsonl            there, in to-gpu
    python benchmarks/paper_tables.py … --trained to-gpu                     here, brought back

Then the two are added up; carrying the folder to and fro is not in it. Only the paper's figures can
be recorded: MovieLens 1M, its models and settings, five seeds.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from results import Result, add_arguments, command, cpu, keep, versions

EVENTS = "events.jsonl"
TRAINED = re.compile(r"(\d+) trainings took ([\d.]+) s, (.+)")


@dataclass(frozen=True)
class Training:
    """How long the process took that trained and ranked, its imports and compilation included."""

    count: int
    seconds: float
    device: str


@dataclass(frozen=True)
class Timed:
    """Training, and the seconds of the rest: audits, publishing, the flow itself."""

    training: Training
    rest: float
    device: str
    versions: dict[str, str]

    @property
    def figures(self) -> dict[str, float]:
        """In seconds, by the name that they are recorded under."""
        return {
            "paper_tables": self.training.seconds + self.rest,
            "paper_tables_training": self.training.seconds,
            "paper_tables_rest": self.rest,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="ml-1m")
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--model", action="append", default=[], help="instead of the paper's")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--trained", type=Path, help="exported folder that was trained elsewhere")
    add_arguments(parser)
    asked = parser.parse_args()
    papers = (asked.dataset, asked.preset, asked.seeds, asked.model) == ("ml-1m", "paper", 5, [])
    if (asked.record or asked.record_to) and not papers:
        parser.error("only the paper's figures are recorded: ml-1m, paper, 5 seeds, no --model")
    with tempfile.TemporaryDirectory() as folder:
        timed = measure(asked, Path(folder))
    for name, value in timed.figures.items():
        print(f"{name:22} {value:8.1f} s")
    print(f"{timed.training.count} trainings; {timed.device}")
    facts = (timed.device, timed.versions, command())
    keep(asked, *(Result(name, value, "s", *facts) for name, value in timed.figures.items()))


def measure(asked: argparse.Namespace, folder: Path) -> Timed:
    """Land and prepare, then train and publish by the clock, in a new home."""
    tables = ["--dataset", asked.dataset, "--source", str(asked.source)]
    tables += ["--preset", asked.preset, "--seeds", str(asked.seeds)]
    tables += [word for model in asked.model for word in ("--model", model)]
    home = folder / "home"
    exported = fpt("export", str(folder / "unused"), *tables, "--json", home=home)
    if asked.trained:
        shutil.copytree(asked.trained / "runs", home / "runs", dirs_exist_ok=True)
    began = time.perf_counter()
    done = fpt("benchmark", *tables, "--device", asked.device, home=home)
    seconds = time.perf_counter() - began
    print(done.stdout)
    wanted = json.loads(exported.stdout)[0]["trainings"]
    if asked.trained and TRAINED.search(done.stderr):
        raise SystemExit(f"Some trainings were not in {asked.trained} and were done here")
    training = trained_there(asked.trained / EVENTS) if asked.trained else trained_here(done.stderr)
    if training.count != wanted:
        raise SystemExit(f"The tables have {wanted} trainings, but {training.count} were timed")
    rest = seconds if asked.trained else seconds - training.seconds
    elsewhere = " on another machine" if asked.trained else ""
    device = f"training: {training.device}; the rest{elsewhere}: {cpu()}"
    return Timed(training, rest, device, used_versions(home))


def fpt(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run `fpt` to its end."""
    program = [Path(sys.executable).parent / "fpt", *words, "--home", home]
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done


def trained_here(said: str) -> Training:
    found = TRAINED.search(said)
    if found is None:
        raise SystemExit("Nothing was trained")
    return Training(int(found[1]), float(found[2]), found[3])


def trained_there(path: Path) -> Training:
    """What `train-all` printed, of one attempt that did all of the work."""
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if any(event["event"] == "resumed" or event.get("already") for event in events):
        raise SystemExit(f"{path} is of an attempt that found work of an earlier one")
    last = events[-1]
    if last["event"] != "finished":
        raise SystemExit(f"{path} ends with {last}, not with a whole training")
    return Training(last["trainings"], last["seconds"], last["device"])


def used_versions(home: Path) -> dict[str, str]:
    """Of the packages where training was, and of those of the rest here."""
    run = next(home.glob("runs/*/run.json"))
    there = json.loads(run.read_text(encoding="utf-8"))["versions"]
    return versions("prefect", "duckdb") | {name: there[name] for name in ("torch", "cuda")}


if __name__ == "__main__":
    main()
