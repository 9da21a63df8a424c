"""What a person says of a file of their own: a small TOML named after the data set.

docs/own-data-format.md has each key.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from warehouse.datasets import NAMES
from warehouse.errors import RefusedError
from warehouse.home import Home

TimeUnit = Literal["days", "seconds", "milliseconds", "microseconds", "nanoseconds"]
Repeats = Literal["first", "last", "all"]
Decimal = Literal[".", ","]
ISO = "ISO 8601"
UTC = "UTC"
MAX_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_KEYS_SAID_OTHERWISE = {
    **dict.fromkeys(("time_zone", "timezone", "tz"), "zone"),
    **{"format": "time_format", "unit": "time_unit"},
}
_SAID_OTHERWISE = {
    **{"s": "seconds", "sec": "seconds", "second": "seconds", "d": "days", "day": "days"},
    **{"ms": "milliseconds", "us": "microseconds", "µs": "microseconds", "ns": "nanoseconds"},
    **{"iso": ISO, "iso8601": ISO, "iso-8601": ISO},
}


@dataclass(frozen=True)
class Rating:
    """The column of ratings and the scale on which they are given.

    Attributes:
        column: its name.
        low: the least rating.
        high: the greatest.
        step: between one rating and the next; None where any number between is one.
        decimal: the sign before a fraction in texts.
    """

    column: str
    low: float
    high: float
    step: float | None = None
    decimal: Decimal = "."


@dataclass(frozen=True)
class Form:
    """How a file is laid out, where that isn't found by itself.

    Attributes:
        table: of a DuckDB or SQLite file; None: its only one.
        separator: between the fields of a text; None: found.
        header: whether a text's first line names its columns, which are `column1`, `column2` and
            so on where it doesn't; None: found.
    """

    table: str | None = None
    separator: str | None = None
    header: bool | None = None


@dataclass(frozen=True)
class Items:
    """A file of items.

    Attributes:
        file: its whole path.
        item: column of the item's id, as the events have it.
        title: column of titles, None without.
        categories: column of categories, None without: text, or a list.
        category_separator: between the categories of a text.
        form: how the file is laid out.
    """

    file: Path
    item: str
    title: str | None = None
    categories: str | None = None
    category_separator: str = "|"
    form: Form = Form()


@dataclass(frozen=True)
class Description:
    """What is said of a file of events.

    Attributes:
        name: of the data set.
        user: column of users' ids.
        item: column of items' ids.
        time: column of times.
        time_unit: of times that are numbers, counted from 1970 UTC; None: found by their size
            where that is plain.
        time_format: of times that are texts: `ISO 8601`, or a pattern of strptime; None: ISO 8601
            where all are so.
        zone: of times that have none, by its name in the IANA's list.
        rating: None where people give none.
        repeats: which of the times that a user met an item counts. The first is the default: then
            each item is new to its user when it is to be predicted, as in MovieLens.
        form: how the file is laid out.
        items: None without such a file.
    """

    name: str
    user: str
    item: str
    time: str
    time_unit: TimeUnit | None = None
    time_format: str | None = None
    zone: str = UTC
    rating: Rating | None = None
    repeats: Repeats = "first"
    form: Form = Form()
    items: Items | None = None

    def columns(self) -> dict[str, str]:
        """The described columns of the events, by what they are."""
        named = {"user": self.user, "item": self.item, "time": self.time}
        return named | ({"rating": self.rating.column} if self.rating else {})


_TEXT, _NUMBER, _TRUTH = (str,), (int, float), (bool,)
_WORDS: Mapping[tuple[type, ...], str] = {
    _TEXT: "text in quotes",
    _NUMBER: "a number",
    _TRUTH: "true or false",
    (dict,): "a table",
}
_FORM = {"table": _TEXT, "separator": _TEXT, "header": _TRUTH}
_KEYS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "": {
        **dict.fromkeys(("user", "item", "time", "time_unit", "time_format", "zone"), _TEXT),
        **{"repeats": _TEXT, "rating": (dict,), "items": (dict,), **_FORM},
    },
    "rating": {"column": _TEXT, "low": _NUMBER, "high": _NUMBER, "step": _NUMBER, "decimal": _TEXT},
    "items": {
        **dict.fromkeys(("file", "item", "title", "categories", "category_separator"), _TEXT),
        **_FORM,
    },
}
_NEEDED = {
    "": ("user", "item", "time"),
    "rating": ("column", "low", "high"),
    "items": ("file", "item"),
}


_ALL_KEYS = "docs/own-data-format.md has all keys; `fpt describe` proposes a description"
_EXPECTED = {
    "user": "the column of users' ids",
    "item": "the column of items' ids",
    "time": "the column of times",
    "rating.column": "the column of ratings",
    "rating.low": "the least rating that can be given",
    "rating.high": "the greatest rating that can be given",
    "items.file": "the file of items",
    "items.item": "its column of items' ids",
}


def checked_name(name: str) -> str:
    """A data set's name, which is a file's and a folder's name too.

    Raises:
        RefusedError: it can't be one, or it is that of a data set that is known already.
    """
    if not _NAME.fullmatch(name):
        expected = "up to 64 letters, digits, - and _, a letter or digit first"
        raise RefusedError("A data set can't be called so", got=repr(name[:80]), expected=expected)
    if name.lower() in NAMES:
        to_do = "Give your data another name"
        raise RefusedError(f"{name} is the name of a data set that is known already", to_do=to_do)
    return name


def find_description(name: str, source: Path | None, home: Home) -> Path | None:
    """The description of a data set: beside its source, or in the home's `datasets`.

    Raises:
        RefusedError: it is in both places, and they are not the same; no name can be so.
    """
    file = f"{checked_name(name)}.toml"
    places = [home.root / "datasets" / file]
    if source is not None:
        places.insert(0, source.absolute().parent / file)
    there = [place for place in places if place.is_file()]
    if len({_bytes(place) for place in there}) > 1:
        raise RefusedError(
            f"{name} is described twice",
            got=" and ".join(map(str, there)),
            expected="one of them, or two that are the same",
            to_do="Remove the one that is out of date",
        )
    return there[0] if there else None


def read_description(path: Path) -> Description:
    """The description in a file, which is named after the data set.

    Raises:
        RefusedError: it can't be read, or something in it can't be so; it names file and key.
    """
    name = checked_name(path.name.removesuffix(".toml"))
    return parse_description(name, _text(path), path)


def parse_description(name: str, text: str, path: Path) -> Description:
    """A description from its text.

    Args:
        name: of the data set.
        text: TOML.
        path: of the file, from whose folder that of the items is looked for.

    Raises:
        RefusedError: see `read_description`.
    """
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RefusedError(f"{path} is no TOML", got=str(error)) from error
    _refuse_unknown_keys(said, path)
    tables = {table: _Table(path, table, said.get(table)) for table in ("rating", "items")}
    whole = _Table(path, "", said)
    described = Description(
        name=name,
        user=whole.text("user"),
        item=whole.text("item"),
        time=whole.text("time"),
        time_unit=whole.one_of("time_unit", get_args(TimeUnit)),
        time_format=_time_format(whole),
        zone=whole.text("zone", UTC),
        rating=_rating(tables["rating"]) if tables["rating"] else None,
        repeats=whole.one_of("repeats", get_args(Repeats), "first"),
        form=_form(whole),
        items=_items(tables["items"]) if tables["items"] else None,
    )
    _refuse_one_column_twice(described, path)
    return described


class _Table:
    """A table of the file, each key looked at before it is taken."""

    def __init__(self, path: Path, name: str, said: Mapping[str, Any] | None) -> None:
        self._path, self._name, self._said = path, name, said
        if not isinstance(said, dict):
            return
        known = _KEYS[name]
        for key, value in said.items():
            self._refuse_wrong_type(key, value, known[key])
        for key in _NEEDED[name]:
            if key not in said:
                raise self.wrong(key, "is missing", None, _EXPECTED[self._key(key)])

    def __bool__(self) -> bool:
        return isinstance(self._said, dict)

    def get(self, key: str) -> Any:
        """What the file says, None where it is silent."""
        return (self._said or {}).get(key)

    def text(self, key: str, default: str = "") -> str:
        """A text that is not empty."""
        value = self.get(key)
        if value is not None and not value.strip():
            raise self.wrong(key, "is empty", repr(value))
        return default if value is None else str(value)

    def optional(self, key: str) -> str | None:
        """The same, or None."""
        return self.text(key) or None

    def path(self, key: str) -> Path:
        """A file, from the description's own folder."""
        return self._path.absolute().parent / Path(self.text(key)).expanduser()

    def number(self, key: str) -> float:
        """A finite number."""
        value = float(self.get(key))
        if not math.isfinite(value):
            raise self.wrong(key, "is no number", str(value), "a finite one")
        return value

    def one_of(self, key: str, words: Collection[str], default: str | None = None) -> Any:
        """One of some words, or the default."""
        value = self.get(key)
        if value is None or value in words:
            return default if value is None else value
        listed = _listed([word if word.isalpha() else repr(word) for word in words])
        raise self.wrong(key, "can't be so", repr(value), f"{listed}{_close(value, words)}")

    def wrong(
        self, key: str, what: str, got: str | None, expected: str | None = None
    ) -> RefusedError:
        """An error that names file and key."""
        return RefusedError(
            f"{self._path}: `{self._key(key)}` {what}",
            got=got,
            expected=expected,
            to_do=_ALL_KEYS,
        )

    def _key(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def _refuse_wrong_type(self, key: str, value: Any, types: tuple[type, ...]) -> None:
        # to Python, true is a whole number
        if not isinstance(value, types) or (isinstance(value, bool) and types != _TRUTH):
            raise self.wrong(key, "is of the wrong type", f"{value!r:.80}", _WORDS[types])


def _refuse_unknown_keys(said: Mapping[str, Any], path: Path) -> None:
    """All keys of the file that are not known, at once."""
    unknown: list[str] = []
    meant: list[str] = []
    expected: list[str] = []
    for table, known in _KEYS.items():
        keys = said if not table else said.get(table)
        for key in keys if isinstance(keys, dict) else ():
            if key not in known:
                whole = f"`{table}.{key}`" if table else f"`{key}`"
                unknown.append(whole)
                close = _meant(key, known)
                meant += [f"`{one}` for {whole}" for one in close]
                expected += [] if close else known
    if not unknown:
        return
    words = meant[0].partition(" for ")[0] if len(unknown) == len(meant) == 1 else _listed(meant)
    raise RefusedError(
        f"{path}: {_listed(unknown)} {'is' if len(unknown) == 1 else 'are'} not known",
        expected=_listed(list(dict.fromkeys(expected))) or None,
        to_do=(f"Did you mean {words}? " if meant else "") + _ALL_KEYS,
    )


def _time_format(whole: _Table) -> str | None:
    value = whole.optional("time_format")
    if value is None:
        return None
    if whole.get("time_unit") is not None:
        what = "can't be beside `time_unit`"
        raise whole.wrong("time_format", what, repr(value), "a unit for numbers, or a format")
    if value != ISO and "%" not in value:
        expected = f'"{ISO}", or a pattern such as "%d.%m.%Y %H:%M:%S"{_close(value, (ISO,))}'
        raise whole.wrong("time_format", "can't be so", repr(value), expected)
    return value


def _form(table: _Table) -> Form:
    separator = table.get("separator")
    if separator is not None and not (
        1 <= len(separator.encode()) <= 4 and not set(separator) & set('"\n\r')
    ):
        expected = "1 to 4 bytes, no quote and no line end"
        raise table.wrong("separator", "can't be so", repr(separator), expected)
    return Form(table.optional("table"), separator, table.get("header"))


def _rating(table: _Table) -> Rating:
    low, high = table.number("low"), table.number("high")
    step = None if table.get("step") is None else table.number("step")
    if low >= high:
        raise table.wrong("high", "is not above `low`", f"{low:g} to {high:g}")
    if step is not None and not (step > 0 and _is_whole((high - low) / step)):
        expected = f"a part of {high - low:g}, or no `step` where any number is a rating"
        raise table.wrong("step", "doesn't lead from `low` to `high`", f"{step:g}", expected)
    decimal = table.one_of("decimal", get_args(Decimal), ".")
    return Rating(table.text("column"), low, high, step, decimal)


def _items(table: _Table) -> Items:
    return Items(
        file=table.path("file"),
        item=table.text("item"),
        title=table.optional("title"),
        categories=table.optional("categories"),
        category_separator=table.get("category_separator") or "|",
        form=_form(table),
    )


def _is_whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-6


def _refuse_one_column_twice(described: Description, path: Path) -> None:
    seen: dict[str, str] = {}
    for key, column in described.columns().items():
        if column in seen:
            raise RefusedError(
                f"{path}: `{seen[column]}` and `{key}` are the same column",
                got=repr(column),
                expected="a column for each",
            )
        seen[column] = key


def _meant(key: str, known: Collection[str]) -> list[str]:
    """The key that one that isn't known may be, if there is one.

    >>> _meant("usr", ["user", "item"]), _meant("tz", ["zone"]), _meant("x", ["user"])
    (['user'], ['zone'], [])
    """
    other = _KEYS_SAID_OTHERWISE.get(key.lower().replace("-", "_"))
    if other is not None and other in known:
        return [other]
    return difflib.get_close_matches(key.lower(), known, n=1)


def _close(value: Any, words: Collection[str]) -> str:
    """The word that was meant, if it is plain.

    >>> _close("ms", ["seconds", "milliseconds"]), _close("x", ["seconds"])
    ('; did you mean "milliseconds"', '')
    """
    other = _SAID_OTHERWISE.get(str(value).lower())
    close = [other] if other in words else difflib.get_close_matches(str(value), words, n=1)
    return f'; did you mean "{close[0]}"' if close else ""


def _listed(words: Collection[str]) -> str:
    return ", ".join(words)


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            got, expected = f"{path.stat().st_size:,} bytes", "a small TOML"
            raise RefusedError(f"{path} is no description", got=got, expected=expected)
        return path.read_bytes()
    except OSError as error:
        raise RefusedError(f"{path} can't be read", got=error.strerror) from error


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(f"{path} is no text in UTF-8", got=str(error)) from error
