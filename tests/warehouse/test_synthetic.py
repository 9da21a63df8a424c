"""The made-up world: the same bytes from a seed, sound files, signals that are really there."""

import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from warehouse.datasets import find
from warehouse.errors import RefusedError
from warehouse.synthetic.world import SIGNALS, Catalogue, SyntheticWorld, histories
from warehouse.synthetic.writer import write_archive

SMALL = SyntheticWorld(n_users=40, n_items=60, mean_length=12)
SILENT = SyntheticWorld(**dict.fromkeys(SIGNALS, 0.0))
SESSION_SECONDS = 3600
LAYOUTS = {"double-colon": "synthetic", "csv": "ml-latest-small"}  # and who reads it


def written(world, folder, **options) -> bytes:
    path = folder / "world.zip"
    write_archive(world, path, **options)
    return path.read_bytes()


def run_command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "warehouse.synthetic", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )


def interactions(world: SyntheticWorld) -> pl.DataFrame:
    """All of a world, in each user's order."""
    blocks = list(histories(world))
    names = ("users", "items", "times")
    columns = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in names}
    return pl.DataFrame(columns).sort("users", "times", maintain_order=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_world_is_the_same_archive_to_the_byte(layout, tmp_path):
    first = written(SMALL, tmp_path, layout=layout)
    assert written(replace(SMALL), tmp_path, layout=layout) == first
    assert written(replace(SMALL, seed=1), tmp_path, layout=layout) != first


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_strength_of_every_signal_is_part_of_the_world(signal, tmp_path):
    assert written(replace(SMALL, **{signal: 0.1}), tmp_path) != written(SMALL, tmp_path)


def test_another_process_writes_the_same_bytes_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "there" / "world.zip"
    path.parent.mkdir()
    answer = run_command(
        *("--output", path, "--n-users", 40, "--n-items", 60, "--mean-length", 12),
        PYTHONHASHSEED="7",
        POLARS_MAX_THREADS="1",
        TZ="Asia/Tokyo",
    )
    assert (answer.returncode, answer.stdout) == (0, "")
    assert "40 of 40 users" in answer.stderr
    assert path.read_bytes() == written(SMALL, tmp_path)
    assert [file.name for file in path.parent.iterdir()] == ["world.zip"]


def test_the_command_tells_its_options():
    answer = run_command("--help")
    assert answer.returncode == 0
    assert all(f"--{name}" in answer.stdout for name in ("n-users", "seed", "layout", *SIGNALS))


@pytest.mark.parametrize(
    ("options", "named"),
    [(("--n-users", "0"), "n_users"), (("--season", "nan"), "season"), ((), "No such file")],
)
def test_the_command_refuses_in_one_line(options, named, tmp_path):
    answer = run_command("--output", tmp_path / "missing" / "world.zip", *options)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith("error: ")
    assert named in answer.stderr


@pytest.mark.parametrize(
    "values",
    [{"n_items": 19}, {"mean_length": 31.0}, {"seed": -1}, {"gaps": 1.5}, {"groups": 0.9}],
)
def test_an_impossible_world_is_refused(values):
    with pytest.raises(RefusedError):
        replace(SMALL, **values)


@pytest.mark.parametrize(("layout", "name"), LAYOUTS.items())
def test_every_layout_lands_whole_and_without_rejects(layout, name, tmp_path, land_archive):
    path = tmp_path / "world.zip"
    write_archive(SMALL, path, name=name, layout=layout)
    landed = land_archive(find(name), path)
    loaded = landed.load
    expected = interactions(SMALL)
    assert loaded.n_rejects == 0
    assert loaded.n_users == SMALL.n_users
    columns = "raw_user_id, raw_item_id, timestamp"
    rows = landed.rows(f"SELECT {columns} FROM raw.ratings ORDER BY 1, 2")
    titles = landed.rows("SELECT title FROM raw.items ORDER BY raw_item_id")
    stars = landed.rows("SELECT DISTINCT rating FROM raw.ratings")
    assert rows == expected.sort("users", "items").rows()
    assert len(titles) == SMALL.n_items
    assert titles[4] == ("The Étoile Café 5 (1935)",)
    scale = find(name).scale
    possible = np.arange(scale.low, scale.high + scale.step, scale.step)
    assert {star for (star,) in stars} <= set(possible)
    assert len(stars) > 3


def test_the_file_is_ordered_by_user_and_movie_as_the_later_archives_are(tmp_path):
    path = tmp_path / "world.zip"
    write_archive(SMALL, path, layout="csv")
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["synthetic/ratings.csv", "synthetic/movies.csv"]
        header, *lines = archive.read("synthetic/ratings.csv").decode("ascii").splitlines()
    assert header == find("ml-latest-small").layout.header
    keys = [tuple(map(int, line.split(",")[:2])) for line in lines]
    assert keys == sorted(set(keys))


def test_the_size_asked_for_is_met():
    world = SyntheticWorld(n_users=2500, n_items=300, mean_length=40)  # more than one block
    rows = interactions(world)
    lengths = rows.group_by("users").len().sort("users")
    assert lengths["users"].to_list() == list(range(1, 2501))
    assert lengths["len"].mean() == pytest.approx(40, rel=0.06)  # a few have hardly any
    assert rows["items"].n_unique() == 300
    assert lengths["len"].max() <= 150


def test_ten_times_the_users_are_ten_times_the_rows():
    rows = [len(interactions(SyntheticWorld(n_users=size))) for size in (300, 3000)]
    assert rows[1] / rows[0] == pytest.approx(10, rel=0.08)


def test_only_a_few_users_have_less_than_five_interactions():
    lengths = interactions(SyntheticWorld(n_users=2000)).group_by("users").len()["len"]
    assert 0.015 < (lengths < 5).mean() < 0.05
    assert lengths.filter(lengths < 5).unique().sort().to_list() == [1, 2, 3, 4]


def test_times_are_possible_and_no_one_sees_a_movie_twice():
    rows = interactions(SyntheticWorld(n_users=2000))
    assert datetime.fromtimestamp(rows["times"].min(), UTC).year == 1996
    assert datetime.fromtimestamp(rows["times"].max(), UTC).year < 2026
    assert not rows.select("users", "items").is_duplicated().any()
    assert rows["items"].is_between(1, SyntheticWorld().n_items).all()


def test_gaps_are_sessions_and_pauses_and_sometimes_none():
    (block,) = histories(SyntheticWorld(n_users=500))
    order = np.argsort(block.users, kind="stable")  # within a user, as they were drawn
    gaps = np.diff(block.times[order])[np.diff(block.users[order]) == 0]
    assert gaps.min() == 0
    assert 0.015 < (gaps == 0).mean() < 0.05
    assert 0.55 < (gaps < SESSION_SECONDS).mean() < 0.65
    assert not ((gaps > 300) & (gaps < 86_400)).any()


def dependence(first: np.ndarray, second: np.ndarray) -> float:
    """Cramér's V: 0 when two classes tell nothing of each other, 1 when one tells the other."""
    if len(set(second)) == 1:
        return 0.0
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    chi_square = ((table - expected) ** 2 / expected).sum()
    return float(np.sqrt(chi_square / table.sum() / (min(table.shape) - 1)))


def evidence(world: SyntheticWorld) -> dict[str, float]:
    """What an analyst who knows the movies' clusters sees of each signal in the data."""
    rows = interactions(world).with_columns(
        cluster=pl.Series(Catalogue(world).cluster_of(interactions(world)["items"].to_numpy())),
        tenth=(pl.from_epoch("times").dt.ordinal_day().cast(pl.Int64) - 1) * 10 // 366,
        early=pl.int_range(pl.len()).over("users") < pl.len().over("users") // 2,
    )
    pairs = rows.with_columns(
        next=pl.col("cluster").shift(-1).over("users"),
        short=(pl.col("times").diff().over("users") < SESSION_SECONDS).cast(pl.Int64),
    ).drop_nulls()
    last, following, short = (pairs[name].to_numpy() for name in ("cluster", "next", "short"))
    long = rows.group_by("users").len().filter(pl.col("len") >= 40)
    favourites = [
        rows.filter(pl.col("early") == early)
        .group_by("users")
        .agg((pl.col("cluster") // 2).mode().min())
        .join(long, on="users")
        .sort("users")["cluster"]
        .to_numpy()
        for early in (True, False)
    ]
    return {
        "sequence": dependence(last, following),
        "gaps": dependence(short, following // 2),
        "season": dependence(pairs["tenth"].to_numpy(), following // 2),
        "groups": dependence(*favourites),
    }


# evidence of a signal of strength 0.2 is above the first bound, of none below the second; items
# that follow each other are often of the user's group or of the season, so it is never quite none
BOUNDS = {"sequence": (0.18, 0.1), "gaps": (0.17, 0.03)}
BOUNDS |= {"season": (0.17, 0.03), "groups": (0.4, 0.2)}


@pytest.fixture(scope="module")
def silence() -> dict[str, float]:
    return evidence(SILENT)


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_planted_signal_is_in_the_data_and_not_without_planting(signal, silence):
    there, absent = BOUNDS[signal]
    assert evidence(replace(SILENT, **{signal: 0.2}))[signal] > there
    assert silence[signal] < absent


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_can_be_taken_out_of_the_others(signal):
    rest = evidence(replace(SyntheticWorld(), **{signal: 0.0}))
    assert rest.pop(signal) < BOUNDS[signal][1]
    assert all(value > BOUNDS[other][0] for other, value in rest.items())


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_of_full_strength_tells_nearly_all(signal):
    # long histories have more items than a group's clusters, so some of theirs come from elsewhere
    assert evidence(replace(SILENT, **{signal: 1.0}))[signal] > (
        0.9 if signal == "groups" else 0.95
    )
