"""A proposed description as the TOML to be written, and in words what only a person can say."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from warehouse.own_data.description import UTC, Decimal
from warehouse.own_data.guessing import Scale, Seen, TimeWay
from warehouse.visible import printable

MOST_NAMED = 8
MOST_SHOWN = 40  # letters of an example
COMMENT_COLUMN = 30


@dataclass(frozen=True)
class Choice:
    """Which column is something.

    Attributes:
        column: the one, None where it isn't plain or there is none.
        among: those that may be it.
        by: what showed it.
    """

    column: str | None
    among: Sequence[str]
    by: str = "its name"

    @classmethod
    def among_named(cls, named: Sequence[Seen], others: Sequence[str] = ()) -> "Choice":
        """The one that is named so; else none of several, or of the others."""
        names = [one.name for one in named]
        return cls(names[0], names) if len(names) == 1 else cls(None, names or list(others))


@dataclass(frozen=True)
class ProposedItems:
    """The same for a file of items."""

    path: Path
    item: Choice
    title: Choice
    categories: Choice
    separator: str | None


@dataclass(frozen=True)
class Proposed:
    """What each column is thought to be, and how it is written.

    Attributes:
        user: column of users.
        item: column of items.
        time: column of times.
        way: how these are written.
        time_example: one of them, where no way is known.
        zone_matters: whether some of them say no zone.
        rating: column of ratings; with none to choose from, people give none.
        scale: that was seen; None where all ratings are the same.
        decimal: the sign before the fractions of ratings.
        repeats: share of rows that meet an item again, None where nobody knows.
        table: of a file with several.
        items: None without such a file.
    """

    user: Choice
    item: Choice
    time: Choice
    way: TimeWay
    time_example: str
    zone_matters: bool
    rating: Choice
    scale: Scale | None
    decimal: Decimal
    repeats: float | None
    table: str | None
    items: ProposedItems | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the file can be read by it."""
        needed = [self.user, self.item, self.time, *([self.items.item] if self.items else [])]
        known = self.way.is_time and len(self.way.formats) <= 1
        return known and all(choice.column for choice in needed)

    def unclear(self) -> list[str]:
        """What a person has to say."""
        needed = {"user": self.user, "item": self.item, "time": self.time}
        needed |= {"items.item": self.items.item} if self.items else {}
        said = [f"`{key}`: {_or(one.among)}" for key, one in needed.items() if not one.column]
        if self.time.column and not self.way.is_time:
            said.append(f"`time_format`: how {_example(self.time_example)} is written")
        if len(self.way.formats) > 1:
            said.append(f"`time_format`: {_or(self.way.formats)}")
        chosen = {"rating.column": self.rating}
        if self.items:
            chosen["items.title"] = self.items.title
            chosen["items.categories"] = self.items.categories
        for key, one in chosen.items():
            if one.among and not one.column:
                said.append(f"`{key}`: {_or(one.among)}, or none")
        return said

    def notes(self) -> list[str]:
        """What a person should know."""
        said = [
            f"{choice.column} is taken for the {what} by its values, not by its name"
            for what, choice in (("time", self.time),)
            if choice.column and choice.by != "its name"
        ]
        if self.zone_matters:
            said.append(f"{self.time.column} says no zone: {UTC} is taken, put yours as `zone`")
        if self.rating.column and not self.scale:
            said.append(f"{self.rating.column} is left out: all its values are the same")
        return said

    def kind_of(self, column: str) -> str | None:
        """What a column is taken as; None where it isn't needed."""
        rating = self.rating if self.scale or not self.rating.column else Choice(None, [])
        kinds = {"user": self.user, "item": self.item, "time": self.time, "rating": rating}
        taken = next((kind for kind, one in kinds.items() if one.column == column), None)
        may = [k for k, one in kinds.items() if not one.column and column in one.among]
        return taken or (f"{' or '.join(may)}?" if may else None)


def toml(path: Path, kind: str, proposed: Proposed) -> str:
    """The description, what isn't plain as comments to fill in."""
    lines = [f"# {printable(path.name)} ({kind}). docs/own-data-format.md has all keys.", ""]
    if proposed.table:
        lines.append(_pair("table", proposed.table))
    lines += _column("user", proposed.user) + _column("item", proposed.item)
    lines += _column("time", proposed.time) + _time_lines(proposed)
    lines += ["", *_repeats_lines(proposed.repeats)]
    lines += _rating_lines(proposed)
    if proposed.items:
        lines += _items_lines(proposed.items, path.absolute().parent)
    return "\n".join(lines) + "\n"


