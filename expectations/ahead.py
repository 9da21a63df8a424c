"""The queries of an audit, asked two at a time before Great Expectations comes to them.

It asks one at a time, and between two answers it is busy with itself: half the machine would wait.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import duckdb

AT_A_TIME = 2  # each may fill its share of the memory limit
Rows = list[dict[str, Any]]

_answers: dict[str, Future[Rows]] = {}


@contextmanager
def asked_ahead(connection: duckdb.DuckDBPyConnection, statements: Iterable[str]) -> Iterator[None]:
    """Ask in the background, in this order; at the end nothing is asked any more."""
    pool = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="audit")
    try:
        for statement in statements:
            _answers[statement] = pool.submit(_ask, connection, statement)
        yield
    finally:
        pool.shutdown(cancel_futures=True)
        _answers.clear()


def answer(statement: str) -> Rows:
    """What came of a statement that was asked ahead.

    Raises:
        duckdb.Error: of that statement.
    """
    return _answers[statement].result()


def _ask(connection: duckdb.DuckDBPyConnection, statement: str) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
