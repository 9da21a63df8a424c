"""Which column is what, by the names that this field gives them and by what they hold.

One candidate is plain. With several nothing is chosen: the person who has the file knows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from warehouse.database import quoted
from warehouse.own_data.description import TimeUnit
from warehouse.own_data.ids import FLOATS, PLAIN_FROM, WHOLE
from warehouse.own_data.times import NAIVE, found_way

# the first line of each is what is meant where both kinds are there: a session is a user's
NAMES = {
    "user": (
        "user customer member reviewer visitor person buyer listener viewer reader uid cid",
        "session account client profile visit anonymous device",
    ),
    "item": (
        "item movie film product asin sku track song article book isbn iid pid mid video business "
        "news recipe game content listing anime beer",
        "artist page url host app",
    ),
    "time": (
        "timestamp time ts date datetime created createdat created_at event_time eventtime "
        "unixreviewtime unixtime occurredat eventdate reviewtime reviewdate ratedat playedat "
        "viewedat purchasedat clickedat",
        "day at when updatedat",
    ),
    "rating": ("rating score stars star overall grade rate vote", "value weight preference"),
    "title": ("title name", "label description"),
    "categories": ("genres genre categories category tags tag", "brand kind type class group"),
}
_DAYS = ("%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
_CLOCKS = ("", " %H:%M:%S", " %H:%M")
_HALF_DAYS = (" %I:%M:%S %p", " %I:%M %p")  # with AM or PM
OF_DIGITS = ("%Y%m%d", "%Y%m%d%H%M%S")
PATTERNS = (
    *(f"{day}{clock}" for day in _DAYS for clock in (*_CLOCKS, *_HALF_DAYS)),
    *(f"{day}{clock}" for day in ("%Y-%m-%d", "%b %d, %Y") for clock in _HALF_DAYS),
    *OF_DIGITS,
    "%m %d, %Y", "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y",
    "%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z", "%a %b %d %H:%M:%S %z %Y",
)  # fmt: skip
COMMAS = "numbers with a decimal comma"
FEW, MANY = 2, 101  # different values that ratings have
STEPS = (1.0, 0.5, 0.25, 0.2, 0.1)


@dataclass(frozen=True)
class Seen:
    """A column and what was seen in it.

    Attributes:
        place: what it is called where it is loaded.
        name: in the file.
        type: in DuckDB's words.
        holds: in people's words.
        n_missing: nulls and empty texts.
        n_different: values, without these.
    """

    place: str
    name: str
    type: str
    holds: str
    n_missing: int
    n_different: int

    @property
    def base(self) -> str:
        """Its type without its size."""
        return self.type.partition("(")[0]

    @property
    def is_number(self) -> bool:
        """Whether all of it are numbers."""
        return self.holds in ("whole numbers", "numbers")

    @property
    def may_be_rating(self) -> bool:
        """Whether it can hold ratings."""
        return self.is_number or self.holds == COMMAS

    @property
    def may_be_id(self) -> bool:
        """Whether it can hold ids."""
        ids = WHOLE | FLOATS | {"VARCHAR", "UUID", "DECIMAL"}
        return self.base in ids and self.n_different > 0 and self.holds != COMMAS


@dataclass(frozen=True)
class TimeWay:
    """How a column's times are written, in each way that fits: one is plain."""

    unit: TimeUnit | None = None
    formats: Sequence[str] = ()
    native: bool = False

    @property
    def is_time(self) -> bool:
        """Whether some way fits."""
        return self.native or self.unit is not None or bool(self.formats)


@dataclass(frozen=True)
class Scale:
    """The ratings that were seen."""

    low: float
    high: float
    step: float | None


def named(kind: str, columns: Sequence[Seen]) -> list[Seen]:
    """The columns whose names say that they are of a kind; the surer ones alone, if there are any.

    >>> column = lambda name: Seen("c0", name, "VARCHAR", "text", 0, 1)
    >>> [one.name for one in named("user", [column("sessionId"), column("user_id")])]
    ['user_id']
    >>> [one.name for one in named("item", [column("product"), column("SKU"), column("price")])]
    ['product', 'SKU']
    """
    for words in NAMES[kind]:
        known = {_letters(word) for word in words.split()}
        found = [one for one in columns if _letters(one.name) in known | {f"{k}id" for k in known}]
        if found:
            return found
    return []


