"""A file of one's own, read by its description: what can be taken of it, and why not the rest.

Ids stay as the file writes them; times become seconds since 1970 UTC, and what is finer stands
beside them, for the order of events within a second.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from warehouse.database import quoted, statements
from warehouse.errors import RefusedError
from warehouse.own_data.description import Description, Items, Rating
from warehouse.own_data.ids import id_of
from warehouse.own_data.opening import open_source
from warehouse.own_data.times import Clock, clock_of, fitting_unit
from warehouse.own_data.unreadable import refuse_unreadable

LINE_CHARACTERS = 200
MANY = 0.01  # of the ratings beyond one end of the scale: the scale is wrong, not they


@dataclass(frozen=True)
class Read:
    """What was read, ready to be asked.

    Attributes:
        kind: of the file, in words.
        notes: what a person should know of how it was read.
        clock: how times were read; None for items.
    """

    kind: str
    notes: Sequence[str]
    clock: Clock | None = None


def read_events(
    connection: duckdb.DuckDBPyConnection,
    description: Description,
    path: Path,
    limit: int | None = None,
) -> Read:
    """Make the temporary view `own_events` of a file of events.

    Its columns: `source_row` BIGINT, a row's place in the file from 1 on; `user_key`, `item_key`
    VARCHAR; `timestamp` BIGINT, whole seconds since 1970 UTC; `nanosecond` INTEGER within that
    second, so that events of a user are in order by timestamp, nanosecond, source_row; `rating`
    FLOAT, null where people give none; `reason` VARCHAR, why the row can't be taken, null where it
    can; `line` VARCHAR, the beginning of what the row says.

    Args:
        connection: on a file of its own: rows are kept in it, beyond memory.
        description: what is said of the file.
        path: of the file, or of a folder of Parquet files.
        limit: only so many rows, the first.

    Raises:
        RefusedError: the file can't be read as described.
    """
    wanted = description.columns()
    source = open_source(connection, path, description.form, list(wanted.values()))
    connection.execute(statements("own_data/macros"))
    source.load("own_rows", wanted, limit)
    refuse_unreadable(connection, "own_rows", path)
    types = _types(connection, "own_rows")
    clock = clock_of(connection, description, types["time"])
    user = id_of(connection, "own_rows", "user", types["user"], description.user)
    item = id_of(connection, "own_rows", "item", types["item"], description.item)
    rating = _Number(description.rating, types.get("rating", ""))
    rating.ask_for_scale(connection, "own_rows")
    latest = int((datetime.now(UTC) + timedelta(days=1)).timestamp())
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW own_events AS
        WITH read AS (
            SELECT
                source_row,
                {user.key} AS user_key, {user.why} AS why_no_user,
                {item.key} AS item_key, {item.why} AS why_no_item,
                {clock.is_missing} AS no_time, {clock.nanos} AS nanos,
                {rating.value} AS number, {rating.is_missing} AS no_rating,
                {rating.has_comma} AS comma_in_rating,
                {_line(wanted)} AS line
            FROM {_placed(connection, "own_rows")}
        )
        SELECT
            source_row, user_key, item_key,
            TRY_CAST(nanos // 1000000000 AS BIGINT) AS timestamp,
            CAST(nanos % 1000000000 AS INTEGER) AS nanosecond,
            {rating.on_scale} AS rating,
            CASE
                WHEN why_no_user IS NOT NULL THEN why_no_user
                WHEN why_no_item IS NOT NULL THEN why_no_item
                WHEN no_time THEN 'time is missing'
                WHEN nanos IS NULL THEN {quoted(clock.why)}
                WHEN nanos < 0 OR nanos // 1000000000 > {latest}
                    THEN own_why_no_time(nanos, {latest}, {fitting_unit(clock.unit, latest)})
                {rating.reasons}
            END AS reason,
            line
        FROM read
        UNION ALL BY NAME
        SELECT source_row, line, reason FROM own_rows_broken
        """
    )
    notes = [*source.notes, *clock.notes, *user.notes, *item.notes]
    return Read(source.kind, notes, clock)


