"""Looking at a file of one's own: what is in it, and the description that would fit it."""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from warehouse.database import connected, statements
from warehouse.datasets import NAMES
from warehouse.errors import RefusedError
from warehouse.own_data import guessing
from warehouse.own_data.description import (
    ISO,
    Description,
    Form,
    checked_name,
    parse_description,
)
from warehouse.own_data.guessing import Seen, TimeWay
from warehouse.own_data.ids import FLOATS, WHOLE
from warehouse.own_data.opening import Source, open_source
from warehouse.own_data.reading import read_events, read_items
from warehouse.own_data.times import NAIVE
from warehouse.own_data.unreadable import NO_UTF8, SAVE_AS_UTF8, Lines, lines_of
from warehouse.own_data.wording import Choice, Proposed, ProposedItems, toml

MOST_MET = 0.5  # of the events' items must be in a column of the items for it to be their ids
SAMPLE_ROWS = 2_000_000
SOME_ROWS = 20_000  # by which each column is tried as times, in each way that these are written


@dataclass(frozen=True)
class Looked:
    """What was seen of a file.

    Attributes:
        facts: one after the other, by their names.
        columns: a row each.
        refused: reasons why rows could not be taken, with how many they are.
        unclear: what the person must say.
        notes: what the person should know.
        toml: the description, what is unclear as comments.
        path: where it belongs.
    """

    facts: dict[str, Any]
    columns: Sequence[dict[str, Any]]
    refused: Sequence[dict[str, Any]]
    unclear: Sequence[str]
    notes: Sequence[str]
    toml: str
    path: Path


def describe(
    path: Path,
    table: str | None = None,
    items: Path | None = None,
    name: str | None = None,
    sample: int = SAMPLE_ROWS,
) -> Looked:
    """Look at a file and propose its description.

    Args:
        path: a file of events, or a folder of Parquet files.
        table: of a DuckDB or SQLite file with several.
        items: a file of items.
        name: of the data set; None: as the file is called.
        sample: so many rows are looked at, the first.

    Raises:
        RefusedError: the file can't be read, or no data set can be called so.
    """
    name = checked_name(name) if name else _name(path)
    with _scratch() as connection:
        source = open_source(connection, path, Form(table=table))
        seen, n_rows = _look(connection, source, "own_seen", sample)
        proposed = _proposed(connection, seen, table)
        if items:
            item = next((one for one in seen if one.name == proposed.item.column), None)
            of_items = _items(connection, items, item, sample)
            proposed = replace(proposed, items=of_items)
        text = toml(path, source.kind, proposed)
        facts: dict[str, Any] = {"file": path.name, "kind": source.kind, "rows": n_rows}
        lines = lines_of(connection, "own_seen")
        refused = [{"rows": n, "refused_as": reason} for reason, n in lines.broken]
        facts |= {"lines_not_read": lines.n_broken} if refused else {}
        notes = [*_of_lines(lines), *source.notes, *proposed.notes()]
        if n_rows == sample:
            notes.insert(0, f"only the first {sample:,} rows were looked at")
        if proposed.repeats is not None:
            facts["rows_that_repeat"] = f"{100 * proposed.repeats:.3g} %"
        if proposed.is_whole and not (lines.are_unreadable or lines.are_none):
            description = parse_description(name, text, _toml_path(path, name))
            more, refused, found = _measured(connection, description, path, sample)
            facts |= {name: value for name, value in more.items() if value is not None}
            notes += found
        return Looked(
            facts=facts,
            columns=[_as_row(column, proposed) for column in seen],
            refused=refused,
            unclear=proposed.unclear() if n_rows else [],  # without values nothing can be seen
            notes=list(dict.fromkeys(notes)),
            toml=text,
            path=_toml_path(path, name),
        )


def place_of(path: Path, name: str | None) -> Path:
    """Where the description of a file belongs: beside it.

    Raises:
        RefusedError: no data set can be called so.
    """
    return _toml_path(path, checked_name(name) if name else _name(path))


def refuse_there(path: Path) -> None:
    """Raise where a description is there already.

    Raises:
        RefusedError: so it is.
    """
    if path.exists():
        to_do = "Remove it first, or give another --name"
        raise RefusedError(f"{path} is there already", to_do=to_do)


def write(looked: Looked) -> Path:
    """Write a proposed description where it belongs; half a one never stays.

    Raises:
        RefusedError: there is one already.
    """
    refuse_there(looked.path)
    try:
        with looked.path.open("x", encoding="utf-8") as file:
            file.write(looked.toml)
    except FileExistsError:
        refuse_there(looked.path)  # it came in between
        raise
    except OSError:
        looked.path.unlink(missing_ok=True)
        raise
    return looked.path


@contextmanager
def _scratch() -> Iterator[duckdb.DuckDBPyConnection]:
    with (
        tempfile.TemporaryDirectory(prefix="fpt-describe-") as folder,
        connected(Path(folder) / "seen.duckdb") as connection,
    ):
        connection.execute(statements("own_data/macros"))
        yield connection


