"""A share of `make fuzz`: what lands of a changed archive is what plain Python reads of it."""

import importlib
import re
import subprocess
import sys
import zipfile
from collections import Counter
from io import BytesIO
from itertools import count, islice
from pathlib import Path

import pytest

from warehouse import archive, encodings, lines, raw_ids, small_files

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
SEED = 11


@pytest.fixture
def fuzz():
    return importlib.import_module("fuzz")


@pytest.mark.parametrize(
    "part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 4))]
)
def test_changed_archives_land_as_plain_python_reads_them_or_are_refused(fuzz, part):
    outcomes = fuzz.try_mutants(SEED, range(100 * part, 100 * part + 100))
    assert [outcome for outcome in outcomes if outcome.detail] == []
    results = Counter(outcome.result for outcome in outcomes)
    assert set(results) == {"landed", "refused"}
    assert min(results.values()) > 20


def test_a_mutant_is_the_same_each_time_and_of_every_layout(fuzz):
    mutants = [fuzz.make_mutant(SEED, number) for number in range(60)]
    assert mutants == [fuzz.make_mutant(SEED, number) for number in range(60)]
    assert {mutant.dataset for mutant in mutants} == {"ml-1m", "ml-100k", "ml-latest-small"}
    assert len({mutant.packed for mutant in mutants}) == 60
    whole = [
        mutant for mutant in mutants if not mutant.is_damaged and "encrypted" not in mutant.done
    ]
    for mutant in whole:
        with zipfile.ZipFile(BytesIO(mutant.packed)) as archive:
            assert {member.date_time[0] for member in archive.infolist()} == {1980}  # no clock


def rejecting(fuzz, reason: str) -> list[int]:
    """The first mutants of which plain Python rejects a line for this reason, or all of it."""

    def fits(number: int) -> bool:
        wanted = fuzz._wanted(fuzz.make_mutant(SEED, number))
        words = [wanted] if isinstance(wanted, str) else [row[3] for row in wanted.rejects]
        return any(reason in text for text in words)

    return list(islice(filter(fits, count()), 3))


def nothing(*arguments, **named):
    return None


FAULTS = [
    ("control character", small_files, "_CONTROL", re.compile("(?!)"), "silent changes"),
    ("movie is above the limit", raw_ids, "MAX_ID", 2**32, "silent changes"),
    ("no line feed", small_files, "CUT", "cut", "other reasons"),
    ("points out of its folder", archive, "_problem", nothing, "silent changes"),
    ("got UTF-32", encodings, "wrong_encoding", nothing, "tracebacks"),
    ("line is over", small_files, "MAX_LINE_BYTES", 10**6, "silent changes"),
    ("ratings.dat is cut", lines, "_incomplete", nothing, "tracebacks"),
]


@pytest.mark.parametrize(("reason", "where", "name", "fault", "seen"), FAULTS)
def test_a_fault_in_the_reading_is_seen(fuzz, monkeypatch, reason, where, name, fault, seen):
    numbers = rejecting(fuzz, reason)
    monkeypatch.setattr(where, name, fault)
    results = {outcome.result for outcome in fuzz.try_mutants(SEED, numbers)}
    assert seen in results


def test_a_worker_that_hangs_is_counted_and_ends_the_campaign(tmp_path):
    """Even where no signal would be heard: it is ended from a thread of its own."""
    script = "import time, fuzz; fuzz.HANG_SECONDS = 1; fuzz.land = lambda *_: time.sleep(600); "
    script += f"fuzz.MEMORY = {str(tmp_path)!r}; print(*fuzz._in_processes(1, 1, 1))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=SCRIPTS, capture_output=True, text=True, timeout=60
    )
    assert "result='hangs'" in done.stdout
    assert "Timeout" in done.stderr
