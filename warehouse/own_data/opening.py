"""Files of one's own, whatever their kind: which columns they have, and their rows in order."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import duckdb

from warehouse.database import literal_glob, quoted
from warehouse.errors import RefusedError
from warehouse.own_data.description import Form
from warehouse.own_data.rows import (
    Column,
    asked,
    chosen_table,
    created,
    identifier,
    nothing_broken,
)
from warehouse.own_data.sqlite_rows import SqliteTable
from warehouse.own_data.text_rows import TextRows
from warehouse.visible import counted

_OTHERS = {
    b"PK\x03\x04": ("a zip archive or a spreadsheet", "Unpack it, or save it as CSV"),
    b"ARROW1": ("an Arrow file", "Write it as Parquet"),
    b"ORC": ("an ORC file", "Write it as Parquet"),
    b"\x89HDF": ("an HDF5 file", "Write it as Parquet"),
    b"BZh": ("packed by bzip2", "Unpack it, or pack it by gzip"),
    b"\xfd7zXZ": ("packed by xz", "Unpack it, or pack it by gzip"),
}
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_INSIDE = "own_source"
MOST_NAMED = 30


class Source(Protocol):
    """An opened file of one's own.

    Attributes:
        kind: what it is, in words.
        columns: all of them.
        notes: what a person should know of how it is read.
    """

    kind: str
    columns: Sequence[Column]
    notes: Sequence[str]

    def load(self, into: str, wanted: Mapping[str, str], limit: int | None = None) -> None:
        """Make the temporary table `into` of some columns, its rows in the file's order.

        Lines that can't be read as rows come into a second one, `<into>_broken`: `source_row`,
        `line`, `reason`.

        Args:
            into: name of the table; its `rowid` is the row's place, from 0 on, but for the broken.
            wanted: names of columns by what they are called in the table.
            limit: only so many rows, the first.

        Raises:
            RefusedError: the file is damaged.
        """


def open_source(
    connection: duckdb.DuckDBPyConnection, path: Path, form: Form, named: Sequence[str] = ()
) -> Source:
    """Look at a file; its kind is found by its first bytes, not by its name.

    Args:
        connection: into which rows are loaded later; a DuckDB file is attached to it, read-only.
        path: a file, or a folder of Parquet files.
        form: what is said of how it is laid out.
        named: columns that must be there, by which the header of a text is known.

    Raises:
        RefusedError: it is missing, of no kind that can be read, damaged, or has not the columns.
    """
    source = _opened(connection, path, form, named)
    _refuse_missing(path, source, named)
    return source


def _opened(
    connection: duckdb.DuckDBPyConnection, path: Path, form: Form, named: Sequence[str]
) -> Source:
    try:
        if path.is_dir():
            return _Parquet(connection, path, parts_of(path))
        with path.open("rb") as file:
            start = file.read(16)
    except (OSError, ValueError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise RefusedError(f"{path} can't be read", got=got) from error
    for magic, (what, to_do) in _OTHERS.items():
        if start.startswith(magic):
            raise RefusedError(f"{path} can't be read", got=what, to_do=to_do)
    if not start:
        raise RefusedError(f"{path} is empty")
    if start.startswith(b"PAR1"):
        return _Parquet(connection, path, [path])
    if start[8:12] == b"DUCK":
        return _DuckDB(connection, path, form.table)
    if start.startswith(b"SQLite format 3"):
        return SqliteTable(connection, path, form.table)
    packed = next((way for magic, way in _PACKED.items() if start.startswith(magic)), None)
    return TextRows(connection, path, form, packed, named)


class _Parquet:
    """One Parquet file, or the parts of a folder one after the other."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, parts: Sequence[Path]
    ) -> None:
        self._connection, self._path = connection, path
        self._files = "[" + ", ".join(quoted(literal_glob(part)) for part in parts) + "]"
        self._rows = f"read_parquet({self._files}, hive_partitioning = false)"
        self.columns: Sequence[Column] = [
            Column(*row[:2]) for row in self._ask(f"DESCRIBE FROM {self._rows}")
        ]
        self.kind = counted(len(parts), "Parquet file") if path.is_dir() else "Parquet"
        self.notes: Sequence[str] = [f"its {len(parts)} files are read in the order of their names"]
        if len(parts) == 1:
            self.notes = []

    def load(self, into: str, wanted: Mapping[str, str], limit: int | None = None) -> None:
        """See `Source`."""
        self._refuse_different_parts(list(wanted.values()))
        self._ask(created(into, wanted, self._rows, self.columns, limit))
        self._connection.execute(nothing_broken(into))

    def _refuse_different_parts(self, names: Sequence[str]) -> None:
        """DuckDB casts all parts to the types of the first, silently where it can."""
        query = (
            "SELECT name, count(DISTINCT (type, logical_type, converted_type)), "
            "min_by(file_name, (type, logical_type)), max_by(file_name, (type, logical_type)) "
            f"FROM parquet_schema({self._files}) "
            f"WHERE name IN ({', '.join(map(quoted, names))}) GROUP BY name ORDER BY name"
        )
        for name, types, one, other in self._ask(query):
            if types > 1:
                raise RefusedError(
                    f"{self._path}: {name} is of different types in its parts",
                    got=f"{Path(one).name} and {Path(other).name}",
                    to_do="Write all parts with the same types",
                )

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        return asked(self._connection, query, self._path, "Parquet")


