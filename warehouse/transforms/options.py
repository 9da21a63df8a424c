"""Settings of the preparation; the defaults are the correct form, and no id says them."""

from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, time
from typing import Any, Literal
from zoneinfo import available_timezones

import polars as pl

from warehouse.errors import RefusedError

Ties = Literal["file", "item", "random"]
Part = Literal["train", "history"]
Calendar = Literal["week", "season"]
_WORDS = {
    "ties": ("file", "item", "random"),
    "time_scale": ("train", "history"),
    "calendar": ("week", "season"),
}


@dataclass(frozen=True)
class Options:
    """How a snapshot is prepared, besides its retention.

    All but `as_of` are other forms that are found in published code; what they do to a metric is
    in docs/sensitivity.md.

    Attributes:
        as_of: only ratings before this day (UTC) are known; None: all of them.
        ties: what orders a user's ratings of the same second: their rows in the source file, their
            movie numbers, or lots drawn from `tie_seed`.
        tie_seed: of those lots.
        time_scale: the shortest gap comes from the training part, or from the whole history.
        calendar: `weeks` are ISO weeks of the year, or the four seasons.
        time_zone: whose calendar it is.
    """

    as_of: date | None = None
    ties: Ties = "file"
    tie_seed: int = 0
    time_scale: Part = "train"
    calendar: Calendar = "week"
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                got = repr(getattr(self, name))
                raise RefusedError(f"Unknown {name}", got=got, expected=" or ".join(words))
        if self.time_zone != "UTC" and self.time_zone not in available_timezones():
            expected = "a name such as America/Chicago"
            raise RefusedError("Unknown time zone", got=repr(self.time_zone), expected=expected)

    @property
    def midnight(self) -> int:
        """When the day of `as_of` begins in UTC, in seconds; without one, past all times."""
        if self.as_of is None:
            return 2**62
        return int(datetime.combine(self.as_of, time(), UTC).timestamp())

    def changes(self) -> dict[str, Any]:
        """What is not the default, as JSON can hold it: the part of a snapshot's id."""
        defaults = {field.name: field.default for field in fields(self)}
        changed = {name: value for name, value in asdict(self).items() if value != defaults[name]}
        return changed | ({"as_of": self.as_of.isoformat()} if self.as_of else {})


def known_before(ratings: pl.LazyFrame, options: Options) -> pl.LazyFrame:
    """Ratings from before `as_of`; all of them without one."""
    if options.as_of is None:
        return ratings
    return ratings.filter(pl.col("timestamp") < options.midnight)
