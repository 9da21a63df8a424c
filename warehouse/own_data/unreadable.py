"""Files of which nothing, or only the least part, can be read as rows: said before all else."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from warehouse.errors import RefusedError
from warehouse.visible import counted, printable

NO_UTF8 = "no text in UTF-8"
SAVE_AS_UTF8 = "Save it as UTF-8, such as by `iconv -f latin1 -t utf8`"
SHOWN = 60


@dataclass(frozen=True)
class Lines:
    """How many lines of a loaded file are rows, and why the others are none.

    Attributes:
        n_rows: that were read.
        broken: reason and number of the others, the commonest first.
    """

    n_rows: int
    broken: Sequence[tuple[str, int]]

    @property
    def n_broken(self) -> int:
        """Lines that can't be read as rows."""
        return sum(n for _, n in self.broken)

    @property
    def are_unreadable(self) -> bool:
        """Whether most of them are broken: the file is then another than it was taken for."""
        return self.n_broken > self.n_rows

    @property
    def are_none(self) -> bool:
        """Whether there is no line at all."""
        return self.n_rows == self.n_broken == 0


def lines_of(connection: duckdb.DuckDBPyConnection, table: str) -> Lines:
    """The lines of a loaded table."""
    n_rows = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
    query = f"SELECT reason, count(*) AS n FROM {table}_broken GROUP BY ALL ORDER BY n DESC, reason"
    return Lines(n_rows, connection.execute(query).fetchall())


def refuse_unreadable(
    connection: duckdb.DuckDBPyConnection, table: str, path: Path, *, may_be_empty: bool = False
) -> None:
    """Raise where a loaded file has no rows, or most of its lines can't be read as rows.

    Raises:
        RefusedError: so; it names the commonest reason and its first line.
    """
    lines = lines_of(connection, table)
    if lines.are_none and not may_be_empty:
        raise RefusedError(f"{path} has no rows", to_do="Give a file with events")
    if not lines.are_unreadable:
        return
    reason, n = lines.broken[0]
    query = f"SELECT source_row, line FROM {table}_broken WHERE reason = ? ORDER BY ALL LIMIT 1"
    row, line = connection.execute(query, [reason]).fetchall()[0]
    text = printable((line or "").strip())
    raise RefusedError(
        f"Most lines of {path} can't be read as rows",
        got=f"{reason} in {n:,} of {counted(lines.n_rows + lines.n_broken, 'row')}, first in row "
        f"{row}: {text[:SHOWN]}{' …' if len(text) > SHOWN else ''}",
        to_do=SAVE_AS_UTF8
        if reason == NO_UTF8
        else "Mend the file, or say its `separator` in the description where another was found",
    )
