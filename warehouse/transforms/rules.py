"""What a load says of itself, for its preparation and its audits; MovieLens says nothing.

Light to import.
"""

from dataclasses import dataclass
from typing import Literal

Repeats = Literal["first", "last", "all"]


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


MOVIELENS = Rules()
