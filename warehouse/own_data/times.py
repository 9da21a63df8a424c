"""Times of a file as nanoseconds since 1970 UTC; how they are written is said, or found.

Plain is what holds for 99 of 100 values and can be taken in one way only.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import duckdb

from warehouse.database import quoted
from warehouse.errors import RefusedError
from warehouse.own_data.description import ISO, UTC, Description, TimeUnit
from warehouse.own_data.ids import FLOATS, PLAIN_FROM, WHOLE

NANOS: dict[str, int] = {
    "days": 86_400 * 10**9,
    "seconds": 10**9,
    "milliseconds": 10**6,
    "microseconds": 10**3,
    "nanoseconds": 1,
}
# a number's unit is found by its size for these years: between two units lies a factor of 1,000,
# between 1990 and today one of less than 4
PLAIN_SINCE = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
NAIVE = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "DATE"}


@dataclass(frozen=True)
class Clock:
    """How times are read.

    Attributes:
        said: in words, for people.
        nanos: SQL of nanoseconds since 1970, null where the value is no time.
        is_missing: SQL of whether there is no value.
        why: what is said of a value that is no time.
        unit: of numbers.
        format: of texts.
        notes: what was found and not said.
    """

    said: str
    nanos: str
    why: str
    is_missing: str = "time IS NULL"
    unit: str | None = None
    format: str | None = None
    notes: Sequence[str] = ()


def clock_of(connection: duckdb.DuckDBPyConnection, description: Description, kind: str) -> Clock:
    """How the times of the table `own_rows` are read.

    Args:
        connection: that has the table, and the macros of `sql/own_data`.
        description: what is said of them.
        kind: the column's type.

    Raises:
        RefusedError: it isn't said and isn't plain, or the column can't be read so.
    """
    _refuse_unknown_zone(connection, description.zone)
    base = kind.partition("(")[0]
    is_number = base in WHOLE or base in FLOATS or base == "DECIMAL"
    if not (is_number or base == "VARCHAR"):
        return _native(description, kind)
    if description.time_format:
        return _written(connection, description, description.time_format, base)
    if description.time_unit:
        return _counted(description.time_unit, base)
    unit, form = found_way(connection, "own_rows", "time", base)
    if form:
        found = _written(connection, description, form, base)
    elif unit:
        found = _counted(unit, base)
    else:
        raise RefusedError(
            f"How {description.time} is written is not plain",
            got=_examples(connection),
            expected=f"{ISO}, or numbers that are moments since 1990 in one unit",
            to_do="Say `time_unit` or `time_format` in the description",
        )
    note = f"{description.time} is taken as {found.said}, as its values show"
    return Clock(**{**vars(found), "notes": [note, *found.notes]})


def fitting_unit(unit: str | None, latest: int) -> str:
    """SQL of what a number that is in the future would be in the unit that fits, else null."""
    if unit is None:
        return "NULL"
    since = int(PLAIN_SINCE.timestamp())
    cases = ""
    for other in get_args(TimeUnit):
        if NANOS[other] < NANOS[unit]:
            second = f"nanos // {10**9 * (NANOS[unit] // NANOS[other])}"
            day = f"CAST(make_timestamp(1000000 * CAST({second} AS BIGINT)) AS DATE)"
            cases += (
                f" WHEN {second} BETWEEN {since} AND {latest} "
                f"THEN 'in {other} it would be ' || {day}"
            )
    return f"CASE{cases} END" if cases else "NULL"


def found_way(
    connection: duckdb.DuckDBPyConnection, table: str, column: str, base: str
) -> tuple[TimeUnit | None, str | None]:
    """The unit or the format that nearly all values of a loaded column show, if one does."""
    text = base == "VARCHAR"
    latest = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).timestamp()
    units, since = get_args(TimeUnit), PLAIN_SINCE.timestamp()
    bounds = [(since * 10**9 / NANOS[unit], latest * 10**9 / NANOS[unit]) for unit in units]
    counts = ", ".join(f"count(*) FILTER (number BETWEEN {low} AND {high})" for low, high in bounds)
    iso = "count(own_iso_nanos(value, 'UTC'))" if text else "0"
    number = "TRY_CAST(CASE WHEN NOT contains(value, '_') THEN value END AS DOUBLE)"
    rows = f"SELECT value, {number if text else 'value::DOUBLE'} AS number"
    of = f"SELECT {column} AS value FROM {table} WHERE {column} IS NOT NULL"
    filled = " WHERE value <> ''" if text else ""
    query = f"SELECT count(*), {iso}, {counts} FROM ({rows} FROM ({of}){filled})"
    n, n_iso, *of_units = connection.execute(query).fetchall()[0]
    if n and n_iso >= PLAIN_FROM * n:
        return None, ISO
    found = [unit for unit, m in zip(units, of_units, strict=True) if n and m >= PLAIN_FROM * n]
    return (found[0] if found else None), None


def _native(description: Description, kind: str) -> Clock:
    """A column of dates or moments."""
    for key, value in (("unit", description.time_unit), ("format", description.time_format)):
        if value is not None:
            raise RefusedError(
                f"{description.time} needs no time_{key}",
                got=f"{kind} and {value!r}",
                to_do=f"Leave `time_{key}` out",
            )
    nanos = moment_nanos("time", kind, description.zone)
    if nanos is None:
        raise RefusedError(
            f"{description.time} can't hold times",
            got=kind,
            expected="numbers, texts, dates or timestamps",
        )
    zone = "" if kind.startswith("TIMESTAMP WITH") or kind == "TIMESTAMPTZ_NS" else description.zone
    said = f"{kind.lower()}{f', in {zone}' if zone else ''}"
    return Clock(said, nanos, "time is no moment")


def moment_nanos(value: str, kind: str, zone: str) -> str | None:
    """SQL of nanoseconds since 1970 of a date or moment; None where the type is neither."""
    if kind in NAIVE:
        return f"own_moment_nanos(TRY_CAST({value} AS TIMESTAMP), {quoted(zone)})"
    if kind == "TIMESTAMP_NS":
        # a cast to TIMESTAMP would round to the next microsecond
        moment = value if zone == UTC else f"timezone({quoted(zone)}, {value})"
        return f"CAST(epoch_ns({moment}) AS HUGEINT)"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"CAST(epoch_us({value}) AS HUGEINT) * 1000"
    if kind in ("TIMESTAMPTZ_NS", "TIMESTAMP_NS WITH TIME ZONE"):
        return f"CAST(epoch_ns({value}) AS HUGEINT)"
    return None


def _counted(unit: TimeUnit, base: str) -> Clock:
    """Numbers, or texts of numbers."""
    nanos = f"own_whole_nanos(time, {NANOS[unit]})"
    missing = "time IS NULL"
    if base in FLOATS:
        nanos = f"own_float_nanos(time::DOUBLE, {NANOS[unit]})"
        missing = "coalesce(isnan(time), true)"
    elif base in ("VARCHAR", "DECIMAL"):
        nanos = f"own_text_nanos(CAST(time AS VARCHAR), {NANOS[unit]})"
        missing = "coalesce(CAST(time AS VARCHAR) = '', true)"
    why = f"time is not a number of {unit}"
    return Clock(f"{unit} since 1970", nanos, why, missing, unit=unit)


def _written(
    connection: duckdb.DuckDBPyConnection, description: Description, form: str, base: str
) -> Clock:
    """Texts, or whole numbers such as 20240131 that are read as texts."""
    if base in FLOATS:
        what = f"{description.time} can't be read by a format"
        raise RefusedError(what, got=base, expected="texts or whole numbers")
    text = "time" if base == "VARCHAR" else "CAST(time AS VARCHAR)"
    missing = f"coalesce({text} = '', true)"
    zone = f", in {description.zone} where no zone is said"
    if form == ISO:
        nanos = f"own_iso_nanos({text}, {quoted(description.zone)})"
        return Clock(f"{ISO}{zone}", nanos, f"time is not {ISO}", missing, format=ISO)
    value = f"try_strptime({text}, {quoted(form)})"
    try:
        query = f"SELECT typeof(try_strptime('x', {quoted(form)}))"
        kind = str(connection.execute(query).fetchall()[0][0])
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise RefusedError("`time_format` is no pattern of strptime", got=said) from error
    nanos = moment_nanos(value, kind, description.zone) or "NULL::HUGEINT"
    return Clock(f"{form}{zone}", nanos, f"time is not {form}", missing, format=form)


def _refuse_unknown_zone(connection: duckdb.DuckDBPyConnection, zone: str) -> None:
    query = "SELECT name FROM pg_timezone_names() WHERE lower(name) = lower(?)"
    found = connection.execute(query, [zone]).fetchall()
    if (zone,) not in found:
        close = f"; {found[0][0]} is one" if found else ""
        expected = f"a name such as Europe/Berlin, America/New_York or UTC{close}"
        raise RefusedError("`zone` is not known", got=repr(zone), expected=expected)


def _examples(connection: duckdb.DuckDBPyConnection) -> str:
    query = "SELECT DISTINCT CAST(time AS VARCHAR) FROM own_rows WHERE time IS NOT NULL LIMIT 3"
    return ", ".join(repr(row[0][:40]) for row in connection.execute(query).fetchall()) or "nothing"
