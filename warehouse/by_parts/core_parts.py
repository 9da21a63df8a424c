"""Raw tables of one load to the core tables of one snapshot, some users after others.

What fits into one part goes through `transforms.core.core_tables` as it is. Of more, each transform
sees all rows of a part's users; what must be known of the whole (who stays, and as which number) is
counted before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from warehouse.by_parts.drawing import BLOCK
from warehouse.by_parts.retained import Ints, numbered, retained
from warehouse.by_parts.spill import Spill
from warehouse.transforms import core
from warehouse.transforms.core import CORRECT, RETENTIONS, CoreTables, core_tables
from warehouse.transforms.options import Options, known_before
from warehouse.transforms.order import in_total_order, without_repeats
from warehouse.transforms.rules import MOVIELENS, Rules
from warehouse.transforms.split import ENOUGH, EVALUATED, with_split
from warehouse.transforms.time_features import with_scaled_interval, with_time_scale, with_week

ROWS_A_PART = 2_000_000  # some 500 MB at work
MOST_PARTS = 256  # of more rows parts are larger
ROWS_READ = 983_040  # at a time: eight groups of a stored file
RAW_COLUMNS = ("raw_user_id", "raw_item_id", "timestamp", "rating", "source_row")
# A change of that file would be other snapshots, a new name in it too.
_users = core._users
_refuse_too_little = core._refuse_too_little


@dataclass
class CoreParts:
    """The core tables of a snapshot, to be gone through once.

    Attributes:
        items: as `core.items`, but for `n_train`, which is known at the end.
        n_users, n_interactions, n_duplicates: of the whole.
        rules: those by which they were made.
        parts: the tables of some users after others, `items` without `n_train`. In every part but
            the last, users with held-out items are a multiple of `drawing.BLOCK`.
    """

    items: pl.DataFrame
    n_users: int
    n_interactions: int
    n_duplicates: int
    rules: Rules
    parts: Iterator[CoreTables] = field(repr=False)


def core_parts(
    ratings: pl.LazyFrame,
    items: pl.LazyFrame,
    retention: str,
    folder: Path,
    options: Options = CORRECT,
    rules: Rules = MOVIELENS,
    rows_a_part: int = ROWS_A_PART,
) -> CoreParts:
    """Prepare what the models are trained on.

    Args:
        ratings: as `raw.ratings`, any order; quick to read in slices.
        items: as `raw.items`.
        retention: a key of `RETENTIONS`.
        folder: for rows that wait.
        options: the rest of the settings.
        rules: what the load says of itself.
        rows_a_part: about so many; all rows of a user are in one part.

    Raises:
        RefusedError: nothing is left, or nobody has `ENOUGH` interactions.
    """
    rows = ratings.pipe(known_before, options).select(pl.len()).collect().item()
    if rows <= rows_a_part:
        return _whole(core_tables(ratings, items, retention, options, rules))
    cutter = _Cutter(ratings, options, rules, max(rows_a_part, rows // MOST_PARTS), folder)
    return cutter.cut(retention, items)


def _whole(tables: CoreTables) -> CoreParts:
    """All in one part."""
    return CoreParts(
        items=tables.items.drop("n_train"),
        n_users=tables.users.height,
        n_interactions=tables.interactions.height,
        n_duplicates=tables.n_duplicates,
        rules=tables.rules,
        parts=iter([tables]),
    )


class _Cutter:
    """Raw ratings, cut by user: of each part the rows that count, in their total order."""

    def __init__(
        self, ratings: pl.LazyFrame, options: Options, rules: Rules, rows_a_part: int, folder: Path
    ) -> None:
        self.ratings, self.options, self.rules = ratings, options, rules
        self.rows_a_part, self.folder = rows_a_part, folder
        self.known = ratings.pipe(known_before, options)

    def cut(self, retention: str, items: pl.LazyFrame) -> CoreParts:
        """All parts; see `core_parts`."""
        counts = self._counts("raw_user_id")
        raw_items = self._counts("raw_item_id")["raw_item_id"]
        rows = int(counts["len"].sum())
        ordered = self._ordered(self._by_user(counts), raw_items)
        distinct = ordered.users.copy()
        users, kept = retained(ordered.pairs, ordered.users, ordered.items, RETENTIONS[retention])
        self._refuse_too_little(users, distinct, retention)
        numbers = pl.DataFrame({"raw_item_id": raw_items, "item_id": numbered(kept)})
        named = _named(numbers.filter(pl.col("item_id") > 0), items)
        return CoreParts(
            items=named,
            n_users=int((users > 0).sum()),
            n_interactions=int(users.sum()),
            n_duplicates=rows - int(distinct.sum()),
            rules=self.rules,
            parts=self._parts(ordered.rows, users, numbered(kept), named),
        )

    def _counts(self, column: str) -> pl.DataFrame:
        """How many rows each user or item has, in the order of their numbers."""
        counts = self.known.group_by(column).len()
        return counts.collect(engine="streaming").sort(column)

    def _by_user(self, counts: pl.DataFrame) -> Spill:
        """All rows, by parts of about the same length."""
        ends = counts["len"].cum_sum().to_numpy()
        number = (ends - 1) // self.rows_a_part
        last = np.append(np.flatnonzero(np.diff(number)), len(number) - 1)
        bounds = counts["raw_user_id"].to_numpy()[last]
        spill = Spill(self.folder / "by-user")
        for frame in self._read():
            part = np.searchsorted(bounds, frame["raw_user_id"].to_numpy()).astype(np.int32)
            for (number,), piece in (
                frame.with_columns(part=part)
                .partition_by("part", as_dict=True, include_key=False)
                .items()
            ):
                spill.add(number, piece)
        return spill

    def _read(self) -> Iterator[pl.DataFrame]:
        """Raw rows in pieces, as the archive has them."""
        rows = self.ratings.select(pl.len()).collect().item()
        lots = self._lots(rows)
        for first in range(0, rows, ROWS_READ):
            piece = self.ratings.slice(first, ROWS_READ).pipe(known_before, self.options)
            frame = piece.select(RAW_COLUMNS).collect()
            if lots is not None:
                drawn = pl.Series(lots[frame["source_row"].to_numpy()])
                frame = frame.with_columns(source_row=drawn)
            yield frame

    def _lots(self, rows: int) -> Ints | None:
        """Of each row of the source file, where rows of the same second are ordered by lot."""
        if self.options.ties != "random":
            return None
        last = self.known.select(pl.col("source_row").max()).collect().item() if rows else 0
        return np.random.default_rng(self.options.tie_seed).permutation(last + 1)

    def _ordered(self, spilled: Spill, raw_items: pl.Series) -> "_Ordered":
        """The rows that count of each part, users and items by their places, which are counted."""
        ties = "file" if self.options.ties == "random" else self.options.ties
        places = pl.LazyFrame({"raw_item_id": raw_items}).with_row_index("item")
        found, first = _Ordered(Spill(self.folder / "ordered"), len(raw_items)), 0
        for part in range(len(spilled)):
            rows = spilled.read(part).lazy().pipe(in_total_order, ties)
            frame = (
                rows.pipe(without_repeats, self.rules.repeats)
                .drop("source_row")
                .join(places, on="raw_item_id", how="left", maintain_order="left")
                .with_columns(user=pl.col("raw_user_id").rle_id() + first)
                .collect()
            )
            spilled.drop(part)
            found.add(part, frame)
            first = int(frame["user"][-1]) + 1
        return found

    def _refuse_too_little(self, users: Ints, distinct: Ints, retention: str) -> None:
        """See `core.py`; the rows that it counts are as many as there are, but hold nothing."""
        if users.max(initial=0) >= ENOUGH:
            return
        kept, before = (
            pl.DataFrame({name: np.repeat(np.arange(len(rows), dtype=np.int32), rows)})
            for name, rows in (("user_id", users), ("raw_user_id", distinct))
        )
        _refuse_too_little(kept, before, retention, self.options)

    def _parts(
        self, spilled: Spill, rows: Ints, item_ids: Ints, named: pl.DataFrame
    ) -> Iterator[CoreTables]:
        """Tables of the users who stay; those beyond a whole block wait for the next part's."""
        user_ids, evaluated = numbered(rows), np.cumsum(rows[rows > 0] >= EVALUATED, dtype=np.int64)
        waiting: list[pl.DataFrame] = []
        for part in range(len(spilled)):
            waiting.append(_with_ids(spilled.read(part), user_ids, item_ids))
            spilled.drop(part)
            frame = pl.concat(waiting)
            last = part == len(spilled) - 1
            height = frame.height if last else _whole_blocks(frame["user_id"], evaluated)
            waiting = [frame[height:]]
            if height:
                yield self._tables(frame[:height], named)

    def _tables(self, distinct: pl.DataFrame, named: pl.DataFrame) -> CoreTables:
        options = self.options
        interactions = (
            distinct.lazy()
            .pipe(with_split)
            .pipe(with_time_scale, options.time_scale)
            .pipe(with_scaled_interval)
            .pipe(with_week, options.calendar, options.time_zone)
            .collect()
        )
        users = _users(interactions.lazy()).collect()
        return CoreTables(interactions, named, users, 0, self.rules)


