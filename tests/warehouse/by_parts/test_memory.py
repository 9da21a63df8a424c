"""Preparation holds a part of the ratings, not all."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from warehouse.publishing import publish_load
from warehouse.staging import auditable, stage_frame, staging_folder

ROOT = Path(__file__).parents[3]
USERS, LENGTH, ITEMS = 40_000, 100, 5003
ROWS_A_PART = 200_000
MOST = 0.6  # of what all rows at once take, on the same machine; parts take some 0.37
SCRIPT = """
import sys
from pathlib import Path
import pyarrow.compute  # else its import, late in a preparation, counts as well
from warehouse import preparing
from warehouse.home import Home
from warehouse.staging import staging_folder

def megabytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1000

home = Home.at(sys.argv[1])
preparing.ROWS_A_PART = int(sys.argv[2])
with staging_folder(home, "snapshot") as folder:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = megabytes("VmRSS")
    preparing.prepare(home, "load", "5-core", folder)
    print(megabytes("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_four_million_ratings_by_parts_take_less_memory_than_all_at_once(home):
    publish(home)
    assert megabytes(home, ROWS_A_PART) < MOST * megabytes(home, USERS * LENGTH)


def megabytes(home, rows_a_part: int) -> float:
    """Return the peak of a preparation's memory, above what its process had before."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(home.root), str(rows_a_part)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(done.stdout)


def publish(home) -> None:
    rng, rows = np.random.default_rng(0), USERS * LENGTH
    item = (rng.integers(0, ITEMS, USERS)[:, None] + np.arange(LENGTH) * 37) % ITEMS + 1
    frames = {
        "raw.ratings": pl.DataFrame(
            {
                "source_row": np.arange(1, rows + 1),
                "raw_user_id": np.repeat(np.arange(1, USERS + 1), LENGTH),
                "raw_item_id": item.ravel(),
                "rating": np.full(rows, 4.0),
                "timestamp": rng.integers(10**9, 15 * 10**8, rows),
            }
        ),
        "raw.items": pl.DataFrame({"raw_item_id": [1], "title": ["One"], "genres": [""]}),
        "raw.users": pl.DataFrame([], ("raw_user_id", "gender", "age", "occupation")),
        "raw.rejects": pl.DataFrame([], ("member", "source_row", "line", "reason")),
    }
    with staging_folder(home, "load") as folder:
        for table, frame in frames.items():
            stage_frame(folder, table, "load", frame)
        with auditable(folder) as connection:
            connection.execute(
                "INSERT INTO raw.loads VALUES ('load', 'ml-1m', 'x.zip', 'x', true, ?, ?, 0, 0, 0)",
                [datetime(2026, 1, 1), rows],
            )
        publish_load(home, folder)
