"""What all kinds of files have in common: names in SQL, the table of their rows, their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from warehouse.errors import InUseError, RefusedError


@dataclass(frozen=True)
class Column:
    """A column as the file has it: its name, and its type in DuckDB's words."""

    name: str
    type: str


def identifier(name: str) -> str:
    """A name as SQL writes it.

    >>> identifier('no "quotes"; here')
    '"no ""quotes""; here"'
    """
    return '"' + name.replace('"', '""') + '"'


def created(
    into: str, wanted: Mapping[str, str], rows: str, columns: Sequence[Column], limit: int | None
) -> str:
    """The statement that makes a table of some columns; words of a list become texts.

    `preserve_insertion_order`, which is DuckDB's default, keeps the order of the file.
    """
    types = {column.name: column.type for column in columns}
    chosen = ", ".join(
        f"{_plain(identifier(name), types[name])} AS {identifier(as_name)}"
        for as_name, name in wanted.items()
    )
    few = "" if limit is None else f" LIMIT {limit}"
    return f"CREATE OR REPLACE TEMP TABLE {into} AS SELECT {chosen} FROM {rows}{few}"


def _plain(name: str, kind: str) -> str:
    return f"CAST({name} AS VARCHAR)" if kind.startswith("ENUM") else name


def nothing_broken(into: str) -> str:
    """The statement for a kind of file that has no broken lines."""
    return (
        f"CREATE OR REPLACE TEMP TABLE {into}_broken "
        "(source_row BIGINT, line VARCHAR, reason VARCHAR)"
    )


def asked(
    connection: duckdb.DuckDBPyConnection, query: str, path: Path, kind: str
) -> list[tuple[Any, ...]]:
    """The answer of DuckDB, whose errors become a refusal of the file.

    Raises:
        InUseError: another program holds the file open.
        RefusedError: it can't be read.
    """
    try:
        return connection.execute(query).fetchall()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        if "Could not set lock" in said:
            what = f"{path} is held open by another program"
            raise InUseError(what, got=said, to_do="Close it there, or give a copy") from error
        if "No space left" in said:
            raise
        raise RefusedError(f"{path} can't be read as {kind}", got=said) from error


def chosen_table(path: Path, there: Sequence[str], table: str | None) -> str:
    """The table that is meant.

    Raises:
        RefusedError: there is none of that name, or several and none is named.
    """
    if table in there or (table is None and len(there) == 1):
        return table or there[0]
    what = f"{path} has no table {table}" if table else f"{path} has {len(there)} tables"
    raise RefusedError(
        what,
        got=", ".join(there) or "none",
        to_do=""
        if not there
        else 'Name one of them: `table = "…"` in the description, --table to `fpt describe`',
    )
