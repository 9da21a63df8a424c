"""The counts of an audit, asked two at a time before Great Expectations comes to them.

It asks one at a time, and between two answers it is busy with itself: half the machine would wait.
Checks that look at the same rows are counted in one query.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

AT_A_TIME = 2  # each may fill its share of the memory limit


@dataclass(frozen=True)
class Rows:
    """The rows of `query` that `where` picks; the query calls the audited `table` "batch"."""

    table: str
    query: str
    where: str


class Prefetch:
    """Counts that were asked for, by query; rows are asked for once a count is not zero."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, wanted: Iterable[Rows]) -> None:
        self.connection = connection
        self.pool = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="audit")
        together: dict[tuple[str, str], list[str]] = {}
        for rows in wanted:
            together.setdefault((rows.table, rows.query), []).append(rows.where)
        self.counts = {
            asked: self.pool.submit(self._count, *asked, conditions)
            for asked, conditions in together.items()
        }

    def count(self, rows: Rows) -> int:
        """How many rows there are.

        Raises:
            duckdb.Error: of the query.
        """
        try:
            return self.counts[rows.table, rows.query].result()[rows.where]
        except duckdb.BinderException:  # a column is missing: only those that need it fail
            return self._count(rows.table, rows.query, [rows.where])[rows.where]

    def sample(self, rows: Rows, shown: str, limit: int) -> list[dict[str, Any]]:
        """The first of the rows, in the order of all that is shown."""
        names, found = self._ask(
            f"{_from(rows.table)} SELECT {shown} FROM ({rows.query}) WHERE {rows.where}\n"
            f"ORDER BY ALL LIMIT {limit}"
        )
        return [dict(zip(names, row, strict=True)) for row in found]

    def close(self) -> None:
        """Nothing is asked any more."""
        self.pool.shutdown(cancel_futures=True)

    def _count(self, table: str, query: str, conditions: Sequence[str]) -> dict[str, int]:
        counts = ", ".join(f"count(*) FILTER ({where})" for where in conditions)
        # mostly no row is wanted: one test of all conditions takes half of a test for each count
        wanted = " OR ".join(f"({where})" for where in conditions)
        _, (row,) = self._ask(f"{_from(table)} SELECT {counts} FROM ({query}) WHERE {wanted}")
        return dict(zip(conditions, row, strict=True))

    def _ask(self, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return [column[0] for column in cursor.description], cursor.fetchall()


_current: list[Prefetch] = []  # Great Expectations builds expectations anew: they find it here


@contextmanager
def prefetching(connection: duckdb.DuckDBPyConnection, wanted: Iterable[Rows]) -> Iterator[None]:
    """Count in the background, in this order; at the end nothing is asked any more."""
    prefetch = Prefetch(connection, wanted)
    _current.append(prefetch)
    try:
        yield
    finally:
        _current.clear()
        prefetch.close()


def prefetched() -> Prefetch:
    """The one of the audit that is under way."""
    return _current[-1]


def _from(table: str) -> str:
    return f"WITH batch AS NOT MATERIALIZED (SELECT * FROM {table})\n"