def _time_lines(proposed: Proposed) -> list[str]:
    way, lines = proposed.way, []
    if way.unit:
        since = "days" if way.unit == "days" else "moments"
        lines.append(_pair("time_unit", way.unit, f"{since} since 1970 UTC, as their size shows"))
    if len(way.formats) == 1:
        lines.append(_pair("time_format", way.formats[0]))
    if len(way.formats) > 1:
        lines.append("# its times can be read in several ways: leave the right one")
        lines += [f"# {_pair('time_format', form)}" for form in way.formats]
    if proposed.time.column and not way.is_time:
        such = f"such as {_example(proposed.time_example)}: a pattern of strptime"
        lines.append(f"# {_pair('time_format', '…', such)}")
    if not proposed.time.column:
        lines.append("# time_unit or time_format, where these aren't plain")
    if proposed.zone_matters:
        lines.append(_pair("zone", UTC, "of times that say none: put yours"))
    return lines


def _repeats_lines(share: float | None) -> list[str]:
    if share == 0:
        lines = ["# No user meets an item twice here; where one does, the first time counts."]
    else:
        seen = "" if share is None else f" ({100 * share:.3g} % of rows)"
        lines = [
            f"# Where a user meets an item again{seen}, the first time counts: what is to be",
            '# predicted is new to its user. "last" or "all", where meeting again is what matters.',
        ]
    return [*lines, _pair("repeats", "first")]


def _rating_lines(proposed: Proposed) -> list[str]:
    rating, scale = proposed.rating, proposed.scale
    if rating.column and not scale:
        return ["", f"# all values of {_quoted(rating.column)} are the same: no ratings"]
    if rating.among and not rating.column:
        comments = [f"# {line}" for line in ("[rating]", 'column = "…"', "low = …", "high = …")]
        return ["", f"# ratings: one of {_listed(rating.among)}, or none", *comments]
    if not (rating.column and scale):
        return [
            "",
            "# no column is called like a rating: that an item was met is all that is known",
        ]
    lines = ["", "[rating]", _pair("column", rating.column)]
    lines.append(_pair("low", scale.low, "the least that was seen; lower, if less can be given"))
    lines.append(_pair("high", scale.high, "the greatest that was seen; the same"))
    if scale.step is None:
        lines.append("# no step: any number between is a rating")
    else:
        lines.append(_pair("step", scale.step, "leave it out where any number is a rating"))
    if proposed.decimal != ".":
        lines.append(_pair("decimal", proposed.decimal))
    return lines


def _items_lines(items: ProposedItems, folder: Path) -> list[str]:
    path = items.path.absolute()
    near = os.path.relpath(path, folder)
    lines = ["", "[items]", _pair("file", str(path) if near.startswith("..") else near)]
    lines += _column("item", items.item)
    for key, choice in (("title", items.title), ("categories", items.categories)):
        if choice.among:
            lines += _column(key, choice)
    if items.separator:
        lines.append(_pair("category_separator", items.separator))
    return lines


def _column(key: str, choice: Choice) -> list[str]:
    """A line for a column, or one to fill in."""
    if choice.column:
        return [_pair(key, choice.column)]
    return [f"# {key} is not plain: say one of {_listed(choice.among)}", f'# {key} = "…"']


def _pair(key: str, value: str | float, comment: str = "") -> str:
    written = _quoted(value) if isinstance(value, str) else f"{value:g}"
    line = f"{key} = {written}"
    return f"{line:<{COMMENT_COLUMN}}# {comment}" if comment else line


def _quoted(text: str) -> str:
    """A TOML string, whose escapes are those of JSON; TOML wants DEL escaped as well.

    >>> _quoted("Zeit"), _quoted(chr(127))
    ('"Zeit"', '"\\\\u007f"')
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _example(value: str) -> str:
    return _quoted(printable(value[:MOST_SHOWN]))


def _listed(names: Sequence[str]) -> str:
    some = ", ".join(_quoted(name) for name in names[:MOST_NAMED])
    return f"{some}, …" if len(names) > MOST_NAMED else some or "the columns"


def _or(names: Sequence[str]) -> str:
    shown = [*names[:MOST_NAMED], *(["…"] if len(names) > MOST_NAMED else [])]
    return " or ".join(shown) or "no column looks like it"
