"""Questions over ten million ranks: seconds after connecting, beside the naive SQL over every rank.

    python benchmarks/ten_million_ranks.py --folder ten-million

The home is made once in the folder: an invented world of ML-1M's size, prepared as 5-core and as
cold-start, and as many presets of six models with five seeds as make ten million ranks. With
`--one-preset` all trainings are of one snapshot and one preset, the worst layout: every two of
them are compared. Answers are compared row by row. Publishing one training more is timed, too.
"""

import argparse
import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from results import Result, add_arguments, command, cpu, keep, versions

from warehouse import publishing, run_figures
from warehouse.catalogue import writing
from warehouse.datasets import find
from warehouse.home import Home
from warehouse.identity import identify, sha256_of
from warehouse.landing import land
from warehouse.preparing import known_snapshot, prepare
from warehouse.publishing import TrainedRun
from warehouse.records import Snapshot
from warehouse.saved_queries import sql_of
from warehouse.staging import staging_folder
from warehouse.synthetic.world import SyntheticWorld
from warehouse.synthetic.writer import write_archive

RANKS = 10_000_000
WORLD = SyntheticWorld(n_users=6040, n_items=3400, mean_length=165)
MODELS = ("sasrec", "sse_pt", "tisasrec", "tisasrec_plus", "tisasrec_plus_plus", "sas_fpt")
SEEDS = 5
PARTS = tuple(product(("valid", "test"), ("uniform_100", "full")))
NAIVE = Path(__file__).parents[1] / "tests" / "warehouse" / "naive"
KEYS = {
    "leaderboard": ["snapshot_id", "preset", "model", "split", "protocol", "k"],
    "significance": [
        *("snapshot_id", "preset", "model", "baseline"),
        *("split", "protocol", "metric"),
    ],
    "slices": ["run_id", "split", "protocol", "slice", "bucket"],
    "cold-start": ["dataset", "preset", "model", "trained_on"],
}
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the home is made, or is")
    parser.add_argument("--one-preset", action="store_true", help="the worst layout")
    add_arguments(parser)
    asked = parser.parse_args()
    home = Home.at(asked.folder)
    if not home.published.exists():
        fill(home, RANKS, one_preset=asked.one_preset)
    told = {name: measure(home, name) for name in KEYS}
    print(layout(home))
    for name, (ours, naive) in told.items():
        print(f"{name:14} {ours:8.3f} s, naive {naive:8.2f} s, equal")
    print(publish_one(home))
    keep(
        asked,
        *(
            Result(
                *(f"{name}_10m", ours, "s", cpu(), versions("duckdb"), command()),
                *(naive, naive / ours),
            )
            for name, (ours, naive) in told.items()
            if name != "cold-start"
        ),
    )


@dataclass(frozen=True)
class Trainings:
    """Invented trainings of one snapshot: users differ in ease, and models and seeds a little."""

    home: Home
    snapshot: Snapshot
    users: pl.Series
    preset: str

    def train(self, model: str, seed: int) -> TrainedRun:
        """Write its ranks, as a training would."""
        parts = (self.snapshot.snapshot_id, model, self.preset, seed)
        run_id = identify(*parts)
        chance = np.random.default_rng(int(run_id, 16))
        path = self.home.run(run_id) / "ranks.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.concat(self._ranks(chance, MODELS.index(model))).write_parquet(path)
        Path(f"{path}.sha256").write_text(f"{sha256_of(path)}  {path.name}\n")
        now = datetime.now(UTC).replace(tzinfo=None)
        settings = (*parts, {}, "cpu", "c0de", {}, now, now, 1.0, 1, "abc", (), path)
        return TrainedRun(run_id, *settings)

    def _ranks(self, chance: np.random.Generator, rung: int) -> Iterator[pl.DataFrame]:
        ease = np.random.default_rng(0).normal(0, 1, len(self.users))
        for split, protocol in PARTS:
            luck = ease + chance.normal(0.05 * rung, 1, len(self.users))
            rank = 1 + np.floor(200 / (1 + np.exp(1.5 + luck))) / 2
            names = {"split": split, "protocol": protocol}
            columns = {"user_id": self.users, "rank": rank.astype(np.float32)}
            yield pl.DataFrame(columns).select(
                *(pl.lit(value).alias(name) for name, value in names.items()),
                *columns,
                pl.lit(101, pl.Int32).alias("n_candidates"),
            )


