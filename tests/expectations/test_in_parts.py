"""Audits of large tables look at some users after others, and find what they find at once."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations import prefetch, runner
from expectations.prefetch import Prefetch
from expectations.ranges import CUT, ranges

_FILE = Path(__file__).with_name("test_expectations_suites.py")
_SPEC = importlib.util.spec_from_file_location("broken_ways", _FILE)
assert _SPEC
assert _SPEC.loader
ways = importlib.util.module_from_spec(_SPEC)
sys.modules["broken_ways"] = ways
_SPEC.loader.exec_module(ways)
PARTED = ("raw_ratings", "core_interactions", "core_users", "core_candidates", "sequences")
FEW = ("(user_id, item_id) unique", "no candidate in the user's history", "time_scale = shortest")


@settings(deadline=None)  # a busy machine is no error
@given(
    st.lists(st.none() | st.integers(-50, 50)),
    st.integers(-60, 60),
    st.integers(0, 90),
    st.integers(0, 7),
)
def test_each_row_is_in_one_range(numbers, low, span, parts):
    """Whatever the bounds are said to be."""
    conditions = ranges("number", low, low + span, parts)
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE rows AS SELECT unnest($1::INTEGER[]) AS number", [numbers])
        counts = [
            connection.execute(f"SELECT count(*) FROM rows WHERE {one or 'true'}").fetchall()[0][0]
            for one in conditions
        ]
    assert sum(counts) == len(numbers)
    assert len(conditions) == (parts + 1 if parts > 1 else 1)


def counted(database: Path, suite: str, facts) -> dict[str, int]:
    """How many rows each query of a suite finds."""
    queries = runner._load(suite, facts).queries
    with duckdb.connect(str(database), read_only=True) as connection:
        ours = Prefetch(connection, [query.rows for query in queries])
        found = {query.meta["words"]: ours.count(query.rows) for query in queries}
        ours.close()
    return found


def assert_alike(case: Any, changed, facts, monkeypatch) -> None:
    database, known = changed(case.sql), replace(facts, **case.facts)
    whole = counted(database, case.suite, known)
    monkeypatch.setattr(prefetch, "ROWS_A_PART", 100)  # of some 420: four parts
    assert counted(database, case.suite, known) == whole


def cases(*, few: bool) -> list[Any]:
    ours = [case for case in ways.CASES if case.suite in PARTED and "TYPE" not in case.sql]
    return [case for case in ours if case.words.startswith(FEW) == few]


@pytest.mark.parametrize("case", cases(few=True), ids=lambda case: case.words)
def test_parts_find_what_the_whole_finds(case, changed, facts, monkeypatch):
    assert_alike(case, changed, facts, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("case", cases(few=False), ids=lambda case: f"{case.suite} {case.words}")
def test_parts_find_of_any_fault_what_the_whole_finds(case, changed, facts, monkeypatch):
    assert_alike(case, changed, facts, monkeypatch)


@pytest.mark.parametrize("suite", PARTED)
def test_tables_that_are_cut_have_the_column(suite, good, facts):
    """A query that names a table without it would fail on large data alone."""
    with duckdb.connect(str(good), read_only=True) as connection:
        for query in runner._load(suite, facts).queries:
            if query.by:
                for schema, name in CUT.findall(query.query):
                    columns = connection.table(f"{schema}.{name}").columns
                    assert query.by in columns, f"{query.meta['words']}: {schema}.{name}"


def test_all_that_joins_large_tables_goes_by_parts(facts):
    """A join of every interaction, or all candidates one by one, in one query fill the memory."""
    whole = [
        query.meta["words"]
        for suite in PARTED
        for query in runner._load(suite, facts).queries
        if not query.by and ("core.interactions" in query.query or "unnest" in query.query)
    ]
    assert whole == []
