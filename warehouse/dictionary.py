"""The data dictionary: what the comments in the database say of every table and column."""

from collections.abc import Sequence
from itertools import groupby

import duckdb

from warehouse.catalogue_tables import create_schema
from warehouse.database import statements
from warehouse.saved_queries import SavedQuery, saved_queries

Row = tuple[str, str, str, str, str, str]
HEAD = """# Data dictionary

Every table, view and column of `published.duckdb`, from the comments in the database itself.
Written by `fpt sql --dictionary > docs/data-dictionary.md`; a test says when it is stale.
"""


def dictionary() -> str:
    """The whole of it as Markdown."""
    with duckdb.connect() as connection:
        create_schema(connection)
        rows: list[Row] = connection.execute(statements("questions/dictionary")).fetchall()
    parts = [_part(list(columns)) for _, columns in groupby(rows, key=lambda row: row[0])]
    return "\n".join([HEAD, *parts, _questions()])


def _part(rows: Sequence[Row]) -> str:
    name, kind, says = rows[0][:3]
    lines = [f"| `{column}` | {_cell(kind)} | {_cell(text)} |" for *_, column, kind, text in rows]
    head = f"## {name}\n\n{kind.capitalize()}. {says}\n\n| column | type | meaning |\n|---|---|---|"
    return "\n".join([head, *lines]) + "\n"


def _questions() -> str:
    lines = [
        f"| `fpt sql {one.name}` | {_cell(one.description)} | {' '.join(_quoted(one))} |"
        for one in saved_queries()
    ]
    head = ["## Named questions\n", "| question | answer | settings and their defaults |"]
    return "\n".join([*head, "|---|---|---|", *lines]) + "\n"


def _quoted(question: SavedQuery) -> list[str]:
    return [f"`{one.name}={one.default}`" for one in question.settings.values()]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
