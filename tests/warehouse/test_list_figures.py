"""What lists are made of: by hand in a world of five users, by properties, and against Python."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse.database import statements, table_files, view_files

Lists = dict[int, list[int]]
SPREAD = ("coverage", "gini")
MEANS = ("novelty", "popularity", "profile_popularity", "popularity_lift", "diversity")
GENRES = {1: "Drama", 2: "Drama|War", 3: "Comedy", 4: "Comedy|War|Drama", 5: "", 6: None}
TRAINED = {1: [1, 2], 2: [1, 2], 3: [1, 3], 4: [1], 5: [2, 4]}  # nobody trained on 5 and 6
# how many of the five users have each item
SHARES = {1: 4 / 5, 2: 3 / 5, 3: 1 / 5, 4: 1 / 5, 5: 0, 6: 0}
PARTS = {1: "1: few", 2: "1: few", 3: "1: few", 4: "2: many", 5: "2: many"}


@pytest.fixture
def world() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield filled(connection)


def filled(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """The world of five users and another snapshot, which must not matter."""
    for path in (*table_files(), *view_files()):
        connection.execute(path.read_text(encoding="utf-8"))
    for snapshot, trained in (("s", TRAINED), ("other", {1: [6, 5], 2: [6]})):
        for item, genres in GENRES.items():
            row = [snapshot, item, item, None, genres, 0]
            connection.execute("INSERT INTO core.items VALUES (?, ?, ?, ?, ?, ?)", row)
        for user, items in trained.items():
            for split, item in [("train", item) for item in items] + [("valid", 6), ("test", 5)]:
                connection.execute(
                    "INSERT INTO core.interactions BY NAME SELECT $1 AS snapshot_id, $2 AS user_id,"
                    " $3 AS item_id, 4.0 AS rating, 1 AS timestamp, 1 AS position, $4 AS split,"
                    " 1 AS week",
                    [snapshot, user, item, split],
                )
    return connection


def found(world: duckdb.DuckDBPyConnection, **runs: Lists) -> dict[tuple, dict]:
    """Figures by training, cut-off, slice and part."""
    rows = [
        {"run_id": run, "user_id": user, "rank": rank, "item_id": item}
        for run, lists in runs.items()
        for user, items in lists.items()
        for rank, item in enumerate(items, start=1)
    ]
    world.register("rows", pa.Table.from_pylist(rows))
    world.execute("CREATE OR REPLACE TEMP TABLE listed AS FROM rows")
    world.register(
        "held_out",
        pa.Table.from_pylist(
            [
                {"split": split, "user_id": user, "history": part, "popularity": "1: p"}
                | {"season": "1: winter"}
                for user, part in PARTS.items()
                for split in ("valid", "test")
            ]
        ),
    )
    table = world.sql(statements("figures/lists"), params=["s", list(runs)]).to_arrow_table()
    return {
        (row["run_id"], row["k"], row["slice"], row["bucket"]): row for row in table.to_pylist()
    }


def everybody(figures: dict[tuple, dict], k: int, run: str = "a") -> dict:
    return figures[run, k, "everybody", "everybody"]


def test_by_hand(world):
    figures = found(world, a={1: [3, 4], 2: [3, 5], 3: [2, 4], 4: [3, 2], 5: [1, 3]})
    first = everybody(figures, 1)  # 3, 3, 2, 3, 1
    assert first["coverage"] == 3 / 6
    # shown 3, 1, 1, 0, 0, 0 times: mean difference of every two over twice the mean
    gaps = sum(abs(x - y) for x in (3, 1, 1, 0, 0, 0) for y in (3, 1, 1, 0, 0, 0))
    assert first["gini"] == pytest.approx(gaps / (2 * 6 * 5))
    bits = [math.log2(5), math.log2(5), math.log2(5 / 3), math.log2(5), math.log2(5 / 4)]
    assert first["novelty"] == pytest.approx(sum(bits) / 5)
    assert first["popularity"] == pytest.approx((0.2 + 0.2 + 0.6 + 0.2 + 0.8) / 5)
    profiles = [0.7, 0.7, 0.5, 0.8, 0.4]  # 1 and 2; 1 and 2; 1 and 3; 1; 2 and 4
    assert first["profile_popularity"] == pytest.approx(sum(profiles) / 5)
    assert first["popularity_lift"] == pytest.approx(2.0 / 3.1 - 1)
    assert (first["diversity"], first["n_users"]) == (None, 5)  # one item is no pair
    both = everybody(figures, 5)
    assert both["coverage"] == 5 / 6
    # item 5, which nobody trained on, has the information of one user of five, and no popularity
    assert both["novelty"] == pytest.approx(
        (2 * math.log2(5) + 2 * math.log2(5) + math.log2(5 / 3) + math.log2(5)
         + math.log2(5) + math.log2(5 / 3) + math.log2(5 / 4) + math.log2(5)) / 10
    )  # fmt: skip
    assert both["popularity"] == pytest.approx((0.4 + 0.2 + 0.8 + 0.8 + 1.0) / 10)
    # 3 and 4 share 1 of 3 genres; 5 has none; 2 and 4 share 2 of 3; 3 and 2, 1 and 3 share none
    assert both["diversity"] == pytest.approx((2 / 3 + 1 / 3 + 1 + 1) / 4)


def test_parts_of_the_users_stand_for_themselves(world):
    figures = found(world, a={1: [3], 2: [3], 3: [2], 4: [1], 5: [4]})
    few = figures["a", 10, "history", "1: few"]
    assert (few["coverage"], few["n_users"]) == (pytest.approx(2 / 6, abs=1e-11), 3)
    assert few["profile_popularity"] == pytest.approx((0.7 + 0.7 + 0.5) / 3)
    many = figures["a", 10, "history", "2: many"]
    assert many["popularity"] == pytest.approx((0.8 + 0.2) / 2)
    parts = {(slice_, bucket) for _, _, slice_, bucket in figures}
    assert parts == {
        *(("everybody", "everybody"), ("history", "1: few"), ("history", "2: many")),
        *(("popularity", "1: p"), ("season", "1: winter")),
    }
    assert {k for _, k, *_ in figures} == {1, 5, 10, 20}


def test_the_gini_index_is_nothing_of_equal_exposure_and_greatest_of_a_single_item(world):
    equal = {1: [1, 2, 3, 4, 5, 6], 2: [6, 5, 4, 3, 2, 1]}
    figures = found(world, a=equal, b={key: [4] for key in range(1, 6)})
    assert everybody(figures, 10)["gini"] == pytest.approx(0, abs=1e-12)
    assert everybody(figures, 10)["coverage"] == 1
    assert everybody(figures, 10, "b")["gini"] == pytest.approx(1 - 1 / 6)
    assert everybody(figures, 10, "b")["coverage"] == pytest.approx(1 / 6)


def test_who_had_nothing_in_training_has_no_profile(world):
    world.execute("DELETE FROM core.interactions WHERE snapshot_id = 's' AND user_id = 1")
    row = everybody(found(world, a={1: [1]}), 1)
    assert (row["profile_popularity"], row["popularity_lift"]) == (None, None)


def naive(lists: Lists, users: set[int], k: int) -> dict[str, float | None]:
    """The same by the definitions, one user and item after the other."""
    cut = {user: items[:k] for user, items in lists.items() if user in users}
    shown = Counter(item for items in cut.values() for item in items)
    counts = [shown[item] for item in GENRES]
    gaps = sum(abs(x - y) for x in counts for y in counts)
    novelty = [mean([-math.log2(max(SHARES[i], 1 / 5)) for i in items]) for items in cut.values()]
    shares = mean([mean([SHARES[item] for item in items]) for items in cut.values()])
    profile = mean([mean([SHARES[item] for item in TRAINED[user]]) for user in cut])
    apart = [own for items in cut.values() if (own := distances(items))]
    return {
        "coverage": len(shown) / len(GENRES),
        "gini": gaps / (2 * len(GENRES) * sum(counts)),
        "novelty": mean(novelty),
        "popularity": shares,
        "profile_popularity": profile,
        "popularity_lift": shares / profile - 1,
        "diversity": mean([mean(own) for own in apart]) if apart else None,
    }


def distances(items: list[int]) -> list[float]:
    kinds = [set(GENRES[item].split("|")) for item in items if GENRES[item]]
    return [1 - len(a & b) / len(a | b) for a, b in combinations(kinds, 2)]


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


SOME = st.permutations(list(GENRES)).flatmap(
    lambda items: st.integers(1, 6).map(lambda n: list(items)[:n])
)


def test_it_is_the_naive_reckoning(world):
    @settings(max_examples=25, deadline=None)
    @given(st.dictionaries(st.sampled_from(list(TRAINED)), SOME, min_size=1))
    def holds(lists: Lists) -> None:
        for (_, k, slice_, bucket), row in found(world, a=lists).items():
            users = {user for user, part in PARTS.items() if slice_ != "history" or part == bucket}
            expected = naive(lists, users, k)
            assert row["n_users"] == len(users & set(lists))
            for name in (*SPREAD, *MEANS):
                assert row[name] == pytest.approx(expected[name], abs=1e-9), (name, k, slice_)
            assert 0 < row["coverage"] <= 1
            assert -1e-12 <= row["gini"] <= 1 - 1 / 6 + 1e-12

    holds()


def test_figures_are_the_same_alone_and_beside_others(world):
    one = {user: [user, 6, 3][:3] for user in TRAINED}
    alone = found(world, a=one)
    beside = found(world, a=one, b={1: [1]}, c=one)
    assert alone == {key: row for key, row in beside.items() if key[0] == "a"}
