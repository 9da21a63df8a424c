"""The figures of published trainings as JSON that outlives the warehouse; no user's data in it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warehouse.database import statements
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.questions import ask
from warehouse.visible import json_value

Row = dict[str, Any]
RUN = ("dataset", "retention", "preset", "variant", "seed")
RUNG = ("dataset", "retention", "preset", "variant", "baseline", "protocol", "metric")
TIMEOUT_SECONDS = 600.0  # intervals of many trainings take longer than people's questions may


@dataclass(frozen=True)
class Kind:
    """One of the files: its question (`sql/questions/<name>.sql`), and what tells rows apart."""

    name: str
    key: tuple[str, ...]


KINDS = (Kind("runs", RUN), Kind("curves", RUN), Kind("comparisons", RUNG))


def export_results(home: Home, folder: Path, dataset: str, preset: str) -> dict[str, int]:
    """Write the figures of a data set under a preset into the folder's files.

    A model's seeds are replaced together: a preset's settings may have changed, rows don't say
    them, and a mean of both would be of no model. All other rows stay. Files: `runs.json`, an
    object a training with its metrics at 10 on test; `curves.json`, its validations by epoch;
    `comparisons.json`, an object a rung of the ladder, protocol and metric, with its paired 95 %
    interval on test.

    Returns:
        The number of rows taken from the warehouse, by file.

    Raises:
        RefusedError: nothing of that kind is published, or a file holds something else.
    """
    found = {kind.name: _rows(home, kind, dataset, preset) for kind in KINDS}
    if not found["runs"]:
        raise RefusedError(
            f"No training on {dataset} with preset {preset} is published",
            to_do=f"Run `fpt benchmark --dataset {dataset} --preset {preset}` first",
        )
    paths = {kind: folder / f"{kind.name}.json" for kind in KINDS}
    texts = {
        path: as_lines(merged(_stored(path), found[kind.name], kind.key))
        for kind, path in paths.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return {path.name: len(found[kind.name]) for kind, path in paths.items()}


def merged(stored: Sequence[Row], new: Sequence[Row], key: Sequence[str]) -> list[Row]:
    """All rows in the order of their keys; of what has new ones, whatever the seed, these alone.

    >>> stored = [{"model": "a", "seed": 2}, {"model": "b", "seed": 0}]
    >>> merged(stored, [{"model": "a", "seed": 1}], ["model", "seed"])
    [{'model': 'a', 'seed': 1}, {'model': 'b', 'seed': 0}]
    """
    whose = [name for name in key if name != "seed"]
    replaced = {tuple(row[name] for name in whose) for row in new}
    kept = [row for row in stored if tuple(row[name] for name in whose) not in replaced]
    by_key = {tuple(row[name] for name in key): row for row in [*kept, *new]}
    return [by_key[values] for values in sorted(by_key)]


def as_lines(rows: Sequence[Row]) -> str:
    """A JSON list with a line for each object, so that a change is one line of a diff."""
    lines = ",".join(f"\n{json.dumps(row, ensure_ascii=False)}" for row in rows)
    return f"[{lines}\n]\n"


def _rows(home: Home, kind: Kind, dataset: str, preset: str) -> list[Row]:
    question = statements(f"questions/{kind.name}")
    answer = ask(home, question, [dataset, preset], timeout_seconds=TIMEOUT_SECONDS)
    rows = [{name: json_value(value) for name, value in row.items()} for row in answer.to_dicts()]
    for row in rows:
        if "versions" in row:
            row["versions"] = json.loads(row["versions"])
    return rows


def _stored(path: Path) -> list[Row]:
    if not path.exists():
        return []
    try:
        rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RefusedError(f"{path} is no JSON", got=str(error)) from error
    return rows