def _name(path: Path) -> str:
    """A name for the data set by that of the file.

    >>> _name(Path("/data/My events 2024.csv.gz")), _name(Path("ml-1m.csv")), _name(Path("…"))
    ('My-events-2024', 'my-ml-1m', 'mine')
    """
    stem = path.name.split(".")[0]
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:60] or "mine"
    return f"my-{name}" if name.lower() in NAMES else name


def _toml_path(path: Path, name: str) -> Path:
    return path.absolute().parent / f"{name}.toml"


def _of_lines(lines: Lines) -> list[str]:
    """What a person should know of lines that are no rows."""
    if lines.are_none:
        return ["it has no rows"]
    if any(reason == NO_UTF8 for reason, _ in lines.broken):
        return [f"{NO_UTF8}: {SAVE_AS_UTF8[0].lower()}{SAVE_AS_UTF8[1:]}"]
    return []


def _look(
    connection: duckdb.DuckDBPyConnection, source: Source, into: str, sample: int
) -> tuple[list[Seen], int]:
    """Load the first rows of a file, and look at each column; how many rows there are."""
    names = [column.name for column in source.columns]
    once = [column for column in source.columns if names.count(column.name) == 1]
    wanted = {f"c{number}": column.name for number, column in enumerate(once)}
    source.load(into, wanted, sample)
    types = dict(row[:2] for row in connection.execute(f"DESCRIBE {into}").fetchall())
    seen = [_column(connection, into, place, wanted[place], types[place]) for place in wanted]
    return seen, int(connection.execute(f"SELECT count(*) FROM {into}").fetchall()[0][0])


def _column(
    connection: duckdb.DuckDBPyConnection, table: str, place: str, name: str, kind: str
) -> Seen:
    text = kind == "VARCHAR"
    empty = f"{place} IS NULL" + (f" OR {place} = ''" if text else "")
    point = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$"
    number = "^-?[0-9]+$", point, "^-?[0-9]+(,[0-9]+)?$"
    fits = [
        f"count(*) FILTER (regexp_matches({place}, '{one}'))" if text else "0" for one in number
    ]
    query = (
        f"SELECT count(*) FILTER ({empty}), count(DISTINCT hash({place})) FILTER (NOT ({empty})), "
        f"count(*) FILTER (NOT ({empty})), {', '.join(fits)} FROM {table}"
    )
    missing, different, filled, whole, numbers, commas = connection.execute(query).fetchall()[0]
    base = kind.partition("(")[0]
    if not filled:
        holds = "nothing"
    elif base in WHOLE or (text and whole == filled):
        holds = "whole numbers"
    elif base in FLOATS | {"DECIMAL"} or (text and numbers == filled):
        holds = "numbers"
    elif text and commas == filled:
        holds = guessing.COMMAS
    else:
        holds = "text" if text else kind.lower()
    return Seen(place, name, kind, holds, missing, different)


def _proposed(
    connection: duckdb.DuckDBPyConnection, seen: Sequence[Seen], table: str | None
) -> Proposed:
    """What each column is, where it is plain."""
    connection.execute(statements("own_data/some_rows"), [SOME_ROWS])
    ways = {one.name: guessing.time_way(connection, "own_some", one) for one in seen}
    time = _time(seen, ways)
    ids = [one for one in seen if one.may_be_id and one.name != time.column]
    users, items = guessing.named("user", ids), guessing.named("item", ids)
    numbers = [one for one in seen if one.may_be_rating and one.name != time.column]
    rating = Choice.among_named(guessing.named("rating", numbers))
    taken = {*_names(users), *_names(items), *rating.among, *time.among}
    others = [name for name in _names(ids) if name not in taken]
    by_name = {one.name: one for one in seen}
    return Proposed(
        user=Choice.among_named(users, others),
        item=Choice.among_named(items, others),
        time=time,
        way=ways[time.column] if time.column else TimeWay(),
        time_example=guessing.example(connection, "own_seen", by_name[time.column])
        if time.column and not ways[time.column].is_time
        else "",
        zone_matters=time.column is not None
        and _lacks_zone(connection, by_name[time.column], ways),
        rating=rating,
        scale=guessing.rating_scale(connection, "own_seen", by_name[rating.column])
        if rating.column
        else None,
        decimal="," if rating.column and by_name[rating.column].holds == guessing.COMMAS else ".",
        repeats=_repeats(connection, users[0], items[0]) if len(users) == len(items) == 1 else None,
        table=table,
    )


