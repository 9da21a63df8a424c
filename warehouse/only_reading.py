"""Refusing questions that would write: a file that DuckDB may read, it may write too.

`allowed_paths` knows no difference, and the word SELECT says little: DuckDB 2.0 takes a COPY within
WITH, and a function of its JSON extension runs SQL that is put together as text. A plan tells.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from warehouse.errors import RefusedError

# EXPLAIN ANALYZE runs what it explains
ONLY_EXPLAINED = re.compile(r"\s*EXPLAIN\s+(SELECT|FROM|WITH|VALUES)\b", re.IGNORECASE)
WRITES = ("COPY_TO_FILE", "EXECUTE_SERIALIZED_SQL")


def refuse_writing(
    connection: duckdb.DuckDBPyConnection, question: str, parameters: Sequence[Any]
) -> None:
    """Refuse SQL that is more than a SELECT, or whose plan writes files.

    Raises:
        RefusedError: so.
        duckdb.Error: it is no SQL, or does not fit the tables.
    """
    every = connection.extract_statements(question)
    for statement in every:
        if ONLY_EXPLAINED.match(statement.query):
            continue
        if statement.type != duckdb.StatementType.SELECT:
            raise _refused(statement.type.name)
        given = list(parameters) if statement is every[-1] else []
        plan = f"EXPLAIN (FORMAT json) {statement.query}"
        for _, text in connection.execute(plan, given or None).fetchall():
            for name in _operators(json.loads(text)):
                if name.endswith(WRITES):
                    raise _refused(name)


def _operators(nodes: list[dict[str, Any]]) -> Iterator[str]:
    for node in nodes:
        yield node["name"]
        yield from _operators(node["children"])


def _refused(seen: str) -> RefusedError:
    return RefusedError("The question was refused", got=seen, expected="one that only reads")
