"""The core tables of a snapshot and its sequences file, written part by part."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl

from warehouse.by_parts.core_parts import CoreParts
from warehouse.by_parts.drawing import Drawing
from warehouse.by_parts.spill import Spill
from warehouse.sequences_file import SequencesFile
from warehouse.staging import StagedTable, stage_frame
from warehouse.transforms.core import CoreTables


class CoreFiles:
    """Staged files of the tables `core.*`.

    Args:
        folder: a staging folder.
        waiting: for rows that wait.
        identity: the snapshot's.
        made: its tables.
    """

    def __init__(self, folder: Path, waiting: Path, identity: str, made: CoreParts) -> None:
        self.folder, self.waiting, self.identity, self.made = folder, waiting, identity, made
        again = made.rules.comes_again
        self.drawing = Drawing(n_items=made.items.height, comes_again=again)
        self.n_train = np.zeros(made.items.height + 1, np.int64)
        self.users: list[pl.DataFrame] = []

    def write(self, path: Path) -> str:
        """Write all of them, the sequences to `path`; returns that file's checksum.

        One core draws and packs sequences while the other prepares and writes interactions.
        """
        sequences = SequencesFile(path, self.made.items, self.made.rules, self.identity)
        with (
            self._staged("core.interactions") as interactions,
            self._staged("core.candidates") as candidates,
            sequences,
        ):
            self._write_parts(interactions, _Candidates(candidates, self.waiting), sequences)
        counted = self.made.items.with_columns(n_train=pl.Series(self.n_train[1:]))
        stage_frame(self.folder, "core.items", self.identity, counted)
        stage_frame(self.folder, "core.users", self.identity, pl.concat(self.users))
        return sequences.sha256

    def _write_parts(
        self, interactions: StagedTable, candidates: "_Candidates", sequences: SequencesFile
    ) -> None:
        def draw(tables: CoreTables) -> None:
            drawn = self.drawing.draw(tables.interactions)
            candidates.add(drawn)
            sequences.add(tables, drawn)

        with _Aside(draw) as aside:
            for tables in self.made.parts:
                aside.give(tables)
                interactions.add(tables.interactions)
                self._count(tables)
        candidates.end()

    def _count(self, tables: CoreTables) -> None:
        rows = tables.interactions.select("item_id", "split")
        trained = rows.filter(pl.col("split") == "train")["item_id"]
        self.n_train += np.bincount(trained.to_numpy(), minlength=len(self.n_train))
        self.users.append(tables.users)

    def _staged(self, table: str) -> StagedTable:
        return StagedTable(self.folder, table, self.identity)


class _Candidates:
    """`core.candidates`: those of `valid` before all of `test`, which wait."""

    def __init__(self, table: StagedTable, folder: Path) -> None:
        self.table, self.waiting = table, Spill(folder / "candidates")

    def add(self, drawn: pl.DataFrame) -> None:
        """Those of the next users."""
        is_test = pl.col("split") == "test"
        self.table.add(drawn.filter(~is_test))
        self.waiting.add(len(self.waiting), drawn.filter(is_test))

    def end(self) -> None:
        """Those that waited."""
        for part in range(len(self.waiting)):
            self.table.add(self.waiting.read(part))


class _Aside:
    """Work on one part after the other by a thread beside, one part behind at most."""

    def __init__(self, work: Callable[[CoreTables], None]) -> None:
        self.work, self.pool = work, ThreadPoolExecutor(1)
        self.at_work: Future[None] | None = None

    def __enter__(self) -> "_Aside":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.pool.shutdown()
        if kind is None:
            self._wait()

    def give(self, tables: CoreTables) -> None:
        """Begin with a part, once the one before is done."""
        self._wait()
        self.at_work = self.pool.submit(self.work, tables)

    def _wait(self) -> None:
        if self.at_work:
            self.at_work.result()
