"""Ids of users and items as texts: what the file writes is what people ask for later."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from warehouse.database import quoted
from warehouse.errors import RefusedError

WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
WHOLE |= {f"U{kind}" for kind in WHOLE} | {"BIGNUM"}
FLOATS = {"FLOAT", "DOUBLE"}
PLAIN_FROM = 0.99  # of the values must be so for a column to be so


@dataclass(frozen=True)
class Id:
    """How ids are read.

    Attributes:
        key: SQL of the id as text, null where the value is none.
        why: SQL of the reason, null where it is one.
        notes: what a person should know of it.
    """

    key: str
    why: str
    notes: Sequence[str] = ()


def id_of(
    connection: duckdb.DuckDBPyConnection, table: str, what: str, kind: str, column: str
) -> Id:
    """How the ids of a loaded column are read.

    Args:
        connection: that has the table.
        table: of the loaded rows.
        what: `user` or `item`, as the column is called there.
        kind: its type.
        column: its name in the file.

    Raises:
        RefusedError: a column of this type holds no ids.
    """
    base = kind.partition("(")[0]
    missing = f"CASE WHEN {what} IS NULL THEN '{what} is missing' END"
    if base in WHOLE or base == "UUID":
        return Id(f"CAST({what} AS VARCHAR)", missing)
    if base == "DECIMAL":
        return _number(what, f"own_decimal_key({what})", f"CAST({what} AS DOUBLE)", [])
    if base in FLOATS:
        return _number(what, f"own_float_key({what}::DOUBLE)", f"{what}::DOUBLE", [_said(column)])
    if base != "VARCHAR":
        expected = "texts, whole numbers or UUIDs"
        raise RefusedError(f"{column} can't hold the ids of {what}s", got=kind, expected=expected)
    if are_floats(connection, table, what):
        number = f"TRY_CAST({what} AS DOUBLE)"
        return _number(what, f"own_float_key({number})", number, [_said(column)])
    empty = f"CASE WHEN coalesce({what} = '', true) THEN '{what} is missing' END"
    return Id(f"nullif({what}, '')", empty)


def _number(what: str, key: str, number: str, notes: Sequence[str]) -> Id:
    why = f"CASE WHEN {key} IS NULL THEN own_why_no_number({quoted(what)}, {number}) END"
    return Id(key, why, notes)


def _said(column: str) -> str:
    return f"{column} has whole numbers as floats, such as 123.0: the id is 123"


def are_floats(connection: duckdb.DuckDBPyConnection, table: str, what: str) -> bool:
    """Whether all texts of a column are numbers with a point, nearly all whole: pandas' own way
    to write whole numbers where some are missing.

    Version numbers such as 1.2 are not: few of them are whole.
    """
    query = f"""
        SELECT
            count(*),
            count(*) FILTER (regexp_full_match({what}, '-?[0-9]+\\.[0-9]+([eE]\\+?[0-9]+)?')),
            count(*) FILTER (
                regexp_full_match({what}, '-?[0-9]+\\.0+|-?[0-9]\\.[0-9]+[eE]\\+?[0-9]+')
            )
        FROM {table} WHERE {what} <> ''"""
    # one text without a point answers it for the most files, without a look at each
    first = f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE NOT contains({what}, '.') LIMIT 1)"
    if connection.execute(first.replace("WHERE", f"WHERE {what} <> '' AND")).fetchall()[0][0]:
        return False
    n, numbers, whole = connection.execute(query).fetchall()[0]
    return n > 0 and numbers == n and whole >= PLAIN_FROM * n