def _letters(name: str) -> str:
    """A name without case, blanks and signs; what stands before a colon or a point as a table's
    name, and an `id` or `key` of its own at the end, are no part of it.

    >>> _letters("User ID"), _letters("movieId"), _letters("events.item_id:token")
    ('userid', 'movieid', 'itemid')
    """
    last = name.partition(":")[0].rpartition(".")[2]
    return re.sub(r"[^a-z0-9]", "", last.lower())


def time_way(connection: duckdb.DuckDBPyConnection, table: str, column: Seen) -> TimeWay:
    """How a loaded column's times are written, if it holds times."""
    if column.type in NAIVE or column.type.startswith("TIMESTAMP"):
        return TimeWay(native=True)
    if column.base not in WHOLE | FLOATS | {"DECIMAL", "VARCHAR"}:
        return TimeWay()
    unit, form = found_way(connection, table, column.place, column.base)
    if unit or form:
        return TimeWay(unit, [form] if form else [])
    if column.base in FLOATS:
        return TimeWay()
    # numbers such as 20240131 are of eight digits or fourteen
    patterns = OF_DIGITS if column.is_number else PATTERNS
    return TimeWay(formats=_fitting(connection, table, column, patterns))


def example(connection: duckdb.DuckDBPyConnection, table: str, column: Seen) -> str:
    """A value of a loaded column."""
    query = (
        f"SELECT CAST({column.place} AS VARCHAR) AS value FROM {table} WHERE value <> '' LIMIT 1"
    )
    return str(connection.execute(query).fetchall()[0][0])


def _fitting(
    connection: duckdb.DuckDBPyConnection, table: str, column: Seen, patterns: Sequence[str]
) -> list[str]:
    """The patterns by which all values are moments since 1970; else those by which nearly all are.

    A single 31 tells whether the day or the month is first.
    """
    counts = ", ".join(
        f"count(*) FILTER (try_strptime(value, {quoted(one)}) >= TIMESTAMP '1970-01-01')"
        for one in patterns
    )
    values = f"SELECT CAST({column.place} AS VARCHAR) AS value FROM {table}"
    query = f"SELECT count(*), {counts} FROM ({values}) WHERE value <> ''"
    n, *fits = connection.execute(query).fetchall()[0]
    least = n if n in fits else PLAIN_FROM * n
    return [one for one, m in zip(patterns, fits, strict=True) if n and m >= least]


def rating_scale(connection: duckdb.DuckDBPyConnection, table: str, column: Seen) -> Scale | None:
    """The scale that the values of a column of numbers show; None where all are the same."""
    number = f"replace({column.place}, ',', '.')" if column.holds == COMMAS else column.place
    values = f"SELECT DISTINCT TRY_CAST({number} AS DOUBLE) AS value FROM {table}"
    query = f"SELECT value FROM ({values}) WHERE isfinite(value) ORDER BY value LIMIT {MANY + 1}"
    found = [float(row[0]) for row in connection.execute(query).fetchall()]
    if len(found) < FEW:
        return None
    if len(found) <= MANY:
        for step in STEPS:
            if all(_is_whole((value - found[0]) / step) for value in found):
                return Scale(found[0], found[-1], step)
        return Scale(found[0], found[-1], None)
    query = f"SELECT max(value) FROM ({values}) WHERE isfinite(value)"
    return Scale(found[0], float(connection.execute(query).fetchall()[0][0]), None)


def _is_whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-4  # a FLOAT's 4.1 is no more exact


def category_separator(
    connection: duckdb.DuckDBPyConnection, table: str, column: Seen
) -> str | None:
    """What separates categories within a text; None where nothing does, or it is a list."""
    if column.type != "VARCHAR":
        return None
    signs = ("|", ";", ",", "/")
    counts = ", ".join(
        f"count(*) FILTER (contains({column.place}, {quoted(sign)}))" for sign in signs
    )
    found = connection.execute(f"SELECT {counts} FROM {table}").fetchall()[0]
    most = max(range(len(signs)), key=lambda n: found[n])
    return signs[most] if found[most] else None
