"""What the command line shows: tables, JSON, one clear message for an error."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from flows import first_word
from flows.written_numbers import written
from warehouse.visible import json_value, printable

READER_GONE = 141  # as of a program that SIGPIPE ended
_ENDLESS = 100_000
_WORD = 20  # letters of a word that is broken last
_WIDE = 160  # for a file or a pipe, which don't tell their width


def _width() -> int | None:
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDE


def reader_gone(of: Console) -> NoReturn:
    """The end of a command whose reader has left, as `head` does."""
    of.quiet = True
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())  # Python flushes once more at its end
    raise SystemExit(READER_GONE)


# of Typer's help, too; Rich itself ends with 1
Console.on_broken_pipe = reader_gone  # type: ignore[method-assign, assignment]


class Speaking(Console):
    """A console before whose words the first word leaves the screen."""

    def print(self, *objects: Any, **options: Any) -> None:
        """See Rich."""
        first_word.over()
        super().print(*objects, **options)


out = Speaking(width=_width())
err = Speaking(stderr=True)


def show_rows(rows: Sequence[Mapping[str, Any]], title: str, *, as_json: bool = False) -> None:
    """Print rows as a table without its empty columns, or as JSON for scripts.

    Where not all columns have room, there is one value a line.
    """
    if as_json:
        proper = [{name: json_value(value) for name, value in row.items()} for row in rows]
        first_word.over()
        out.file.write(json.dumps(proper, default=str) + "\n")
        return
    if not rows:
        out.print(escape(printable(f"{title}: nothing")), soft_wrap=True, highlight=False)
        return
    table = _table(rows, title)
    if _least_width(table) <= out.width:
        out.print(table)
    else:  # Rich would leave columns out
        _print_values(written(rows), _with_values(rows), title)


def _least_width(table: Table) -> int:
    """Of columns, with a blank on each side, and of what stands between and around them."""
    return sum((column.min_width or 0) + 3 for column in table.columns) + 1


def show_event(event: Mapping[str, Any] | str) -> None:
    """Print one line at once, as it happens: text, or an object as JSON."""
    if isinstance(event, str):
        out.print(escape(printable(event)), soft_wrap=True, highlight=False)
    else:
        proper = {name: json_value(value) for name, value in event.items() if value is not None}
        first_word.over()
        out.file.write(json.dumps(proper, default=str) + "\n")
    out.file.flush()


def show_answer(rows: Sequence[Mapping[str, Any]], title: str = "") -> list[str]:
    """`show_rows`, but one value a line where a table would break words (ids, checksums).

    Returns:
        The columns that are not shown, as they have no value.
    """
    rows = written(rows)
    table = _table(rows, title)
    unbound = out.options.update(max_width=_ENDLESS)  # Rich would cut the measure to the screen
    if Measurement.get(out, unbound, table).minimum <= out.width:
        out.print(table)
        shown_names = _with_values(rows)
        return [name for name in rows[0] if name not in shown_names]
    _print_values(rows, list(rows[0]), title)
    return []


def _print_values(rows: Sequence[Mapping[str, Any]], names: Sequence[str], title: str) -> None:
    if title:
        out.print(escape(printable(title)), style="italic", soft_wrap=True)
    width = max(len(printable(name)) for name in names)
    for number, row in enumerate(rows, start=1):
        out.print(f"─── {number}", style="dim")
        for name in names:
            line = f"{printable(name.replace('_', ' ')):{width}}  {shown(row[name])}"
            out.print(escape(line), soft_wrap=True)


def _with_values(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns to show: those with a value, or all where none has one."""
    named = list(rows[0]) if rows else []
    return [name for name in named if any(row[name] is not None for row in rows)] or named


def show_nothing(names: Sequence[str]) -> None:
    """The columns of an answer without a row."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in names:
        table.add_column(escape(printable(name.replace("_", " "))), overflow="fold")
    out.print(table)


def _table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    rows = written(rows)
    names = _with_values(rows)
    table = Table(title=escape(printable(title)), box=box.SIMPLE_HEAD)
    for name in names:
        said = [printable(name.replace("_", " ")), *(shown(row.get(name)) for row in rows)]
        longest = max(len(word) for text in said for word in (*text.split(), ""))
        # Rich takes the same share from each column, and would break words to spare blanks
        width = min(longest, _WORD)
        table.add_column(escape(said[0]), overflow="fold", min_width=width)
    for row in rows:
        table.add_row(*(escape(shown(row[name])) for name in names))
    return table


def shown(value: Any) -> str:
    """A cell's text: empty for null; numbers are text already (`flows/written_numbers.py`).

    >>> shown(None), shown("a\\x1b[31mb")
    ('', 'a\\\\x1b[31mb')
    """
    return "" if value is None else printable(str(value))


def fail(message: str) -> None:
    """Print an error's message in one line, to stderr."""
    err.print(f"[bold red]error:[/] {escape(printable(message))}", soft_wrap=True)
    sys.stderr.flush()


def write_err(line: str) -> None:
    """A line on stderr as it is, for scripts."""
    sys.stdout.flush()
    first_word.over()
    err.file.write(f"{line}\n")
    err.file.flush()
