"""What a suite must know of the data it judges. Light to import."""

import time
from dataclasses import dataclass, field

_DAY = 86_400


def _tomorrow() -> int:
    return int(time.time()) + _DAY


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Ids, known counts and limits; a count that nobody knows is None.

    An id left empty matches no row, so an audit that needs it fails instead of passing unjudged.
    """

    load_id: str = ""
    snapshot_id: str = ""
    run_ids: tuple[str, ...] = ()

    # What was ranked, and how far: imported models may lack some of it.
    splits: tuple[str, ...] = ("valid", "test")
    protocols: tuple[str, ...] = ("uniform_100", "full")
    known_to: int | None = None  # the place up to which ranks are known; None: all of them are

    # The archive, as its publisher describes it.
    n_ratings: int | None = None
    n_users: int | None = None
    n_items: int | None = None
    rating_min: float = 0.5
    rating_max: float = 5.0
    rating_step: float | None = 0.5  # None: any number between is a rating
    timestamp_min: int = 788_918_400  # 1995-01-01: MovieLens's first ratings are of that month
    timestamp_max: int = field(default_factory=_tomorrow)  # a day's grace for clocks that differ
    max_rejects: int = 0

    # Own data, of which nothing holds that MovieLens promises, as its description has it.
    own: bool = False
    rated: bool = True
    named: bool = True  # whether there is a file of items
    repeats: str = "first"

    # The snapshot, as its row in core.snapshots describes it.
    retention: str = "5-core"
    n_interactions: int | None = None
    n_kept_users: int | None = None
    n_kept_items: int | None = None

    @property
    def comes_again(self) -> bool:
        """Whether an item may stand in a history more than once."""
        return self.repeats == "all"

    def if_own(self, own: str, other: str) -> str:
        """Words for own data, or for MovieLens."""
        return own if self.own else other
