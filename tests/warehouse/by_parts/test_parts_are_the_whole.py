"""Prepared in parts or at once: the same tables, draws and files, to the bit."""

import re
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from warehouse import preparing
from warehouse.by_parts.core_parts import core_parts
from warehouse.by_parts.drawing import BLOCK, Drawing
from warehouse.datasets import find
from warehouse.errors import RefusedError
from warehouse.landing import land
from warehouse.preparing import prepare
from warehouse.publishing import publish_load
from warehouse.staging import staging_folder
from warehouse.store import staged_files
from warehouse.synthetic.world import SyntheticWorld
from warehouse.synthetic.writer import write_archive
from warehouse.transforms.core import CoreTables, candidates_of, core_tables
from warehouse.transforms.options import Options
from warehouse.transforms.rules import Rules
from warehouse.values import values_sha256

ITEMS = pl.LazyFrame(
    {"raw_item_id": [7, 3, 3], "title": ["Seven", "Three", "Again"], "genres": ["A|B", "", "C"]}
)
OPTIONS = [
    Options(),
    Options(ties="item", time_scale="history", calendar="season", time_zone="Asia/Tokyo"),
    Options(ties="random", tie_seed=5),
    Options(as_of=date(1970, 1, 3)),
]
rows = st.lists(
    st.tuples(
        st.integers(1, 12), st.integers(1, 8), st.integers(0, 3), st.sampled_from([0.5, 4, 5])
    ),
    min_size=1,
    max_size=90,
)


def raw(rows: list[tuple[int, int, int, float]]) -> pl.LazyFrame:
    """Ratings of (user, item, day, stars), in file order."""
    frame = pl.DataFrame(rows, ("raw_user_id", "raw_item_id", "timestamp", "rating"), orient="row")
    return frame.lazy().select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias("source_row"),
        pl.col("raw_user_id", "raw_item_id").cast(pl.Int32),
        pl.col("timestamp") * 86_400,
        pl.col("rating").cast(pl.Float32),
    )


def joined(ratings: pl.LazyFrame, *settings, rows_a_part: int) -> tuple[CoreTables, pl.DataFrame]:
    """All parts as one, and what was drawn for them one after the other."""
    retention, options, rules = settings
    with TemporaryDirectory() as folder:
        made = core_parts(ratings, ITEMS, retention, Path(folder), options, rules, rows_a_part)
        parts = list(made.parts)
    drawing = Drawing(n_items=made.items.height, comes_again=rules.comes_again)
    drawn = pl.concat([drawing.draw(part.interactions) for part in parts])
    interactions = pl.concat(part.interactions for part in parts)
    users = pl.concat(part.users for part in parts)
    assert (users.height, interactions.height) == (made.n_users, made.n_interactions)
    tables = CoreTables(interactions, made.items, users, made.n_duplicates, rules)
    return tables, drawn.sort("split", "user_id", descending=[True, False])


def assert_same(ratings: pl.LazyFrame, *settings, rows_a_part: int) -> None:
    retention, options, rules = settings
    try:
        whole = core_tables(ratings, ITEMS, retention, options, rules)
    except RefusedError as error:
        said = re.escape(str(error))
        with pytest.raises(RefusedError, match=said):
            joined(ratings, *settings, rows_a_part=rows_a_part)
        return
    parts, drawn = joined(ratings, *settings, rows_a_part=rows_a_part)
    for name in ("interactions", "users"):
        ours, theirs = getattr(parts, name), getattr(whole, name)
        assert_frame_equal(ours, theirs, check_column_order=False)
    assert_frame_equal(parts.items, whole.items.drop("n_train"), check_column_order=False)
    assert parts.n_duplicates == whole.n_duplicates
    assert_frame_equal(drawn, candidates_of(whole))


@settings(deadline=None, max_examples=60)  # a busy machine is no error
@given(
    rows,
    st.sampled_from(["5-core", "cold-start"]),
    st.sampled_from(OPTIONS),
    st.sampled_from(["first", "last", "all"]),
    st.integers(1, 40),
)
def test_parts_are_what_the_transforms_make_at_once(rows, retention, options, repeats, length):
    assert_same(raw(rows), retention, options, Rules(repeats), rows_a_part=length)