def read_items(
    connection: duckdb.DuckDBPyConnection, items: Items, limit: int | None = None
) -> Read:
    """Make the temporary table `own_items` of a file of items.

    Its columns: `source_row`, `item_key`, `title` (null where there is none), `categories`, joined
    by `|` (empty where there are none), `reason`, `line`. Of rows with one id the first counts.

    Raises:
        RefusedError: the file can't be read as described.
    """
    wanted = {"item": items.item}
    wanted |= {"title": items.title} if items.title else {}
    wanted |= {"categories": items.categories} if items.categories else {}
    source = open_source(connection, items.file, items.form, list(wanted.values()))
    connection.execute(statements("own_data/macros"))
    source.load("own_item_rows", wanted, limit)
    refuse_unreadable(connection, "own_item_rows", items.file, may_be_empty=True)
    types = _types(connection, "own_item_rows")
    item = id_of(connection, "own_item_rows", "item", types["item"], items.item)
    title = "nullif(trim(CAST(title AS VARCHAR)), '')" if items.title else "NULL::VARCHAR"
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE own_items AS
        WITH read AS (
            SELECT
                source_row, {item.key} AS item_key,
                {item.why} AS why_no_item, {title} AS title,
                {_categories(items, types)} AS categories, {_line(wanted)} AS line
            FROM {_placed(connection, "own_item_rows")}
        )
        SELECT
            source_row, item_key, title, categories,
            CASE
                WHEN why_no_item IS NOT NULL THEN why_no_item
                WHEN row_number() OVER (PARTITION BY item_key ORDER BY source_row) > 1
                    THEN 'an earlier row has this item'
            END AS reason,
            line
        FROM read
        UNION ALL BY NAME
        SELECT source_row, line, reason FROM own_item_rows_broken
        ORDER BY source_row
        """
    )
    return Read(source.kind, [*source.notes, *item.notes])


class _Number:
    """How ratings are read; where there are none, nothing is missing."""

    def __init__(self, rating: Rating | None, kind: str) -> None:
        self._rating = rating
        self.value, self.is_missing = "NULL::DOUBLE", "false"
        self.has_comma, self.on_scale, self.reasons = "false", "NULL::FLOAT", ""
        if rating is None:
            return
        refuse_no_number(rating.column, kind)
        # DuckDB reads 1_000 as a number, and a float's NaN is what pandas writes for nothing
        self.value = "TRY_CAST(rating AS DOUBLE)"
        self.is_missing = "rating IS NULL"
        if kind == "VARCHAR":
            self.value, self.has_comma = decimal_number("rating", rating.decimal)
            self.is_missing = "coalesce(trim(rating) = '', true)"
        step = "NULL::DOUBLE" if rating.step is None else f"{rating.step!r}::DOUBLE"
        scale = f"number, {rating.low!r}::DOUBLE, {rating.high!r}::DOUBLE, {step}"
        self.on_scale = f"TRY_CAST(own_on_scale({scale}) AS FLOAT)"
        self.reasons = f"""
                WHEN no_rating THEN 'rating is missing'
                WHEN number IS NULL AND comma_in_rating THEN 'rating has a decimal comma'
                WHEN number IS NULL THEN 'rating is not a number'
                ELSE own_why_no_rating({scale})"""

    def ask_for_scale(self, connection: duckdb.DuckDBPyConnection, table: str) -> None:
        """Where many ratings lie beyond an end of the scale, each asks whether it is right."""
        if self._rating is None:
            return
        low, high = f"{self._rating.low!r}::DOUBLE", f"{self._rating.high!r}::DOUBLE"
        query = (
            (
                "SELECT count(*), "
                "count(*) FILTER (number < $low), count(*) FILTER (number > $high) "
                f"FROM (SELECT {self.value} AS number FROM {table}) WHERE isfinite(number)"
            )
            .replace("$low", low)
            .replace("$high", high)
        )
        n, below, above = connection.execute(query).fetchall()[0]
        ends = [f"WHEN isfinite(number) AND number {sign} {end} THEN ': is `{key}` right?'"
                for key, sign, end, m in (("low", "<", low, below), ("high", ">", high, above))
                if m > MANY * n]  # fmt: skip
        if ends:
            self.reasons += f" || CASE {' '.join(ends)} ELSE '' END"


def decimal_number(text: str, decimal: str) -> tuple[str, str]:
    """SQL of a text's number, and of whether it would be one if a comma were its point."""
    comma = rf"regexp_full_match({text}, '\s*[-+]?[0-9]*,[0-9]+([eE][-+]?[0-9]+)?\s*')"
    if decimal == ",":
        value = f"CASE WHEN NOT regexp_matches({text}, '[_.]') THEN replace({text}, ',', '.') END"
    else:
        value = f"CASE WHEN NOT contains({text}, '_') THEN {text} END"
    return f"TRY_CAST({value} AS DOUBLE)", comma


