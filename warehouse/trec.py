"""Our ranks as files of TREC's two formats, for tools that measure them on their own.

A run has `query Q0 document rank score tag` in each line, qrels have `query 0 document relevance`.
Only the rank of each held-out item is stored, not who stands above it: those places are filled with
documents called `other:1`, `other:2` …, which no qrels have. Ids are written as in addresses: all
but ASCII letters, digits and `-._~` becomes `%` and two hex digits, so none is taken for another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from warehouse.catalogue import reading
from warehouse.database import quoted, statements
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.placing import put_in_place
from warehouse.records import Choice

RUN, QRELS = "run.trec", "qrels.trec"
LINES = "FORMAT csv, DELIMITER ' ', HEADER false"
SHOWN = 5


@dataclass(frozen=True)
class Ranked:
    """A training or an imported model with its ranks; see `sql/questions/board_runs.sql`."""

    run_id: str
    snapshot_id: str
    model: str
    display_name: str
    dataset: str
    retention: str
    preset: str
    seed: int | None
    known_to: int | None
    splits: list[str]

    @property
    def tag(self) -> str:
        """What it is called in the last field of a run; no blanks are allowed there."""
        seed = "" if self.seed is None else f"-seed{self.seed}"
        return "-".join(f"{self.model} {self.preset}{seed}".split())

    @property
    def name(self) -> str:
        """What it is called in messages."""
        seed = "" if self.seed is None else f" seed {self.seed}"
        return f"{self.display_name}{seed}, {self.preset}, {self.dataset} {self.retention}"


def only_one(home: Home, choice: Choice, preset: str = "", split: str = "test") -> Ranked:
    """The one that is meant.

    Args:
        home: where it is published.
        choice: what is named of it.
        preset: its preset; empty for any.
        split: of several those are meant that count in it.

    Raises:
        RefusedError: there is none, or there are several.
    """
    words = [choice.run_id, choice.dataset, choice.retention, preset, choice.model]
    with reading(home) as connection:
        found = _ranked(connection, words, older=False)
        older = [] if found else _ranked(connection, words, older=True)
    found = [one for one in found if split in one.splits] or found
    if len(found) == 1:
        return found[0]
    asked = " ".join(word for word in words if word) or "anything"
    if older:
        raise RefusedError(
            "These ranks count no more: they are of an older snapshot, or were replaced",
            got=asked,
            to_do=f"Name one by --run: {_shown(older)}",
        )
    if not found:
        raise RefusedError(
            "There are no such ranks", got=asked, to_do="`fpt sql runs` lists what is published"
        )
    raise RefusedError(
        f"There are ranks of {len(found)} that fit",
        got=asked,
        expected=f"one: {_shown(found)}",
        to_do="Name it by --run, or by --model, --preset, --dataset, --retention",
    )


def _ranked(
    connection: duckdb.DuckDBPyConnection, words: Sequence[str], *, older: bool
) -> list[Ranked]:
    """What these words name; with `older`, though it does not count any more."""
    query = statements("questions/board_runs")
    return [Ranked(*row) for row in connection.execute(query, [*words, older]).fetchall()]


def _shown(found: Sequence[Ranked]) -> str:
    shown = "; ".join(f"{one.run_id} ({one.name})" for one in found[:SHOWN])
    return f"{shown}, and {len(found) - SHOWN} more" if len(found) > SHOWN else shown


def export_ranks(
    home: Home, of: Ranked, split: str, protocol: str, folder: Path, depth: int
) -> dict[str, Any]:
    """Write a run and its qrels into a folder; what is there of these names is replaced.

    Args:
        home: where it is published.
        of: whose ranks.
        split, protocol: which of them.
        folder: made when missing.
        depth: lines for each user; fewer where less is known or ranked.

    Returns:
        How many users and lines, how many users stand between two places, and NDCG@10, ours and
        that of the files; None where a list ends before.

    Raises:
        RefusedError: it has no ranks of these; the folder can't be written.
    """
    depth = depth if of.known_to is None else min(depth, of.known_to)
    facts = {"run_id": of.run_id, "snapshot_id": of.snapshot_id, "split": split}
    with reading(home) as connection:
        connection.execute(statements("trec/ranks"), facts | {"protocol": protocol})
        named = {"depth": depth, "known_to": of.known_to}
        question = connection.sql(statements("trec/metrics"), params=named)
        row = dict(zip(question.columns, question.fetchall()[0], strict=True))
        if not row["users"]:
            raise RefusedError(
                f"{of.name} has no ranks of {split} under {protocol}",
                expected=_parts(connection, of.run_id),
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lines = _write(connection, "trec/run", folder / RUN, {"depth": depth, "tag": of.tag})
            _write(connection, "trec/qrels", folder / QRELS, {})
        except (OSError, duckdb.IOException) as error:
            raise RefusedError(
                f"{folder} could not be written", got=str(error), to_do="Give another folder"
            ) from error
    return {"model": of.display_name, "run_id": of.run_id, "lines": lines, "depth": depth} | row


def _parts(connection: duckdb.DuckDBPyConnection, run_id: str) -> str:
    """The splits and protocols that there are ranks of."""
    query = (
        "SELECT DISTINCT split, protocol FROM mart.run_metrics WHERE run_id = ? ORDER BY ALL DESC"
    )
    rows = connection.execute(query, [run_id]).fetchall()
    return ", ".join(f"{split} under {protocol}" for split, protocol in rows) or "none at all"


def _write(
    connection: duckdb.DuckDBPyConnection, name: str, path: Path, facts: dict[str, Any]
) -> int:
    partial = path.with_suffix(".partial")
    target = quoted(str(partial))
    done = connection.execute(f"COPY ({statements(name)}) TO {target} ({LINES})", facts or None)
    rows = int(done.fetchall()[0][0])
    put_in_place(partial, path)
    return rows
