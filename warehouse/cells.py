"""How an answer is written: each value as DuckDB shows it, or as JSON, whatever its type."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Literal, TextIO

from warehouse.visible import csv_line

Format = Literal["table", "json", "csv", "xlsx", "parquet"]
Row = tuple[str | None, ...]

FRACTIONS = {"float", "double"}
NUMBERS = FRACTIONS | {"decimal", "bignum", "hugeint", "uhugeint"}
NUMBERS |= {f"{sign}{size}" for sign in ("", "u") for size in ("tinyint", "smallint")}
NUMBERS |= {f"{sign}{size}" for sign in ("", "u") for size in ("integer", "bigint")}

SHOWN_ROWS = 1_000
SHOWN_CHARACTERS = 1_000_000  # of all rows together
SHOWN_IN_A_CELL = 10_000

# Text in quotes is stepped over; outside of it, these are DuckDB's words that JSON does not have.
_NO_NUMBER = re.compile(r'("(?:[^"\\]|\\.)*")|-?\b(?:nan|inf(?:inity)?)\b', re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A column of an answer.

    Attributes:
        name: as the answer has it; a second of the same name gets a number.
        kind: DuckDB's name of the type, without its parts.
        whole_type: with its parts.
    """

    name: str
    kind: str
    whole_type: str


def columns(names: Sequence[str], types: Sequence[Any]) -> list[Column]:
    """The columns of a relation, no two of the same name."""
    return [
        Column(name, one.id, str(one)) for name, one in zip(distinct(names), types, strict=True)
    ]


def distinct(names: Sequence[str]) -> list[str]:
    """Names with a number behind those that were there before.

    >>> distinct(["a", "a", "a_1", "a"])
    ['a', 'a_1', 'a_1_1', 'a_2']
    """
    taken: dict[str, None] = {}
    for name in names:
        tries = chain([name], (f"{name}_{number}" for number in range(1, len(names) + 1)))
        taken[next(one for one in tries if one not in taken)] = None
    return list(taken)


def select_list(of: Sequence[Column], form: Format) -> str:
    """SQL that makes text of every column: DuckDB's own, or JSON."""
    places = range(1, len(of) + 1)
    if form == "json":
        return ", ".join(map(_in_json, places, of))
    return ", ".join(f"CAST(#{place} AS VARCHAR)" for place in places)


def _in_json(place: int, column: Column) -> str:
    """A FLOAT would be written with the digits of the DOUBLE next to it."""
    text = f"CAST(#{place} AS VARCHAR)"
    return text if column.kind == "float" else f"CAST(to_json(#{place}) AS VARCHAR)"


def write(rows: Iterable[Row], of: Sequence[Column], form: Format, file: TextIO) -> None:
    """Write an answer.

    Args:
        rows: text of cells, as `select_list` makes it.
        of: the columns.
        form: `table` is JSON too, of what a screen can take: names, whether each column is of text,
            whole numbers or fractions, cells of the first rows, and whether there are more.
        file: to write into.
    """
    writers: dict[Format, Callable[..., None]] = {"table": _table, "json": _json, "csv": _csv}
    writers[form](rows, of, file)


def _csv(rows: Iterable[Row], of: Sequence[Column], file: TextIO) -> None:
    numeric = [column.kind in NUMBERS for column in of]
    file.write(csv_line([column.name for column in of], [False] * len(of)))
    file.writelines(csv_line(row, numeric) for row in rows)


def _json(rows: Iterable[Row], of: Sequence[Column], file: TextIO) -> None:
    names = [json.dumps(column.name, ensure_ascii=False) for column in of]
    written = [_writer(column) for column in of]
    file.write("[")
    for number, row in enumerate(rows):
        cells = (
            f"{name}: {value(cell)}" for name, value, cell in zip(names, written, row, strict=True)
        )
        file.write((", {" if number else "{") + ", ".join(cells) + "}")
    file.write("]\n")


def _writer(column: Column) -> Callable[[str | None], str]:
    """What makes JSON of DuckDB's JSON in a column."""
    if column.kind == "varchar" and column.whole_type == "VARCHAR":
        return _as_it_is
    checked = "JSON" in column.whole_type or column.kind == "variant"
    return partial(_strict, checked=checked)


def _as_it_is(text: str | None) -> str:
    return "null" if text is None else text


def _strict(text: str | None, *, checked: bool) -> str:
    """JSON proper: null for what is no number.

    DuckDB takes more for JSON than it is, `[1,]` and `NaN`; what can't be mended becomes text.
    """
    if text is None:
        return "null"
    strict = _NO_NUMBER.sub(lambda found: found[1] or "null", text)
    return strict if not checked or _is_json(strict) else json.dumps(text, ensure_ascii=False)


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True


def _table(rows: Iterable[Row], of: Sequence[Column], file: TextIO) -> None:
    shown: list[list[str | None]] = []
    left = SHOWN_CHARACTERS
    more = False
    for row in rows:
        cells = [_cut(cell) for cell in row]
        left -= sum(len(cell or "") for cell in cells)
        more = len(shown) == SHOWN_ROWS or (left < 0 and bool(shown))
        if more:
            break
        shown.append(cells)
    table = {
        "names": [column.name for column in of],
        "kinds": [_on_screen(column) for column in of],
        "rows": shown,
        "more": more,
    }
    json.dump(table, file)


def _on_screen(column: Column) -> str:
    if column.kind in FRACTIONS:
        return "fraction"
    return "text" if column.kind == "decimal" or column.kind not in NUMBERS else "whole"


def _cut(cell: str | None) -> str | None:
    if cell is None or len(cell) <= SHOWN_IN_A_CELL:
        return cell
    return f"{cell[:SHOWN_IN_A_CELL]}… ({len(cell):,} characters)"
