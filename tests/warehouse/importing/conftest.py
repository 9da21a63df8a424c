"""A published world of 40 users and 150 items, and scores of its items in the archive's ids."""

import random
from dataclasses import dataclass, replace
from functools import partial

import polars as pl
import pytest

from warehouse.home import Home
from warehouse.identity import sha256_of
from warehouse.importing.ranking import Asked, Imported, rank_file
from warehouse.imports import publish_import
from warehouse.preparing import prepare
from warehouse.publishing import publish_load, publish_snapshot
from warehouse.questions import ask
from warehouse.records import Snapshot
from warehouse.staging import staging_folder
from warehouse.store import staged_file

Key = tuple[str, str, int]

N_USERS, N_ITEMS = 40, 150


def few_ratings() -> list[tuple[int, int, int]]:
    """A catalogue of 30 items, of which 20 users have 4 to 12 each."""
    rng = random.Random(5)
    return [
        (user, item, 10 * step)
        for user in range(2001, 2021)
        for step, item in enumerate(rng.sample(range(1, 31), rng.randint(4, 12)))
    ]


def ratings() -> list[tuple[int, int, int]]:
    """Users 1001 … have 4 to 14 items each; 1901 has two, so that nothing is held out."""
    rng = random.Random(3)
    rows = [(1901, 7, 1), (1901, 8, 2)]
    rows += [(1900, item, item) for item in range(1, N_ITEMS + 1) if item % 3 == 0]
    for user in range(1001, 1001 + N_USERS):
        items = rng.sample(range(1, N_ITEMS + 1), rng.randint(4, 14))
        rows += [(user, item, 10 * step) for step, item in enumerate(items)]
    return rows


@dataclass(frozen=True)
class World:
    """What a naive ranker must know of a snapshot."""

    home: Home
    snapshot: Snapshot
    items: list[int]
    history: dict[int, list[int]]
    targets: dict[tuple[str, int], int]
    drawn: dict[tuple[str, int], list[int]]

    @property
    def users(self) -> list[int]:
        """Those with held-out items."""
        return sorted({user for _, user in self.targets})

    def scores(self, seed: int = 0, ties: int = 7) -> pl.DataFrame:
        """Of every item for every user; few values, so that many are equal."""
        rng = random.Random(seed)
        rows = [(user, item, rng.randrange(ties)) for user in self.users for item in self.items]
        return pl.DataFrame(rows, ("user", "item", "score"), orient="row").with_columns(
            pl.col("score").cast(pl.Float32)
        )

    def candidates(self, frame: pl.DataFrame, split: str = "test") -> pl.DataFrame:
        """Scores of the drawn items and the held-out one alone."""
        pairs = [
            (user, item)
            for (of, user), items in self.drawn.items()
            for item in [*items, self.targets[of, user]]
            if of == split
        ]
        return frame.join(pl.DataFrame(pairs, ("user", "item"), orient="row"), ["user", "item"])

    def lists(self, frame: pl.DataFrame, length: int, split: str = "test") -> pl.DataFrame:
        """The best unseen items of each user; none of equal scores may be cut off."""
        seen = [
            (user, item)
            for user, items in self.history.items()
            for item in items
            if (split, user) in self.targets and item != self.targets[split, user]
        ]
        new = frame.join(
            pl.DataFrame(seen, ("user", "item"), orient="row"), ["user", "item"], how="anti"
        )
        best = new.sort("user", "score", "item", descending=[False, True, False])
        return best.group_by("user", maintain_order=True).head(length)

    def rank(self, frame: pl.DataFrame, protocol: str, split: str, user: int) -> float:
        """1 + higher + half of the equal ones, by counting."""
        scores = dict(frame.filter(pl.col("user") == user).select("item", "score").rows())
        target = self.targets[split, user]
        others = self.drawn[split, user]
        if protocol == "full":
            others = [item for item in self.items if item not in self.history[user]]
        found = [scores[item] for item in others if item in scores]
        above = sum(score > scores[target] for score in found)
        return 1 + above + sum(score == scores[target] for score in found) / 2


