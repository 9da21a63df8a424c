"""Values on their way to a terminal, a spreadsheet or a script: none steers it or breaks it."""

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_FORMULA = re.compile(r"[\s']*[=+\-@＝＋－＠]")
_QUOTED = re.compile('[",\n]|^$|^ | $')


def printable(text: str) -> str:
    """Text that can't move the cursor or colour the terminal: control characters made visible.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return "".join(
        char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text
    )


def json_value(value: Any) -> Any:
    """A value for `json.dumps`: JSON has no NaN and no infinity; a DECIMAL is a number as well.

    >>> json_value(float("nan")), json_value(Decimal("0.5")), json_value("nan")
    (None, 0.5, 'nan')
    """
    number = float(value) if isinstance(value, Decimal) else value
    return None if isinstance(number, float) and not math.isfinite(number) else number


def as_text(text: str) -> str:
    """A cell of text that no spreadsheet takes for a formula: `'` stands before what may be one.

    To take it back, strip one `'` from cells that begin with `'` and would be given one without it.

    >>> as_text("=cmd()"), as_text("'=cmd()"), as_text("'Round Midnight (1986)")
    ("'=cmd()", "''=cmd()", "'Round Midnight (1986)")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def csv_line(cells: Iterable[str | None], numeric: Iterable[bool]) -> str:
    """A line of CSV: nothing for null, `""` for empty text, numbers as they are.

    Args:
        cells: as DuckDB shows them.
        numeric: whether a cell's column has numbers; infinities and NaN are no numbers to a
            spreadsheet.
    """
    line = ",".join(map(_cell, cells, numeric))
    return (line or '""') + "\n"  # an empty line would be no row


def _cell(text: str | None, numeric: bool) -> str:
    if text is None:
        return ""
    if numeric and _NUMBER.fullmatch(text):
        return text
    shown = printable(as_text(text))
    return '"' + shown.replace('"', '""') + '"' if _QUOTED.search(shown) else shown


def counted(number: int, what: str) -> str:
    """A number of things, in the singular where it is one.

    >>> counted(1, "training"), counted(2, "training"), counted(0, "load")
    ('1 training', '2 trainings', '0 loads')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
