"""What a load says of itself, for its preparation and its audits; MovieLens says nothing."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

Repeats = Literal["first", "last", "all"]
STEPS = 9  # from the first half star to the tenth
UNRATED = 0  # the models' number for a rating that nobody knows


@dataclass(frozen=True)
class Rules:
    """How own data is described, as far as its preparation must know; the defaults are MovieLens's.

    Attributes:
        repeats: which of a user's interactions with the same item count. With `all`, an item may
            come again: then it may be predicted again too, whoever has had it.
        scale: the least and the greatest rating; None for stars, and where there are no ratings.
        step: between one rating of the scale and the next; None where any number between is one.
        own: whether it is own data, of which nothing holds that MovieLens promises.
        rated: whether there are ratings.
        named: whether there is a file of items.
    """

    repeats: Repeats = "first"
    scale: tuple[float, float] | None = None
    step: float | None = None
    own: bool = False
    rated: bool = True
    named: bool = True

    @property
    def comes_again(self) -> bool:
        """Whether an item may stand in a history more than once."""
        return self.repeats == "all"

    def half_stars(self) -> pl.Expr:
        """`rating` as the models know it: half stars, 1 to 10; 0 where nobody knows.

        Stars are doubled. Any other scale is stretched, its ends to 1 and 10, and rounded.
        """
        rating = pl.col("rating")
        if self.scale is None:
            return (rating * 2).cast(pl.Int8).fill_null(UNRATED)
        low, high = self.scale
        place = 1 + STEPS * (rating.cast(pl.Float64) - low) / (high - low)
        return (place + 0.5).floor().clip(1, 1 + STEPS).cast(pl.Int8).fill_null(UNRATED)


MOVIELENS = Rules()
