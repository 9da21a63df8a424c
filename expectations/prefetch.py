"""The counts of an audit, asked two at a time before Great Expectations comes to them.

It asks one at a time, and between two answers it is busy with itself: half the machine would wait.
Checks that look at the same rows are counted in one query. A query of large tables that looks at
each user alone is asked for some users after others: it needs no more memory for more of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

from expectations.ranges import ranges, within

AT_A_TIME = 2  # each may fill its share of the memory limit
ROWS_A_PART = 4_000_000  # of the largest table: some 500 MB at work
LARGEST = {"raw": "raw.ratings", "core": "core.interactions"}  # of a schema


@dataclass(frozen=True)
class Rows:
    """The rows of `query` that `where` picks; the query calls the audited `table` "batch".

    `by` is a column by whose values the tables may be cut: the rows of the whole are then those of
    all parts together. Every table of `expectations.ranges.CUT` that the query names has it.
    """

    table: str
    query: str
    where: str
    by: str = ""


class Prefetch:
    """Counts that were asked for, by query; rows are asked for once a count is not zero."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, wanted: Iterable[Rows]) -> None:
        self.connection = connection
        self.pool = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="audit")
        together: dict[tuple[str, str, str], list[str]] = {}
        for rows in wanted:
            together.setdefault((rows.table, rows.query, rows.by), []).append(rows.where)
        self.counts = {
            asked: self.pool.submit(self._count, *asked, conditions)
            for asked, conditions in together.items()
        }

    def count(self, rows: Rows) -> int:
        """How many rows there are.

        Raises:
            duckdb.Error: of the query.
        """
        asked = rows.table, rows.query, rows.by
        try:
            return self.counts[asked].result()[rows.where]
        except duckdb.BinderException:  # a column is missing: only those that need it fail
            return self._count(*asked, [rows.where])[rows.where]

    def sample(self, rows: Rows, shown: str, limit: int) -> list[dict[str, Any]]:
        """The first of the rows, in the order of all that is shown."""
        tables, query = within("", rows.table, rows.query)
        start, end = f"{tables} SELECT {shown} FROM", f"\nORDER BY ALL LIMIT {limit}"
        names, found = self._ask(f"{start} ({query}) WHERE {rows.where}{end}")
        if not found:  # NaN alone, which only an aggregate sees: see `_count`
            kept = f"SELECT unnest(list(q) FILTER ({rows.where}), max_depth := 2)"
            names, found = self._ask(f"{start} ({kept} FROM ({query}) AS q){end}")
        return [dict(zip(names, row, strict=True)) for row in found]

    def close(self) -> None:
        """Nothing is asked any more."""
        self.pool.shutdown(cancel_futures=True)

    def _count(self, table: str, query: str, by: str, conditions: Sequence[str]) -> dict[str, int]:
        """By FILTER, never by WHERE: DuckDB lets the statistics of a file answer that, without NaN.

        Mostly no row is wanted: one test of all conditions takes half of a test for each.
        """
        wanted = " OR ".join(f"({where})" for where in conditions)
        counts = ", ".join(f"count(*) FILTER ({where})" for where in conditions)
        found = [0] * len(conditions)
        for part in self._parts(table, by):
            tables, asked = within(part, table, query)
            _, (row,) = self._ask(f"{tables} SELECT count(*) FILTER ({wanted}) FROM ({asked})")
            if row[0] and len(conditions) > 1:
                _, (row,) = self._ask(f"{tables} SELECT {counts} FROM ({asked})")
            elif not row[0]:
                continue
            found = [sum(pair) for pair in zip(found, row, strict=True)]
        return dict(zip(conditions, found, strict=True))

    def _parts(self, table: str, by: str) -> list[str]:
        """Conditions that cut a table; one that holds for all of its rows where it is small."""
        if not by:
            return [""]
        largest = LARGEST[table.partition(".")[0]]
        _, ((rows,),) = self._ask(f"SELECT count(*) FROM {largest}")
        if rows < 2 * ROWS_A_PART:
            return [""]
        _, ((low, high),) = self._ask(f"SELECT min({by}), max({by}) FROM {table}")
        return ranges(by, low, high, rows // ROWS_A_PART)

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