def refuse_no_number(column: str, kind: str) -> None:
    """Raise where a column's type can't hold ratings."""
    base = kind.partition("(")[0]
    known = ("VARCHAR", "BOOLEAN", "FLOAT", "DOUBLE", "DECIMAL")
    if not (base in known or base.endswith("INT") or base.endswith("INTEGER")):
        raise RefusedError(f"{column} can't hold ratings", got=kind, expected="numbers")


def _types(connection: duckdb.DuckDBPyConnection, table: str) -> Mapping[str, str]:
    return {row[0]: row[1] for row in connection.execute(f"DESCRIBE {table}").fetchall()}


def _placed(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    """SQL of the rows with `source_row`, their place in the file.

    Places of broken lines are taken: of the good rows the k-th has the k-th place that is left.
    """
    query = f"SELECT source_row FROM {table}_broken ORDER BY source_row"
    broken = [row[0] for row in connection.execute(query).fetchall()]
    if not broken:
        return f"(SELECT *, rowid + 1 AS source_row FROM {table})"
    moved = {place - number: number + 1 for number, place in enumerate(broken)}
    frame = pa.table({"good": list(moved), "moved": list(moved.values())})
    connection.register("own_frame", frame)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {table}_moved AS FROM own_frame")
    connection.unregister("own_frame")
    return (
        f"(SELECT r.* EXCLUDE good, r.good + coalesce(moved, 0) AS source_row "
        f"FROM (SELECT *, rowid + 1 AS good FROM {table}) AS r "
        f"ASOF LEFT JOIN {table}_moved AS m ON r.good >= m.good)"
    )


def _line(wanted: Mapping[str, str]) -> str:
    """What a row says in the described columns, as JSON, cut where it is long."""
    fields = ", ".join(
        f"{quoted(json.dumps(name, ensure_ascii=False) + ':')} || "
        f"coalesce(CAST(to_json(CAST({as_name} AS VARCHAR)) AS VARCHAR), 'null')"
        for as_name, name in wanted.items()
    )
    return f"left('{{' || concat_ws(',', {fields}) || '}}', {LINE_CHARACTERS})"


def _categories(items: Items, types: Mapping[str, str]) -> str:
    """Joined by `|`, each once; one that has a `|` in it would be two, and is none."""
    if items.categories is None:
        return "''"
    kind = types["categories"]
    listed = "CAST(categories AS VARCHAR[])"
    if not kind.endswith("[]"):
        listed = f"string_split(CAST(categories AS VARCHAR), {quoted(items.category_separator)})"
    clean = f"list_transform({listed}, lambda one: trim(one))"
    kept = f"list_filter({clean}, lambda one: one <> '')"
    return f"coalesce(array_to_string({kept}, '|'), '')"
