"""docs/results/speed.json: what the benchmarks measured, one object a figure.

A script in this folder imports it as `results`:

    record(Result("etl_1m", 3.0, "s", "CPU, 2 cores", versions("duckdb"), command()))

What was recorded on another machine (`--record-to FILE` there) is taken in by

    python benchmarks/results.py merge FILE
"""

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

SPEED = Path(__file__).parents[1] / "docs" / "results" / "speed.json"
DIGITS = 4


@dataclass(frozen=True)
class Result:
    """One figure.

    Attributes:
        name: what was measured; a later result of the same name replaces it.
        ours: the figure, in `unit`.
        unit: such as "s", "GB", "µs a step".
        device: what it was measured on.
        versions: of the packages that matter.
        command: prints the figure again.
        reference: the figure of what ours is compared with, same unit; None when there is none.
        ratio: how many times better ours is than the reference; None without one.
        date: of the measurement, UTC.
    """

    name: str
    ours: float
    unit: str
    device: str
    versions: Mapping[str, str]
    command: str
    reference: float | None = None
    ratio: float | None = None
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())


def record(*results: Result, path: Path = SPEED) -> None:
    """Write results, each in place of the one of its name; others stay. Ordered by name."""
    store([_row(result) for result in results], path)


def store(rows: Sequence[Mapping[str, object]], path: Path) -> None:
    """Write rows, each in place of the one of its name; others stay. Ordered by name."""
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    by_name = {row["name"]: row for row in [*stored, *rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([by_name[name] for name in sorted(by_name)], indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether and where to record; see `keep`."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--record", action="store_true", help="write docs/results/speed.json")
    where.add_argument("--record-to", type=Path, metavar="FILE", help="write another such file")


def keep(asked: argparse.Namespace, *results: Result) -> None:
    """Record what was measured, if that was asked for."""
    if asked.record or asked.record_to:
        record(*results, path=asked.record_to or SPEED)


def merge(file: Path, path: Path) -> list[str]:
    """Take the rows of another such file over. Returns their names."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    store(rows, path)
    return [row["name"] for row in rows]


def _row(result: Result) -> dict[str, object]:
    row = asdict(result)
    figures = {name: row[name] for name in ("ours", "reference", "ratio")}
    rounded = {
        name: None if value is None else float(f"{value:.{DIGITS}g}")
        for name, value in figures.items()
    }
    keys = ("unit", "device", "versions", "date", "command")
    return {"name": result.name} | rounded | {key: row[key] for key in keys}


def versions(*packages: str) -> dict[str, str]:
    """Of Python and of installed packages."""
    return {"python": platform.python_version()} | {
        package: metadata.version(package) for package in packages
    }


def command(arguments: Sequence[str] | None = None) -> str:
    """How this process was called; of files in other folders the name alone.

    >>> command(["benchmarks/etl.py", "--source", "/home/me/my films/ml-1m.zip", "--runs", "5"])
    'python benchmarks/etl.py --source ml-1m.zip --runs 5'
    """
    words = sys.argv if arguments is None else arguments
    shown = [Path(word).name if Path(word).is_absolute() else word for word in words[1:]]
    return shlex.join(["python", f"benchmarks/{Path(words[0]).name}", *shown])


def cpu() -> str:
    """The processor's name and how many of its cores this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["merge"])
    parser.add_argument("file", type=Path, help="written elsewhere")
    parser.add_argument("--into", type=Path, default=SPEED, help="default: docs/results/speed.json")
    asked = parser.parse_args()
    print(f"taken into {asked.into.name}:", ", ".join(merge(asked.file, asked.into)))


if __name__ == "__main__":
    main()