class _Ordered:
    """Parts in total order without repeats, and how many rows each user and item has in all."""

    def __init__(self, rows: Spill, n_items: int) -> None:
        self.rows = rows
        self.items = np.zeros(n_items, np.int64)
        self._users: list[Ints] = []

    @property
    def users(self) -> Ints:
        """Rows of each."""
        return np.concatenate(self._users)

    def add(self, part: int, frame: pl.DataFrame) -> None:
        """Keep the rows of a part, all users of which are new."""
        user = frame["user"].to_numpy()
        self._users.append(np.bincount(user - user[0]))
        self.items += np.bincount(frame["item"].to_numpy(), minlength=len(self.items))
        self.rows.add(part, frame)

    def pairs(self) -> Iterator[tuple[Ints, Ints]]:
        """Users and items of each part."""
        for part in range(len(self.rows)):
            frame = self.rows.read(part, ("user", "item"))
            yield frame["user"].to_numpy(), frame["item"].to_numpy()


def _with_ids(frame: pl.DataFrame, user_ids: Ints, item_ids: Ints) -> pl.DataFrame:
    """Rows of those who stay, places become ids."""
    ids = frame.with_columns(
        user_id=pl.Series(user_ids[frame["user"].to_numpy()]),
        item_id=pl.Series(item_ids[frame["item"].to_numpy()]),
    )
    return ids.drop("user", "item").filter((pl.col("user_id") > 0) & (pl.col("item_id") > 0))


def _whole_blocks(user_id: pl.Series, evaluated: Ints) -> int:
    """Rows, of ascending users, up to whom a multiple of `BLOCK` users has held-out items.

    Args:
        user_id: of each row.
        evaluated: (U,) how many users up to each have held-out items.
    """
    if not len(user_id):
        return 0
    whole = int(evaluated[user_id[-1] - 1]) // BLOCK * BLOCK
    last = int(np.searchsorted(evaluated, whole)) + 1 if whole else 0
    return int(np.searchsorted(user_id.to_numpy(), last, side="right"))


def _named(numbers: pl.DataFrame, items: pl.LazyFrame) -> pl.DataFrame:
    """The items that stay, with what is known of them."""
    named = items.select("raw_item_id", "title", "genres").unique(
        "raw_item_id", keep="first", maintain_order=True
    )
    return (
        numbers.lazy()
        .join(named, on="raw_item_id", how="left", validate="1:1")
        .sort("item_id")
        .collect()
    )