class _DuckDB:
    """A table or view of a DuckDB file."""

    kind = "DuckDB"
    notes: Sequence[str] = ()

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: Path, table: str | None
    ) -> None:
        self._connection, self._path = connection, path
        with self._attached():
            found = self._ask(
                "SELECT table_schema, table_name FROM information_schema.tables "
                f"WHERE table_catalog = '{_INSIDE}' ORDER BY ALL"
            )
            names = {".".join((schema, name)).removeprefix("main."): (schema, name)
                     for schema, name in found}  # fmt: skip
            schema, name = names[chosen_table(path, sorted(names), table)]
            self._rows = f"{_INSIDE}.{identifier(schema)}.{identifier(name)}"
            described = self._ask(f"DESCRIBE FROM {self._rows}")
        self.columns: Sequence[Column] = [Column(*row[:2]) for row in described]

    def load(self, into: str, wanted: Mapping[str, str], limit: int | None = None) -> None:
        """See `Source`."""
        with self._attached():
            self._ask(created(into, wanted, self._rows, self.columns, limit))
        self._connection.execute(nothing_broken(into))

    @contextmanager
    def _attached(self) -> Iterator[None]:
        """Its views name their tables as if no other file were there: so it is the one in use."""
        here = self._ask("SELECT current_database()")[0][0]
        self._ask(f"ATTACH {quoted(str(self._path))} AS {_INSIDE} (READ_ONLY)")
        try:
            self._connection.execute(f"USE {_INSIDE}")
            yield
        finally:
            self._connection.execute(f"USE {identifier(here)}")
            self._connection.execute(f"DETACH {_INSIDE}")

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        return asked(self._connection, query, self._path, "a DuckDB file")


def parts_of(folder: Path) -> list[Path]:
    """Its Parquet files, in the order of their names; what begins with _ or . is none of them."""
    found = [
        part
        for part in folder.rglob("*.parquet")
        if not any(name[0] in "_." for name in part.relative_to(folder).parts) and part.is_file()
    ]
    if not found:
        expected = "a folder with files *.parquet"
        raise RefusedError(f"{folder} has nothing to read", expected=expected)
    return sorted(found, key=lambda part: part.relative_to(folder).as_posix())


def _refuse_missing(path: Path, source: Source, named: Sequence[str]) -> None:
    there = [column.name for column in source.columns]
    for name in named:
        if there.count(name) != 1:
            what = "has no column" if name not in there else "has more than one column"
            close = difflib.get_close_matches(name, there, n=1)
            raise RefusedError(
                f"{path} {what} {name}",
                got=", ".join(there[:MOST_NAMED]) + (" …" if len(there) > MOST_NAMED else ""),
                to_do=f"Did you mean {close[0]}?" if close and close[0] != name else "",
            )
