"""What the command line shows: tables, JSON, one clear message for an error."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from warehouse.visible import json_value, printable

_ENDLESS = 100_000
_HUGE = 1e15  # beyond it, digits before the point are mostly noise
_WIDE = 160  # for a file or a pipe, which don't tell their width


def _width() -> int | None:
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDE


out = Console(width=_width())
err = Console(stderr=True)


def show_rows(rows: Sequence[Mapping[str, Any]], title: str, *, as_json: bool = False) -> None:
    """Print rows as a table without its empty columns, or as JSON for scripts."""
    if as_json:
        proper = [{name: json_value(value) for name, value in row.items()} for row in rows]
        out.file.write(json.dumps(proper, default=str) + "\n")
        return
    out.print(_table(rows, title))


def show_answer(rows: Sequence[Mapping[str, Any]]) -> None:
    """`show_rows`, but one value a line where a table would break words (ids, checksums)."""
    table = _table(rows, "")
    unbound = out.options.update(max_width=_ENDLESS)  # Rich would cut the measure to the screen
    if Measurement.get(out, unbound, table).minimum <= out.width:
        out.print(table)
        return
    width = max(len(printable(name)) for name in rows[0])
    for number, row in enumerate(rows, start=1):
        out.print(f"─── {number}", style="dim")
        for name, value in row.items():
            line = f"{printable(name.replace('_', ' ')):{width}}  {shown(value)}"
            out.print(escape(line), soft_wrap=True)


def _table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    named = rows[0] if rows else ()
    names = [name for name in named if any(row[name] is not None for row in rows)]
    table = Table(title=escape(printable(title)), box=box.SIMPLE_HEAD)
    for name in names or ("nothing",):
        table.add_column(escape(printable(name.replace("_", " "))), overflow="fold")
    for row in rows:
        table.add_row(*(escape(shown(row[name])) for name in names))
    return table


def shown(value: Any) -> str:
    """A cell's text: empty for null, four digits for a fraction.

    >>> shown(0.80561), shown(None), shown("a\\x1b[31mb")
    ('0.8056', '', 'a\\\\x1b[31mb')
    """
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < _HUGE else str(value)
    return printable(str(value))


def fail(message: str) -> None:
    """Print an error's message in one line, to stderr."""
    err.print(f"[bold red]error:[/] {escape(printable(message))}", soft_wrap=True)
    sys.stderr.flush()


def write_err(line: str) -> None:
    """A line on stderr as it is, for scripts."""
    sys.stdout.flush()
    err.file.write(f"{line}\n")
    err.file.flush()
