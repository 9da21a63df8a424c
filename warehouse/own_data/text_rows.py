"""A text with a row a line: CSV, TSV and their like, packed or not. All fields stay texts."""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from warehouse.database import literal_glob, quoted
from warehouse.errors import RefusedError
from warehouse.own_data.description import Form
from warehouse.own_data.rows import Column, asked, created
from warehouse.own_data.unreadable import NO_UTF8

HEAD_BYTES = 1 << 17
HEAD_LINES = 200
SEPARATORS = (",", "\t", ";", "|", "::")
MOST_COLUMNS = 4_096
Lines = Sequence[Sequence[str]]


class TextRows:
    """A text; its columns have the names of its first line, or are `column1`, `column2` …

    Args:
        connection: into which it is loaded.
        path: of the file.
        form: its separator and whether it has a header, where these are said.
        packed: `gzip`, `zstd` or None.
        named: columns that its header must have.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        path: Path,
        form: Form,
        packed: str | None,
        named: Sequence[str],
    ) -> None:
        self._connection, self._path, self._packed = connection, path, packed
        text, whole = _head(path, packed)
        self.separator = form.separator or _separator(path, text, named)
        rows = _rows(text, self.separator)
        rows = rows if whole or len(rows) == 1 else rows[:-1]
        self.header = _is_header(rows, named) if form.header is None else form.header
        self._width = len(rows[0])
        # DuckDB would take an empty first line for the header
        lines = text.splitlines()
        self._skipped = next(number for number, line in enumerate(lines) if line.strip())
        if self._width > MOST_COLUMNS:
            got = f"{self._width:,} columns"
            raise RefusedError(f"{path} can't be read as a text", got=got)
        names = [f"column{n + 1}" for n in range(self._width)]
        self.columns: Sequence[Column] = [
            Column(n, "VARCHAR") for n in (rows[0] if self.header else names)
        ]
        self.kind = f"{_SAID.get(self.separator, 'text')}{f', {packed}' if packed else ''}"
        self.notes: Sequence[str] = [] if self.header else ["it has no header"]

    def load(self, into: str, wanted: Mapping[str, str], limit: int | None = None) -> None:
        """See `Source`."""
        places = {column.name: f"c{n}" for n, column in enumerate(self.columns)}
        chosen = {as_name: places[name] for as_name, name in wanted.items()}
        columns = [Column(place, "VARCHAR") for place in places.values()]
        for table in ("own_errors", "own_scans"):
            self._connection.execute(f"DROP TABLE IF EXISTS {table}")
        self._ask(created(into, chosen, self._reading(), columns, limit))
        self._connection.execute(_broken(into, self._skipped + int(self.header)))

    def _reading(self) -> str:
        names = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(self._width))
        options = {
            "columns": f"{{{names}}}",
            "auto_detect": "false",
            "hive_partitioning": "false",  # folders of the path are no columns
            "header": str(self.header).lower(),
            "skip": str(self._skipped),
            "delim": quoted(self.separator),
            "quote": "'\"'",
            "escape": "'\"'",
            "compression": quoted(self._packed or "none"),
            "store_rejects": "true",
            "rejects_table": "'own_errors'",
            "rejects_scan": "'own_scans'",
        }
        listed = ", ".join(f"{name} = {value}" for name, value in options.items())
        return f"read_csv({quoted(literal_glob(self._path))}, {listed})"

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        return asked(self._connection, query, self._path, "a text")


_SAID = {",": "CSV", "\t": "TSV", ";": "CSV with ;", "|": "CSV with |", "::": "text with ::"}


def _head(path: Path, packed: str | None) -> tuple[str, bool]:
    """The beginning of a text, and whether it is all of it."""
    try:
        with pa.input_stream(str(path), compression=packed) as stream:
            data = stream.read(HEAD_BYTES)
    except (OSError, pa.ArrowInvalid) as error:
        raise RefusedError(f"{path} can't be unpacked", got=str(error)) from error
    whole = len(data) < HEAD_BYTES
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        got = "UTF-16, or no text at all"
        raise RefusedError(f"{path} is no text in UTF-8", got=got, to_do="Save it as UTF-8")
    text = data.decode("utf-8-sig", errors="replace")
    if not text.strip():
        raise RefusedError(f"{path} is empty")
    return text, whole


def _rows(text: str, separator: str) -> Lines:
    """Rows of the first lines, as far as they can be read; at least one."""
    lines = [line for line in text.splitlines(keepends=True) if line.strip()][:HEAD_LINES]
    if len(separator) > 1:
        return [line.rstrip("\r\n").split(separator) for line in lines]
    try:
        return list(csv.reader(lines, delimiter=separator))
    except csv.Error:
        return [line.rstrip("\r\n").split(separator) for line in lines]


def _separator(path: Path, text: str, named: Sequence[str]) -> str:
    """The one that the first line shows: by the columns' names, or by equal numbers of fields."""
    found = {one: _rows(text, one) for one in SEPARATORS}
    for separator, rows in found.items():
        if named and set(named) <= set(rows[0]):
            return separator
    alike = {one: (_alike(rows), len(rows[0])) for one, rows in found.items() if len(rows[0]) > 1}
    if not alike:
        raise RefusedError(
            f"{path}: what separates the fields is not to be seen",
            got=repr(text.splitlines()[0][:80]),
            to_do='Say it in the description, such as `separator = "^"`',
        )
    return max(alike, key=lambda one: alike[one])


def _alike(rows: Lines) -> float:
    """Share of rows with as many fields as most have."""
    return Counter(map(len, rows)).most_common(1)[0][1] / len(rows)


def _is_header(rows: Lines, named: Sequence[str]) -> bool:
    """Whether the first row names columns: the described ones, or words unlike all below them."""
    if named and set(named) <= set(rows[0]):
        return True
    if named and all(re.fullmatch(r"column\d+", name) for name in named):
        return False
    names = rows[0]
    values = [set(column) for column in zip(*rows[1:], strict=False)]
    return (
        all(name.strip() and not name[0].isdigit() for name in names)
        and len(set(names)) == len(names)
        and not any(name in column for name, column in zip(names, values, strict=False))
    )


def _broken(into: str, n_before: int) -> str:
    """DuckDB counts the header, empty lines and the broken ones among a text's lines."""
    return (
        f"CREATE OR REPLACE TEMP TABLE {into}_broken AS SELECT line - {n_before} AS source_row, "
        "left(ltrim(any_value(csv_line), chr(10) || chr(13)), 200) AS line, "
        "any_value(CASE error_type "
        "WHEN 'MISSING COLUMNS' THEN 'fields are missing' "
        "WHEN 'TOO MANY COLUMNS' THEN 'too many fields' "
        "WHEN 'UNQUOTED VALUE' THEN 'a quote is open or astray' "
        f"WHEN 'INVALID ENCODING' THEN '{NO_UTF8}' "
        "WHEN 'LINE SIZE OVER MAXIMUM' THEN 'line is over 2,000,000 bytes' "
        "ELSE lower(replace(error_type::VARCHAR, '_', ' ')) END) AS reason "
        "FROM own_errors GROUP BY own_errors.line ORDER BY 1"
    )