def _time(seen: Sequence[Seen], ways: Mapping[str, TimeWay]) -> Choice:
    """By its name; else by its values, though days since 1970 look like any small numbers.

    A column of texts that is called so may be written in a way that only a person knows.
    """
    times = [one for one in seen if ways[one.name].is_time]
    if by_name := guessing.named("time", times):
        return Choice.among_named(by_name)
    values = [one.name for one in times if ways[one.name].unit != "days"]
    if len(values) == 1:
        return Choice(values[0], values, "its values")
    called = guessing.named("time", [one for one in seen if one.n_different])
    if not values and len(called) == 1 and called[0].type == "VARCHAR":
        return Choice.among_named(called)
    return Choice(None, values or _names(called or guessing.named("time", seen)) or _names(seen))


def _names(columns: Sequence[Seen]) -> list[str]:
    return [one.name for one in columns]


def _lacks_zone(
    connection: duckdb.DuckDBPyConnection, column: Seen, ways: Mapping[str, TimeWay]
) -> bool:
    """Whether some of the times say no zone."""
    way = ways[column.name]
    if way.native:
        return column.type in NAIVE or column.type == "TIMESTAMP_NS"
    if ISO in way.formats:
        zone = f"own_iso_parts({column.place}).zone"
        query = f"SELECT count(*) FROM own_seen WHERE {column.place} <> '' AND {zone} = ''"
        return bool(connection.execute(query).fetchall()[0][0])
    return any("%z" not in form for form in way.formats)


def _repeats(connection: duckdb.DuckDBPyConnection, user: Seen, item: Seen) -> float:
    """Share of rows whose user has met the item in another row as well, but for one of these."""
    pairs = f"SELECT DISTINCT {user.place}, {item.place} FROM own_seen"
    query = f"SELECT 1 - (SELECT count(*) FROM ({pairs})) / count(*) FROM own_seen"
    return float(connection.execute(query).fetchall()[0][0] or 0)


def _items(
    connection: duckdb.DuckDBPyConnection, path: Path, of_events: Seen | None, sample: int
) -> ProposedItems:
    """Which of its columns is what; `of_events` are the events' items."""
    source = open_source(connection, path, Form())
    seen, _ = _look(connection, source, "own_seen_items", sample)
    title, categories = (
        Choice.among_named(guessing.named(kind, seen)) for kind in ("title", "categories")
    )
    by_name = {one.name: one for one in seen}
    taken = {title.column, categories.column}
    ids = [one for one in seen if one.may_be_id and one.name not in taken]
    return ProposedItems(
        path=path,
        item=_item_of_items(connection, ids, of_events),
        title=title,
        categories=categories,
        separator=guessing.category_separator(
            connection, "own_seen_items", by_name[categories.column]
        )
        if categories.column
        else None,
    )


def _item_of_items(
    connection: duckdb.DuckDBPyConnection, ids: Sequence[Seen], of_events: Seen | None
) -> Choice:
    """The id is called as in the events, or as items are; else it is the column whose values are
    those of the events, or the one called id."""
    same = [one for one in ids if of_events and one.name == of_events.name]
    named = same or guessing.named("item", ids)
    if len(named) == 1:
        return Choice.among_named(named)
    among = named or ids
    meets = [_meeting(connection, one, of_events) for one in among] if of_events else []
    most = max(meets, default=0)
    if most >= MOST_MET and meets.count(most) == 1:
        return Choice(among[meets.index(most)].name, _names(among), "its values")
    called = [one for one in among if one.name.lower() == "id"]
    return Choice.among_named(called if len(called) == 1 else named, _names(ids))


def _meeting(connection: duckdb.DuckDBPyConnection, one: Seen, of_events: Seen) -> float:
    """Share of the events' items that a column of the items has."""
    theirs = f"SELECT CAST({one.place} AS VARCHAR) FROM own_seen_items"
    query = f"""
        SELECT count(*) FILTER (item IN ({theirs})) / count(*)
        FROM (SELECT DISTINCT CAST({of_events.place} AS VARCHAR) AS item FROM own_seen)
        WHERE item <> ''"""
    return float(connection.execute(query).fetchall()[0][0] or 0)


def _measured(
    connection: duckdb.DuckDBPyConnection, description: Description, path: Path, sample: int
) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """Facts of the file read as proposed, why which rows would be refused, and what to know."""
    read = read_events(connection, description, path, sample)
    facts = _row(connection, "own_data/facts")
    refused = connection.execute(statements("own_data/refused")).fetchall()
    notes = list(read.notes)
    if description.items:
        notes += read_items(connection, description.items).notes
        facts |= _row(connection, "own_data/known_items")
    return facts, [{"rows": n, "refused_as": reason} for reason, n in refused], notes


def _row(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, Any]:
    answer = connection.execute(statements(name))
    names = [column[0] for column in answer.description or ()]
    return dict(zip(names, answer.fetchall()[0], strict=True))


def _as_row(column: Seen, proposed: Proposed) -> dict[str, Any]:
    return {
        "column": column.name,
        "type": column.type,
        "holds": column.holds,
        "missing": column.n_missing,
        "different": column.n_different,
        "taken_as": proposed.kind_of(column.name),
    }
