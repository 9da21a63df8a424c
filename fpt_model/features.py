"""What goes into a position of the network: a table, one row an input.

r = concat of the inputs that have a width, in this order (docs/how-to/add-an-input.md). Each has a
table of vectors: of a number from 1 on the vector of that row, of 0 zero, which padding gets and
what nobody knows. The encoder and every engine loop over these rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

WEEKS = 52
RATINGS = 10  # half stars up to five stars
GAPS, DEPTHS = 31, 26  # see fpt_model/data/tempo.py


@dataclass(frozen=True)
class Feature:
    """An input.

    Attributes:
        name: of its table in the model and in checkpoints (`weeks.weight`), and of its numbers in
            the data.
        width: the setting with the width of its vectors.
        per: what has numbers: a `token` (an interaction, `SequenceBatch`), a `sequence` (its user),
            or an `item`: then several, whose vectors are summed (`Sequences.item_features`).
        rows: of its table besides row 0; 0 where the data tell.
        sse_rate: the setting that says how often a number becomes another one (SSE); none if empty.
        as_items: whether its table starts within the items' bound. Xavier's would start a table of
            few rows many times larger than the items', and it would drown them
            (docs/experiments.md).
    """

    name: str
    width: str
    per: Literal["token", "sequence", "item"]
    rows: int = 0
    sse_rate: str = ""
    as_items: bool = False

    @property
    def table(self) -> str:
        """Its table's name in a state dict."""
        return f"{self.name}.weight"


# The items come first: they are what is scored.
FEATURES = (
    Feature("items", "item_width", "token", sse_rate="sse_item"),
    Feature("weeks", "week_width", "token", rows=WEEKS, as_items=True),
    Feature("users", "user_width", "sequence", sse_rate="sse_user"),
    Feature("ratings", "rating_width", "token", rows=RATINGS, as_items=True),
    Feature("genres", "genre_width", "item", as_items=True),
    Feature("gaps", "gap_width", "token", rows=GAPS, as_items=True),
    Feature("depths", "depth_width", "token", rows=DEPTHS, as_items=True),
)


def token_inputs(config: Any) -> list[str]:
    """Names of the inputs that a `Config` has and that have a number of each token."""
    return [feature.name for feature, _ in widths(config) if feature.per == "token"]


def widths(config: Any) -> Iterator[tuple[Feature, int]]:
    """The inputs that a `Config` has, each with its width."""
    for feature in FEATURES:
        width = getattr(config, feature.width)
        if width:
            yield feature, width
