"""Land archives changed at random, and compare what landed with what plain Python reads.

    python benchmarks/fuzz.py --count 10000 --seed 7

prints how many of them were landed and refused, and these counts, all of which must be 0:

- tracebacks: an error that is no `RefusedError`;
- hangs: more than 20 s for one of these small archives, or a process that died;
- silent changes: rows that landed are not those that plain Python reads;
- false refusals: an archive refused that plain Python reads;
- other reasons: a line rejected or an archive refused for another reason than plain Python's.

`--only N` lands one of them and writes its archive. Exit code 1 when a count is not 0.
"""

import argparse
import faulthandler
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import duckdb
from fuzz_mutants import Mutant, make_mutant
from fuzz_plain import Reading, RefusalError, read_archive

from warehouse.datasets import find
from warehouse.errors import RefusedError
from warehouse.landing import land
from warehouse.staging import audited

PER_TASK = 50
HANG_SECONDS = 20
MEMORY = "/dev/shm"  # a folder without a disk, where there is one
MUST_BE_NONE = ("tracebacks", "hangs", "silent changes", "false refusals", "other reasons")
TABLES = {
    "ratings": "SELECT source_row, raw_user_id, raw_item_id, rating, timestamp FROM raw.ratings",
    "items": "SELECT raw_item_id, title, genres FROM raw.items",
    "users": "SELECT raw_user_id, gender, age, occupation FROM raw.users",
    "rejects": "SELECT member, source_row, line, reason FROM raw.rejects",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        number: of the mutant.
        result: "landed" or "refused"; otherwise one of `MUST_BE_NONE`.
        detail: what was done to it and what differs.
    """

    number: int
    result: str
    detail: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, help="land this one alone and keep its archive")
    arguments = parser.parse_args()
    started = time.monotonic()
    if arguments.only is not None:
        path = Path(f"mutant-{arguments.seed}-{arguments.only}.zip")
        path.write_bytes(make_mutant(arguments.seed, arguments.only).packed)
        outcomes: Iterable[Outcome] = try_mutants(arguments.seed, [arguments.only])
    else:
        outcomes = _in_processes(arguments.seed, arguments.count, arguments.workers)
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts[outcome.result] += 1
        if outcome.detail:
            print(f"{outcome.result}: mutant {outcome.number}: {outcome.detail}", flush=True)
    print(f"{counts['landed']:,} landed, {counts['refused']:,} refused,", end=" ")
    print(", ".join(f"{name} {counts[name]}" for name in MUST_BE_NONE), end=", ")
    print(f"{time.monotonic() - started:.0f} s")
    sys.exit(any(counts[name] for name in MUST_BE_NONE))


def _in_processes(seed: int, count: int, workers: int) -> Iterator[Outcome]:
    """A worker that hangs ends itself, with its stack on stderr; that ends the campaign."""
    tasks = [range(first, min(first + PER_TASK, count)) for first in range(0, count, PER_TASK)]
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(try_mutants, seed, numbers) for numbers in tasks]
        for numbers, future in zip(tasks, futures, strict=True):
            try:
                yield from future.result()
            except BrokenProcessPool:
                yield Outcome(numbers[0], "hangs", f"or one of the {PER_TASK} after it")
                return


def try_mutants(seed: int, numbers: Iterable[int]) -> list[Outcome]:
    """Land each of these mutants in a folder that is deleted."""
    outcomes = []
    with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as folder:
        for number in numbers:
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            outcomes.append(_try(seed, number, Path(folder)))
            faulthandler.cancel_dump_traceback_later()
    return outcomes


def _try(seed: int, number: int, folder: Path) -> Outcome:
    mutant = make_mutant(seed, number)
    staged = folder / "staged"
    staged.mkdir()
    source = folder / "mutant.zip"
    source.write_bytes(mutant.packed)
    wanted = _wanted(mutant)
    try:
        land(find(mutant.dataset), source, staged)
    except RefusedError as refusal:
        result, why = _judge_refusal(mutant, wanted, str(refusal))
    except Exception:
        result, why = "tracebacks", traceback.format_exc()
    else:
        result, why = _judge_rows(wanted, audited(staged))
    shutil.rmtree(staged)
    return Outcome(number, result, f"{', '.join(mutant.done)}: {why}" if why else "")


def _wanted(mutant: Mutant) -> Reading | str:
    """What should land, or words of the refusal."""
    if mutant.refusal:
        return mutant.refusal
    try:
        return read_archive(mutant.dataset, mutant.files)
    except RefusalError as refusal:
        return str(refusal)


def _judge_refusal(mutant: Mutant, wanted: Reading | str, got: str) -> tuple[str, str]:
    if mutant.is_damaged:
        return "refused", ""
    if isinstance(wanted, Reading):
        return "false refusals", got
    return ("refused", "") if wanted in got else ("other reasons", f"{got!r}, not {wanted!r}")


def _judge_rows(wanted: Reading | str, database: Path) -> tuple[str, str]:
    if isinstance(wanted, str):
        return "silent changes", f"landed, but {wanted}"
    with duckdb.connect(str(database), read_only=True) as connection:
        for table, query in TABLES.items():
            got = sorted(connection.execute(query).fetchall())
            expected = sorted(getattr(wanted, table))
            if got != expected:
                result = "other reasons" if table == "rejects" else "silent changes"
                lost = [row for row in expected if row not in got]
                new = [row for row in got if row not in expected]
                return result, f"{table}: landed {new}, not {lost}"
    return "landed", ""


if __name__ == "__main__":
    main()
