"""An answer as a workbook for spreadsheets: numbers and times as such, and no text is a formula."""

import math
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any

from warehouse.cells import NUMBERS, Column, Row
from warehouse.errors import RefusedError
from warehouse.visible import as_text, printable

MOST_ROWS = 1_048_576  # the format's own limits
MOST_COLUMNS = 16_384
MOST_CHARACTERS = 32_767
EXACT = 10**15  # a spreadsheet keeps fifteen digits of a number
FIRST_YEAR = 1900
_WHOLE = re.compile(r"-?\d+")
_FORMATS = {"date": "yyyy-mm-dd", "timestamp": "yyyy-mm-dd hh:mm:ss.000"}


def write_workbook(rows: Iterable[Row], of: Sequence[Column], file: IO[bytes], spill: Path) -> None:
    """Write an answer; what a cell can't hold exactly becomes its text.

    Args:
        rows: text of cells, as `cells.select_list` makes it.
        of: the columns.
        file: to write into.
        spill: folder for rows on their way, which need no memory there.

    Raises:
        RefusedError: more rows, columns or characters than the format has.
    """
    import xlsxwriter

    if len(of) > MOST_COLUMNS:
        raise _too_much(f"{len(of):,} columns", f"{MOST_COLUMNS:,} at most")
    spill.mkdir(mode=0o700, exist_ok=True)
    # text is written as text alone, whatever it looks like
    options = {"constant_memory": True, "tmpdir": str(spill)}
    with xlsxwriter.Workbook(file, options) as book:
        sheet = book.add_worksheet("answer")
        times = {kind: book.add_format({"num_format": form}) for kind, form in _FORMATS.items()}
        kept_as_text = book.add_format({"quote_prefix": True})
        for place, column in enumerate(of):
            sheet.write_string(0, place, printable(column.name))
        for number, row in enumerate(rows, start=1):
            if number >= MOST_ROWS:
                raise _too_much("more rows", f"{MOST_ROWS - 1:,} at most")
            for place, (text, column) in enumerate(zip(row, of, strict=True)):
                value = None if text is None else _value(text, column.kind)
                if isinstance(value, bool):
                    sheet.write_boolean(number, place, value)
                elif isinstance(value, int | float):
                    sheet.write_number(number, place, value)
                elif isinstance(value, date):
                    sheet.write_datetime(number, place, value, times[column.kind])
                elif isinstance(value, str):
                    style = kept_as_text if as_text(value) != value else None
                    sheet.write_string(number, place, value, style)


def _value(text: str, kind: str) -> Any:
    """A number, a truth, a time or text."""
    if kind == "boolean":
        return text == "true"
    if kind in NUMBERS:
        return _number(text)
    if kind in _FORMATS and (moment := _moment(text, kind)) is not None:
        return moment
    shown = printable(text)
    if len(shown) > MOST_CHARACTERS:
        raise _too_much(f"a cell of {len(shown):,} characters", f"{MOST_CHARACTERS:,} at most")
    return shown


def _number(text: str) -> int | float | str:
    if _WHOLE.fullmatch(text):
        return int(text) if abs(int(text)) < EXACT else text
    return float(text) if math.isfinite(float(text)) else text


def _moment(text: str, kind: str) -> date | None:
    """None where the format has no such day: its first is in 1900."""
    try:
        moment = date.fromisoformat(text) if kind == "date" else datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.year >= FIRST_YEAR else None


def _too_much(got: str, expected: str) -> RefusedError:
    return RefusedError(
        "The answer does not fit into a spreadsheet",
        got=got,
        expected=expected,
        to_do="Ask for less, or write a .parquet or .csv file",
    )
