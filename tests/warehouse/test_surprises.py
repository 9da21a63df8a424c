"""What libraries do with rows that one would not guess, and that ours are right all the same."""

import math
import random

import duckdb
import polars as pl
import pytest

from warehouse.catalogue import reading
from warehouse.transforms.core import CORRECT

USERS, EACH = 40, 50


def test_sums_are_divided_in_sql():
    """docs/how-to/query.md says so: Polars divides sums of DuckDB to whole numbers."""
    hits = "FROM (VALUES (1), (0), (1)) AS t(hit)"
    with duckdb.connect() as connection:
        sums = connection.sql(f"SELECT sum(hit) AS hits, sum(1) AS users {hits}").pl()
        as_double = connection.sql(
            f"SELECT sum(hit)::DOUBLE AS hits, sum(1)::DOUBLE AS users {hits}"
        ).pl()
        in_sql = connection.sql(f"SELECT sum(hit) / sum(1) {hits}").fetchall()
    rate = pl.col("hits") / pl.col("users")
    assert float(sums.select(rate).item()) == 1  # not 2 / 3
    assert as_double.select(rate).item() == pytest.approx(2 / 3)
    assert in_sql == [(pytest.approx(2 / 3),)]


def test_a_lazy_join_keeps_no_order():
    """On two threads or more; an eager one does, so that trying it out shows nothing."""
    rows = pl.DataFrame({"row": range(10_000)}).with_columns(item=pl.col("row") * 7919 % 300)
    items = pl.DataFrame({"item": range(300)})
    assert rows.join(items, on="item", how="left")["row"].is_sorted()
    lazy = rows.lazy().join(items.lazy(), on="item", how="left").collect(engine="streaming")
    assert lazy["row"].is_sorted() == (pl.thread_pool_size() == 1)


def test_sequences_are_in_order_after_joins(publish_rows, prepare_load):
    """Each history by time, though its rows are joined with users and items on the way."""
    rows = [
        (user, (user * 7 + step * 3) % 119 + 1, 1_000_000 + 60 * step)
        for user in range(1, USERS + 1)
        for step in range(EACH)
    ]
    random.Random(0).shuffle(rows)
    publish_rows("load", rows)
    snapshot = prepare_load("load", "cold-start", CORRECT)
    sequences = pl.read_parquet(snapshot.sequences)
    assert sequences["user_id"].to_list() == list(range(1, USERS + 1))
    assert sequences["timestamps"].to_list() == [[1_000_000 + 60 * n for n in range(EACH)]] * USERS


@pytest.mark.files_only  # DuckDB 1.5, which lakes have, divides by nothing without an error
def test_no_view_divides_by_nothing(home, publish):
    """With one training there is no spread of seeds, and nothing to compare with."""
    with duckdb.connect() as connection:
        with pytest.raises(duckdb.Error, match="Division by zero"):
            connection.execute("SELECT 1 // 0")  # null before DuckDB 2.0
        loud = connection.execute("SELECT log2(0), sqrt(-1), 1 / 0").fetchall()
    assert [math.isfinite(value) for value in loud[0]] == [False] * 3
    publish("a", [2.0] * 4)
    with reading(home) as connection:
        views = connection.execute(
            "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
        assert len(views) > 10
        for (view,) in views:
            rows = connection.execute(f"FROM {view}").fetchall()
            numbers = [value for row in rows for value in row if isinstance(value, float)]
            assert all(map(math.isfinite, numbers)), view
