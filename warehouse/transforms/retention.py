"""Which users and items stay."""

import polars as pl


def k_core(ratings: pl.LazyFrame, k: int) -> pl.LazyFrame:
    """Remove users and items with fewer than `k` interactions until none is left.

    Removing an item can bring a user under `k` and the other way round, hence the fixed point.
    """
    kept = ratings.collect()
    while True:
        before = kept.height
        for key in ("raw_item_id", "raw_user_id"):
            kept = kept.filter(pl.len().over(key) >= k)
        if kept.height == before:
            return kept.lazy()