def fill(home: Home, ranks: int, *, one_preset: bool) -> None:
    """Make the home; each preset's trainings are published together."""
    snapshots = prepared(home, ["cold-start"] if one_preset else ["5-core", "cold-start"])
    published = 0
    for number in range(RANKS):
        for snapshot in snapshots:
            if published >= ranks:
                return
            trainings = Trainings(home, snapshot, held_out(snapshot), f"preset-{number}")
            each = len(PARTS) * len(trainings.users)
            seeds = math.ceil(ranks / each / len(MODELS)) if one_preset else SEEDS
            runs = [trainings.train(model, seed) for model in MODELS for seed in range(seeds)]
            with timed(f"published {len(runs)} trainings"):
                publishing.publish_runs(home, runs)
            published += each * len(runs)


def prepared(home: Home, retentions: list[str]) -> list[Snapshot]:
    dataset, source = find("ml-1m"), home.sources / "world.zip"
    write_archive(WORLD, source, name="ml-1m")
    with staging_folder(home, "load") as staged:
        load_id = land(dataset, source, staged).load_id
        publishing.publish_load(home, staged)
    snapshots = []
    for retention in retentions:
        with staging_folder(home, "snapshot") as staged:
            snapshots.append(prepare(home, load_id, retention, staged))
            publishing.publish_snapshot(home, snapshots[-1], staged)
    return snapshots


def held_out(snapshot: Snapshot) -> pl.Series:
    """Users who have a held-out item."""
    lengths = pl.read_parquet(snapshot.sequences, columns=["user_id", "item_ids"])
    return lengths.filter(pl.col("item_ids").list.len() >= 3)["user_id"]


def measure(home: Home, name: str) -> tuple[float, float]:
    """Seconds of the figures' SQL, the median, and of the naive SQL, once in their midst."""
    ours = sql_of(name) if name == "cold-start" else f"SELECT * FROM mart.{name}"
    metrics = (NAIVE / "metrics.sql").read_text(encoding="utf-8")
    naive = (NAIVE / f"{name}.sql").read_text(encoding="utf-8")
    seconds = []
    for turn in range(REPEATS):
        answer, passed = asked(home, ours)
        seconds.append(passed)
        if turn == REPEATS // 2:
            reference, of_naive = asked(home, naive, f"CREATE TEMP VIEW naive_metrics AS {metrics}")
    # what suspicions say is no figure, and plain SQL knows nothing of it
    assert_equal(answer.drop("warnings", strict=False), reference, KEYS[name])
    return statistics.median(seconds), of_naive


def asked(home: Home, question: str, before: str = "SELECT 1") -> tuple[pl.DataFrame, float]:
    with duckdb.connect(str(home.published), read_only=True) as connection:
        connection.execute(before).fetchall()
        start = time.perf_counter()
        answer = connection.sql(question).pl()
        return answer, time.perf_counter() - start


def assert_equal(ours: pl.DataFrame, reference: pl.DataFrame, keys: list[str]) -> None:
    assert ours.schema == reference.schema
    ours, reference = ours.sort(keys), reference.sort(keys)
    assert len(ours) > 0
    for name, dtype in ours.schema.items():
        if dtype == pl.Float64:
            mine, theirs = (one[name].fill_null(math.nan).to_numpy() for one in (ours, reference))
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12, err_msg=name)
        else:
            assert ours[name].equals(reference[name]), name


def layout(home: Home) -> str:
    (row,) = asked(
        home,
        "SELECT (SELECT count(*) FROM mart.user_ranks) AS ranks, count(*) AS runs,"
        " count(DISTINCT snapshot_id) AS snapshots,"
        " count(DISTINCT (snapshot_id, preset)) AS groups,"
        " (SELECT count(*) FROM mart.run_pairs) AS pairs FROM mart.training_runs",
    )[0].rows(named=True)
    return (
        f"{row['ranks']:,} ranks of {row['runs']} trainings, {row['snapshots']} snapshots,"
        f" {row['groups']} presets of one snapshot; {row['pairs']:,} rows of pairs"
    )


def publish_one(home: Home) -> str:
    """Publish one training more of the last preset, with a new seed each time."""
    last = asked(home, "SELECT snapshot_id, preset, seed FROM mart.training_runs ORDER BY ALL")[0]
    identity, preset, seed = last.row(-1)
    snapshot = known_snapshot(home, identity)
    trainings = Trainings(home, snapshot, held_out(snapshot), preset)
    whole, figures = [], []
    for turn in range(REPEATS):
        run = trainings.train("sas_fpt", seed + 1 + turn)
        start = time.perf_counter()
        publishing.publish_runs(home, [run])
        whole.append(time.perf_counter() - start)
        with writing(home) as connection:
            start = time.perf_counter()
            run_figures.add_figures(connection, [run.run_id])
            figures.append(time.perf_counter() - start)
    return (
        f"publishing one more: {statistics.median(whole):.3f} s,"
        f" of which figures {statistics.median(figures):.3f} s"
    )


@contextmanager
def timed(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - start:.2f} s", flush=True)


if __name__ == "__main__":
    main()
