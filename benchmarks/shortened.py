"""Histories without their test items: what was validation becomes test, the item before validation.

Whether a second training on all but the held-out item helps can't be seen on validation, which it
is trained on, and must not be chosen on test. Here it is seen on the true validation items.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fpt_model.files.written import write_table

SWAPPED = {"valid_candidates": "test_candidates", "test_candidates": "valid_candidates"}
LISTS = ("item_ids", "timestamps", "weeks", "ratings")
Row = dict[str, Any]


def write_shortened(path: Path, output: Path) -> None:
    """Write a sequences file like another, each history with held-out items one item shorter."""
    table = pq.read_table(path)
    rows = [shortened(row) for row in table.to_pylist()]
    facts = table.schema.metadata
    facts = facts | {b"snapshot_id": facts[b"snapshot_id"] + b"-shortened"}
    write_table(output, pa.Table.from_pylist(rows, table.schema.with_metadata(facts)))


def shortened(row: Row) -> Row:
    """One user's row; whoever has nothing left to train on before two held-out items only trains.

    Both splits' candidates are drawn from outside the whole history, so they may change places.

    >>> row = {"item_ids": [7, 8, 9, 5], "timestamps": [0, 9, 12, 13], "weeks": [1, 1, 1, 1],
    ...        "ratings": [8, 6, 9, 2], "n_train": 2, "time_scale": 9, "valid_candidates": [1],
    ...        "test_candidates": [2]}
    >>> shortened(row)["item_ids"], shortened(row)["n_train"], shortened(row)["time_scale"]
    ([7, 8, 9], 1, 1)
    >>> shortened(row)["ratings"]
    [8, 6, 9]
    >>> shortened(row)["test_candidates"]
    [1]
    """
    if row["n_train"] == len(row["item_ids"]):
        return row
    cut = {name: row[name][:-1] for name in LISTS}
    alone = row["n_train"] == 1
    n_train = len(cut["item_ids"]) if alone else row["n_train"] - 1
    candidates = {name: [] if alone else row[other] for name, other in SWAPPED.items()}
    gaps = [b - a for a, b in pairwise(cut["timestamps"][:n_train]) if b > a]
    return row | cut | candidates | {"n_train": n_train, "time_scale": min(gaps, default=1)}
