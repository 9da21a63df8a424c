"""The candidates of a snapshot, drawn for some users after others: the same as all at once."""

import numpy as np
import polars as pl

from warehouse.transforms import candidates
from warehouse.transforms.candidates import Histories

# A change of that file would be other snapshots, a new name in it too.
_draw = candidates._draw
BLOCK = candidates._BLOCK
NOBODYS = pl.DataFrame(
    schema={"split": pl.String, "user_id": pl.Int32, "item_ids": pl.List(pl.Int32)}
)


class Drawing:
    """`transforms.candidates.draw_candidates`, going on where it was.

    Users come in ascending order, and but for the last time a multiple of `BLOCK` of them has
    held-out items: they are drawn for so many at a time.
    """

    def __init__(
        self, *, n_items: int, seed: int = candidates.SEED, comes_again: bool = False
    ) -> None:
        self.n_items, self.comes_again = n_items, comes_again
        self._random = {
            split: np.random.default_rng([seed, number])
            for number, split in enumerate(("valid", "test"))
        }

    def draw(self, interactions: pl.DataFrame) -> pl.DataFrame:
        """Candidates of the next users: `split`, `user_id`, `item_ids`.

        Args:
            interactions: all of these users', in the order of `user_id`.
        """
        interactions = interactions.select("user_id", "item_id", "split")
        users = interactions.filter(pl.col("split") == "test")["user_id"]
        if not len(users):
            return NOBODYS
        return pl.concat(self._drawn(interactions, users, split) for split in self._random)

    def _drawn(self, interactions: pl.DataFrame, users: pl.Series, split: str) -> pl.DataFrame:
        left_out = interactions
        if self.comes_again:
            left_out = interactions.filter(pl.col("split") == split)
        owners, theirs = left_out["user_id"].to_numpy(), left_out["item_id"].to_numpy()
        histories = Histories(owners, theirs, self.n_items)
        items = _draw(users.to_numpy(), histories, self._random[split])
        rows = pl.DataFrame({"user_id": users})
        return rows.select(pl.lit(split).alias("split"), "user_id", item_ids=items)