@pytest.mark.parametrize("repeats", ["first", "all"])
@pytest.mark.parametrize("length", [40, 1500, 4000])
def test_draws_go_on_where_the_part_before_ended(repeats, length):
    """1,000 users of 1 to 9 interactions, nine in a hundred without a held-out item."""
    users = [(user, 1 + (user * step) % 300, step, 4) for user in range(1, 1001)
             for step in range(1, 2 + user * 7 % 9)]  # fmt: skip
    assert len(users) > 4000 > 3 * BLOCK
    assert_same(raw(users[::-1]), "cold-start", Options(), Rules(repeats), rows_a_part=length)


def test_a_part_has_all_rows_of_its_users_and_about_so_many():
    rows = [(user, item, item, 4) for item in range(1, 11) for user in range(1, 601)]
    with TemporaryDirectory() as folder:
        made = core_parts(raw(rows), ITEMS, "5-core", Path(folder), rows_a_part=3000)
        heights = [part.interactions.height for part in made.parts]
    assert heights == [2560, 3440]  # 300 users a part, cut at a whole block of 256


def files_of(home, load_id: str, rows_a_part: int, monkeypatch) -> dict[str, str]:
    """What preparation wrote, by the hash of its values; of the sequences, that of all bytes."""
    monkeypatch.setattr(preparing, "ROWS_A_PART", rows_a_part)
    with staging_folder(home, "snapshot") as folder:
        snapshot = prepare(home, load_id, "5-core", folder)
        found = {
            table: values_sha256(path)
            for table, (path, *_) in ((t, p) for t, p in staged_files(folder).items() if p)
        }
        assert not [path for path in folder.iterdir() if path.is_dir() and "." not in path.name]
    return found | {
        "snapshot": snapshot.snapshot_id,
        "values": values_of(snapshot.sequences),
        "bytes": snapshot.sequences_sha256,
    }


def values_of(sequences: Path) -> str:
    """The hash of what the file says, without the snapshot id, which follows from code as well."""
    table = pq.read_table(sequences)
    facts = {name: said for name, said in table.schema.metadata.items() if name != b"snapshot_id"}
    return values_sha256(table.replace_schema_metadata(facts))


def landed(home, dataset: str, source: Path) -> str:
    with staging_folder(home, "load") as folder:
        load = land(find(dataset), source, folder)
        publish_load(home, folder)
    return load.load_id


# As they were before preparation went by parts.
BEFORE = {
    "synthetic": {
        "core.interactions": "c4cf4692b5",
        "core.items": "0e730a61f3",
        "core.users": "b7a115bd25",
        "core.candidates": "3f6f5acebc",
        "values": "d51ecf8a21",
    },
    "ml-100k": {
        "core.interactions": "714c27f0a7",
        "core.items": "337cd01a36",
        "core.users": "c51fd00afe",
        "core.candidates": "fee1fe4067",
        "values": "c67f25e098",
    },
    "ml-1m": {
        "core.interactions": "08bf15ecdc",
        "core.items": "096f4c483a",
        "core.users": "50b621db0e",
        "core.candidates": "b6dbb26963",
        "values": "c1a248840d",
    },
}

ROWS = {"ml-100k": 100_000, "ml-1m": 1_000_209}


def prefixes(found: dict[str, str], dataset: str) -> dict[str, str]:
    return {name: found[name][:10] for name in BEFORE[dataset]}


def test_a_synthetic_world_gives_the_bits_of_before(home, tmp_path, monkeypatch):
    source = tmp_path / "synthetic.zip"
    write_archive(SyntheticWorld(n_users=700), source)
    load_id = landed(home, "synthetic", source)
    whole = files_of(home, load_id, 10**9, monkeypatch)
    assert prefixes(whole, "synthetic") == BEFORE["synthetic"]
    for length in (5_000, 300):
        assert files_of(home, load_id, length, monkeypatch) == whole


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["ml-100k", "ml-1m"])
def test_real_ratings_give_the_bits_of_before(dataset, home, real_archive, monkeypatch):
    load_id = landed(home, dataset, real_archive(f"{dataset}.zip"))
    whole = files_of(home, load_id, 10**9, monkeypatch)
    assert prefixes(whole, dataset) == BEFORE[dataset]
    assert files_of(home, load_id, ROWS[dataset] // 12, monkeypatch) == whole