@pytest.fixture(scope="session")
def make_world(stage_raw):
    """Publish the world in a home."""

    def go(home: Home, rows: list[tuple[int, int, int]] | None = None) -> World:
        with staging_folder(home, "load") as folder:
            stage_raw(folder, "load", rows or ratings())
            publish_load(home, folder)
        with staging_folder(home, "snapshot") as folder:
            snapshot = prepare(home, "load", "cold-start", folder)
            publish_snapshot(home, snapshot, folder)
        return _known(home, snapshot)

    return go


def _known(home: Home, snapshot: Snapshot) -> World:
    named = (
        "JOIN core.users USING (snapshot_id, user_id) JOIN core.items USING (snapshot_id, item_id)"
    )
    query = f"SELECT raw_user_id, raw_item_id, split FROM core.interactions {named} ORDER BY ALL"
    rows = ask(home, query).rows()
    drawn = ask(
        home,
        "SELECT split, raw_user_id, list(raw_item_id) FROM "
        "(SELECT snapshot_id, split, user_id, unnest(item_ids) AS item_id FROM core.candidates) "
        f"{named} GROUP BY ALL",
    ).rows()
    history: dict[int, list[int]] = {}
    for user, item, _ in rows:
        history.setdefault(user, []).append(item)
    return World(
        home,
        snapshot,
        [item for (item,) in ask(home, "SELECT raw_item_id FROM core.items ORDER BY ALL").rows()],
        history,
        {(split, user): item for user, item, split in rows if split != "train"},
        {(split, user): items for split, user, items in drawn},
    )


@pytest.fixture(scope="session")
def world(tmp_path_factory, home_at, make_world) -> World:
    """One for all tests: what they import bears their own names."""
    return make_world(home_at(tmp_path_factory.mktemp("world") / "home"))


@pytest.fixture
def small(home, begun, make_world) -> World:
    """One whose items are all drawn."""
    return replace(begun(home, "small", lambda: make_world(home, few_ratings())), home=home)


@pytest.fixture
def rank(world, tmp_path):
    """What an import makes of a frame, and its ranks by split, protocol and the user's number."""
    numbers = dict(ask(world.home, "SELECT user_id, raw_user_id FROM core.users").rows())

    def go(frame: pl.DataFrame, **said) -> tuple[Imported, dict[Key, tuple[float, int]]]:
        path = tmp_path / "scores.parquet"
        frame.write_parquet(path)
        asked = Asked(path, "theirs", **said)
        with staging_folder(world.home, "import") as folder:
            made = rank_file(world.home, world.snapshot, asked, sha256_of(path), folder)
            rows = pl.read_parquet(staged_file(folder, "mart.user_ranks", made.run_id)).rows()
        return made, {(row[0], row[1], numbers[row[2]]): row[3:] for row in rows}

    return go


@pytest.fixture
def give(world, publish_scores):
    """`publish_scores` in the world of all tests."""
    return partial(publish_scores, world)


@pytest.fixture
def publish_scores(tmp_path):
    """Import a frame as a file, without its audit."""

    def go(world: World, frame: pl.DataFrame, name: str, **said) -> Imported:
        path = tmp_path / "scores.parquet"
        frame.write_parquet(path)
        asked = Asked(path, name, **said)
        with staging_folder(world.home, "import") as folder:
            made = rank_file(world.home, world.snapshot, asked, sha256_of(path), folder)
            publish_import(world.home, made, folder)
        return made

    return go


@pytest.fixture(scope="session")
def some():
    """Rows of one user, as `World.scores` has them."""

    def go(user: int, items: list[int], scores: list[float]) -> pl.DataFrame:
        frame = pl.DataFrame({"user": [user] * len(items), "item": items, "score": scores})
        return frame.cast({"user": pl.Int64, "item": pl.Int64, "score": pl.Float32})

    return go
